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
	stopped := *c
	stopped.Running = false
	l.SetContainer(&stopped)
	got, at, _ := drain(t, r, b)
	wantLines(t, got, []string{strings.Repeat("e", partSize)})
	if last := at[len(at)-1]; last.Skip != 0 {
		t.Fatalf("the position after it is %+v", last)
	}
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
	// dockerd has the file open in append mode until the first rotation.
	w.must(os.Truncate(w.path(0), 0))
	_, err := w.file.Seek(0, io.SeekStart)
	w.must(err)
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
