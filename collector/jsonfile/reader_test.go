package jsonfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

func TestReaderFollowsEveryRotation(t *testing.T) {
	for _, compress := range []bool{false, true} {
		for _, rotations := range []int{1, 2} {
			t.Run(fmt.Sprintf("compress=%v rotations=%d", compress, rotations), func(t *testing.T) {
				root := openRoot(t)
				w := newWriter(t, root.dir)
				w.compress = compress
				l := mustLog(t, root, running(w.id))
				r := openReader(t, l, record.Oldest())
				b := record.NewBatch()
				var want []string
				put := func(text string) {
					w.line(text, record.Stdout)
					want = append(want, text)
				}
				put("one")
				got, _, _ := drain(t, r, b)
				// Between two looks: unread lines, and so many rotations.
				for i := range rotations {
					put(fmt.Sprintf("before rotation %d", i))
					w.rotate()
				}
				put("after")
				l.look()
				more, _, _ := drain(t, r, b)
				wantLines(t, append(got, more...), want)
			})
		}
	}
}

func TestReaderCountsAGap(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	w.line("kept open", record.Stdout)
	for range 4 {
		w.rotate()
		w.line("in a generation", record.Stdout)
	}
	l.look()
	got, _, _ := drain(t, r, b)
	wantLines(t, got, []string{"kept open", "in a generation", "in a generation", "in a generation"})
	if n := root.Stats().Gaps.Load(); n != 1 {
		t.Fatalf("%d gaps counted, want 1", n)
	}
}

func TestReaderStartsAtTheOldestAndResumesAnywhere(t *testing.T) {
	for _, compress := range []bool{false, true} {
		root := openRoot(t)
		w := newWriter(t, root.dir)
		w.compress = compress
		var want []string
		for i := range 30 {
			want = append(want, fmt.Sprintf("line %d", i))
			w.line(want[i], record.Stdout)
			if i%10 == 9 && i < 29 {
				w.rotate()
			}
		}
		l := mustLog(t, root, running(w.id))
		r := openReader(t, l, record.Oldest())
		b := record.NewBatch()
		b.Block = b.Block[:300]
		got, at, _ := drain(t, r, b)
		wantLines(t, got, want)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		// From every position of every batch, through a new process.
		for i, from := range at {
			fresh, err := Open(Options{Dir: root.dir, TempDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			r := openReader(t, mustLog(t, fresh, running(w.id)), from)
			got, _, _ := drain(t, r, b)
			wantLines(t, got, want[len(want)-len(got):])
			if n := len(want) - len(got); i == len(at)-1 && n != len(want) {
				t.Fatalf("the last position left %d lines", len(got))
			}
			_ = r.Close()
			fresh.drop(w.id)
		}
	}
}

func TestReaderSaysWhatItLost(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line("delivered", record.Stdout)
	r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
	b := record.NewBatch()
	_, at, _ := drain(t, r, b)
	for range 3 {
		w.rotate()
		w.line("later", record.Stdout)
	}
	fresh, err := Open(Options{Dir: root.dir})
	if err != nil {
		t.Fatal(err)
	}
	again, err := mustLog(t, fresh, running(w.id)).Reader(at[0], func() {})
	var lost *collector.LostError
	if !errors.As(err, &lost) || again == nil {
		t.Fatalf("the error is %v, want a LostError and a reader", err)
	}
	got, _, _ := drain(t, again, b)
	wantLines(t, got, []string{"later", "later", "later"})
	if n := fresh.Stats().LostGenerations.Load(); n != 1 {
		t.Fatalf("%d lost generations counted, want 1", n)
	}
}

func TestReaderStartsAtTheEnd(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line("old", record.Stdout)
	// Half a record, as a reader may see it.
	torn := dockerLine("torn\n", record.Stdout, w.tick())
	_, err := w.file.Write(torn[:20])
	w.must(err)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.End())
	b := record.NewBatch()
	got, _, _ := drain(t, r, b)
	wantLines(t, got, nil)
	_, err = w.file.Write(torn[20:])
	w.must(err)
	got, _, _ = drain(t, r, b)
	wantLines(t, got, []string{"torn"})
}

func TestReaderReadsARemovedLogToItsEnd(t *testing.T) {
	root := openRoot(t)
	runRoot(t, root)
	w := newWriter(t, root.dir)
	changed := make(chan struct{}, 1)
	l := mustLog(t, root, running(w.id))
	r, err := l.Reader(record.Oldest(), func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.line("a", record.Stdout)
	w.write("the last words", record.Stderr, w.tick())
	w.remove()
	b := record.NewBatch()
	var got []string
	for deadline := time.After(10 * time.Second); ; {
		lines, _, ended := drain(t, r, b)
		got = append(got, lines...)
		if ended {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the log has not ended; got %q", got)
		}
	}
	wantLines(t, got, []string{"a", "the last words"})
}

func TestRootOpensAContainerBeforeAnyoneAsks(t *testing.T) {
	root := openRoot(t)
	runRoot(t, root)
	w := newWriter(t, root.dir)
	w.line("short life", record.Stdout)
	isOpen := func() bool {
		root.mu.Lock()
		e := root.logs[w.id]
		root.mu.Unlock()
		if e == nil {
			return false
		}
		e.log.mu.Lock()
		defer e.log.mu.Unlock()
		return len(e.log.chain) == 1
	}
	waitFor(t, isOpen)
	w.remove()
	r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
	b := record.NewBatch()
	var got []string
	waitFor(t, func() bool {
		lines, _, ended := drain(t, r, b)
		got = append(got, lines...)
		return ended
	})
	wantLines(t, got, []string{"short life"})
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the condition has not come true")
		}
	}
}

func TestReaderJoinsParts(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	var want []string
	for _, n := range []int{16383, 16384, 16385, 32768, 1 << 20} {
		text := strings.Repeat("x", n)
		want = append(want, text)
		w.line(text, record.Stdout)
	}
	r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
	got, _, _ := drain(t, r, record.NewBatch())
	wantLines(t, got, want)
}

func TestReaderCutsWhatIsTooLong(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line(strings.Repeat("y", DefaultMaxLine+1), record.Stdout)
	w.line(strings.Repeat("z", DefaultMaxLine+3*partSize), record.Stdout)
	w.line("next", record.Stdout)
	r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
	got, _, _ := drain(t, r, record.NewBatch())
	wantLines(t, got, []string{strings.Repeat("y", DefaultMaxLine), strings.Repeat("z", DefaultMaxLine), "next"})
	if n := root.Stats().Cut.Load(); n != 2 {
		t.Fatalf("%d lines counted as cut, want 2", n)
	}
}

func TestReaderNeverGluesTwoRuns(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	c := running(w.id)
	l := mustLog(t, root, c)
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	// The end of a run without a newline, short and exactly one part long.
	w.write("dying words", record.Stdout, w.tick())
	w.line("the next run", record.Stdout)
	w.write(strings.Repeat("d", partSize), record.Stdout, w.tick())
	w.line("the third run", record.Stdout)
	got, _, _ := drain(t, r, b)
	wantLines(t, got, []string{"dying words", "the next run", strings.Repeat("d", partSize), "the third run"})
	// What nothing follows is given out when the container has stopped.
	w.write(strings.Repeat("e", partSize), record.Stdout, w.tick())
	got, _, _ = drain(t, r, b)
	wantLines(t, got, nil)
	stop := func(status string) {
		stopped := *c
		stopped.Status, stopped.Running, stopped.AsOf = status, status == "restarting", w.tick()
		l.SetContainer(&stopped)
	}
	stop("exited")
	got, at, _ := drain(t, r, b)
	wantLines(t, got, []string{strings.Repeat("e", partSize)})
	if last := at[len(at)-1]; last.Skip != 0 {
		t.Fatalf("the position after it is %+v", last)
	}
	// It runs again and has begun a line before anyone has told that it does.
	begun := w.tick()
	w.write(strings.Repeat("f", partSize), record.Stdout, begun)
	got, _, _ = drain(t, r, b)
	wantLines(t, got, nil)
	w.write("\n", record.Stdout, begun)
	got, _, _ = drain(t, r, b)
	wantLines(t, got, []string{strings.Repeat("f", partSize)})
	// And ends, to be started again by its policy after a while.
	w.write(strings.Repeat("g", partSize), record.Stderr, w.tick())
	stop("restarting")
	got, _, _ = drain(t, r, b)
	wantLines(t, got, []string{strings.Repeat("g", partSize)})
}

func TestReaderBearsDamage(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line("before", record.Stdout)
	raw := func(text string) {
		_, err := w.file.WriteString(text)
		w.must(err)
	}
	raw("{\"log\":\"torn\n")
	w.line("between", record.Stdout)
	raw(strings.Repeat("j", 600<<10) + "\n")
	w.line("after junk", record.Stdout)
	raw(strings.Repeat("\x00", 700<<10))
	w.line("after NUL bytes", record.Stdout)
	raw(strings.Repeat("\x00", 100))
	w.line("after few", record.Stdout)
	l := mustLog(t, root, running(w.id))
	for range 2 {
		r := openReader(t, l, record.Oldest())
		got, _, _ := drain(t, r, record.NewBatch())
		wantLines(t, got, []string{"before", "between", "after junk", "after NUL bytes", "after few"})
	}
	if n := root.Stats().Broken.Load(); n != 2 {
		t.Fatalf("%d broken records counted by two readers, want 2", n)
	}
}

func TestReaderBearsTruncation(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	w.line("first", record.Stdout)
	w.line("second", record.Stdout)
	drain(t, r, b)
	w.cut()
	w.line("third", record.Stdout)
	got, _, _ := drain(t, r, b)
	wantLines(t, got, []string{"third"})
	// And without it from then on: the file begins with NUL bytes.
	w.must(os.Truncate(w.path(0), 0))
	drain(t, r, b)
	w.line("fourth", record.Stdout)
	got, _, _ = drain(t, r, b)
	wantLines(t, got, []string{"fourth"})
	if n := root.Stats().Truncations.Load(); n != 2 {
		t.Fatalf("%d truncations counted, want 2", n)
	}
}

// TestTruncationInLongLine: of a line that had begun before the file was cut
// nothing is put before what comes behind the cut, and the position is one from
// which all of that is read again.
func TestTruncationInLongLine(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l, b := mustLog(t, root, running(w.id)), record.NewBatch()
	r := openReader(t, l, record.Oldest())
	w.line("first", record.Stdout)
	at := w.tick()
	w.write(strings.Repeat("l", partSize), record.Stdout, at)
	w.line("meanwhile", record.Stderr)
	got, _, _ := drain(t, r, b)
	wantLines(t, got, []string{"first", "meanwhile"})
	w.cut()
	w.write("the rest\n", record.Stdout, at)
	w.line("second", record.Stderr)
	want := []string{"the rest", "second"}
	if err := r.Next(b); err != nil {
		t.Fatal(err)
	}
	start := b.Start
	var lines []string
	for i := range b.Records {
		lines = append(lines, string(b.Records[i].Line))
	}
	wantLines(t, lines, want)
	got, _, _ = drain(t, openReader(t, l, start), b)
	wantLines(t, got, want)
	if end := r.Position(); end.Off != r.(*Reader).gen.size() || end.Skip != 0 {
		t.Fatalf("the position after it is %+v", end)
	}
}

// TestTruncationBeforeRotation: what comes behind a cut is read also where the
// file was rotated, or its container removed, before the cut was noticed.
func TestTruncationBeforeRotation(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l, b := mustLog(t, root, running(w.id)), record.NewBatch()
	r := openReader(t, l, record.Oldest())
	w.line(strings.Repeat("before", 100), record.Stdout)
	drain(t, r, b)
	w.cut()
	w.line("then rotated", record.Stdout)
	w.rotate()
	l.look()
	w.line(strings.Repeat("after", 100), record.Stdout)
	got, _, _ := drain(t, r, b)
	wantLines(t, got, []string{"then rotated", strings.Repeat("after", 100)})
	w.cut()
	w.line("then removed", record.Stdout)
	w.remove()
	l.End()
	got, _, ended := drain(t, r, b)
	wantLines(t, got, []string{"then removed"})
	if !ended {
		t.Fatal("the log has not ended")
	}
}

// TestTruncationIsCountedOnce: each cut is counted by the first reader that comes
// to it.
func TestTruncationIsCountedOnce(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l, b := mustLog(t, root, running(w.id)), record.NewBatch()
	first, second := openReader(t, l, record.Oldest()), openReader(t, l, record.Oldest())
	for i := range int64(3) {
		w.line("before", record.Stdout)
		drain(t, first, b)
		drain(t, second, b)
		w.must(os.Truncate(w.path(0), 0))
		_, err := w.file.Seek(0, io.SeekStart)
		w.must(err)
		drain(t, first, b)
		drain(t, second, b)
		if n := root.Stats().Truncations.Load(); n != i+1 {
			t.Fatalf("%d truncations counted by two readers, want %d", n, i+1)
		}
	}
}

// TestFileThatLostItsEnd: a file may yield less than was read of it: a compressed
// one that is torn, or one whose end the disk had not when the host crashed.
// Nothing of it is read again, and what comes then is.
func TestFileThatLostItsEnd(t *testing.T) {
	f := func(compressed bool, truncations int64) {
		t.Helper()
		root := openRoot(t)
		w := newWriter(t, root.dir)
		w.compress = compressed
		for i := range 2000 {
			w.line(longText(i, 100), record.Stdout)
		}
		l, b := mustLog(t, root, running(w.id)), record.NewBatch()
		r := openReader(t, l, record.Oldest())
		drain(t, r, b)
		read := r.Position()
		w.must(r.Close())
		path := w.path(0)
		if compressed {
			w.rotate()
			path = w.path(1)
		}
		info, err := os.Stat(path)
		w.must(err)
		w.must(os.Truncate(path, info.Size()/2))
		_, err = w.file.Seek(0, io.SeekEnd)
		w.must(err)

		again, err := Open(Options{Dir: root.dir, TempDir: t.TempDir(), Poll: time.Hour})
		w.must(err)
		l = mustLog(t, again, running(w.id))
		first, second := openReader(t, l, read), openReader(t, l, read)
		w.line("next", record.Stdout)
		for _, r := range []collector.Reader{first, second} {
			got, _, _ := drain(t, r, b)
			wantLines(t, got, []string{"next"})
		}
		if n := again.Stats().Truncations.Load(); n != truncations {
			t.Errorf("%d truncations counted, want %d", n, truncations)
		}
	}
	f(true, 0)
	f(false, 1)
}

func TestReaderLetsGoOfFiles(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	for i := range 10 {
		w.line(fmt.Sprint(i), record.Stdout)
		w.rotate()
		l.look()
		_, at, _ := drain(t, r, b)
		if i == 4 {
			// So far everything had to be kept.
			if n := len(l.chain); n != 6 {
				t.Fatalf("%d generations are open, want 6", n)
			}
		}
		if i >= 4 {
			r.Release(at[len(at)-1])
		}
	}
	if n := len(l.chain); n > 2 {
		t.Fatalf("%d generations are open, want at most 2", n)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(l.chain); n != 1 {
		t.Fatalf("%d generations are open after Close, want the live one", n)
	}
}

func TestReaderSeeksBack(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	var want []string
	for i := range 6 {
		want = append(want, fmt.Sprint(i))
		w.line(want[i], record.Stdout)
		if i%2 == 1 {
			w.rotate()
			l.look()
		}
	}
	got, _, _ := drain(t, r, b)
	wantLines(t, got, want)
	if err := r.Seek(record.Oldest()); err != nil {
		t.Fatal(err)
	}
	// After so many records of the batch from the start.
	if err := r.Next(b); err != nil {
		t.Fatal(err)
	}
	from := b.Start
	from.Skip++
	if err := r.Seek(from); err != nil {
		t.Fatal(err)
	}
	got, _, _ = drain(t, r, b)
	wantLines(t, got, want[1:])
	if lag := r.Lag(from); lag <= 0 {
		t.Fatalf("the lag behind the first line is %d", lag)
	}
}

// TestEndlessLine: a line that never ends holds its log for a few MiB, and not for
// ever.
func TestEndlessLine(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.maxFile = 50
	l, b := mustLog(t, root, running(w.id)), record.NewBatch()
	r := openReader(t, l, record.Oldest())
	at, part := w.tick(), strings.Repeat("e", partSize)
	var lines []string
	for i := range (DefaultMaxLine + 2*holdOver) / partSize {
		w.write(part, record.Stderr, at)
		if i%10 == 0 {
			w.line(fmt.Sprint(i), record.Stdout)
		}
		if i%100 == 99 {
			w.rotate()
			l.look()
			got, _, _ := drain(t, r, b)
			lines = append(lines, got...)
			r.Release(r.Position())
		}
	}
	got, _, _ := drain(t, r, b)
	if n := len(l.chain); n > 2+(DefaultMaxLine+holdOver)/(100*partSize) {
		t.Errorf("%d files are held", n)
	}
	w.line("after", record.Stdout)
	more, _, _ := drain(t, r, b)
	if lines = append(append(lines, got...), more...); len(lines) < 3 || lines[len(lines)-1] != "after" {
		t.Errorf("the last line is %.20q", lines[len(lines)-1])
	}
	cut := 0
	for _, text := range lines {
		if len(text) == DefaultMaxLine {
			cut++
		}
	}
	if want := (DefaultMaxLine+2*holdOver)/partSize/10 + 1 + 1; cut != 1 || len(lines) < want {
		t.Errorf("%d lines, %d of them cut, want %d and 1", len(lines), cut, want)
	}
}
