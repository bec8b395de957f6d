package jsonfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// writer is dockerd's side of a log: it appends, rotates, compresses and
// removes as daemon/logger/loggerutils does.
type writer struct {
	t        testing.TB
	dir, id  string
	file     *os.File
	compress bool
	maxFile  int
	clock    time.Time
}

func newWriter(t testing.TB, root string) *writer {
	t.Helper()
	w := &writer{t: t, id: fmt.Sprintf("%064x", rand.Uint64()), maxFile: 3, clock: time.Unix(1795225145, 0)}
	w.dir = filepath.Join(root, w.id)
	w.must(os.Mkdir(w.dir, 0o710))
	w.create()
	return w
}

func (w *writer) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) path(i int) string {
	p := filepath.Join(w.dir, w.id+"-json.log")
	if i == 0 {
		return p
	}
	p += fmt.Sprintf(".%d", i)
	if w.compress {
		p += ".gz"
	}
	return p
}

func (w *writer) create() {
	file, err := os.OpenFile(w.path(0), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	w.must(err)
	w.file = file
}

func (w *writer) tick() time.Time {
	w.clock = w.clock.Add(1234567 * time.Nanosecond)
	return w.clock
}

func (w *writer) write(text string, stream record.Stream, at time.Time) {
	_, err := w.file.Write(dockerLine(text, stream, at))
	w.must(err)
}

// line writes a line, in parts if it is long, all with the first one's time.
func (w *writer) line(text string, stream record.Stream) {
	at := w.tick()
	for len(text) >= partSize {
		w.write(text[:partSize], stream, at)
		text = text[partSize:]
	}
	w.write(text+"\n", stream, at)
}

func (w *writer) rotate() {
	w.must(w.file.Close())
	if w.maxFile == 1 {
		w.must(os.Remove(w.path(0)))
		w.create()
		return
	}
	if err := os.Remove(w.path(w.maxFile - 1)); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	for i := w.maxFile - 2; i >= 1; i-- {
		if err := os.Rename(w.path(i), w.path(i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
	plain := w.path(0) + ".1"
	w.must(os.Rename(w.path(0), plain))
	w.create()
	if w.compress {
		text, err := os.ReadFile(plain)
		w.must(err)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err = z.Write(text)
		w.must(err)
		w.must(z.Close())
		w.must(os.WriteFile(plain+".gz", packed.Bytes(), 0o640))
		w.must(os.Remove(plain))
	}
}

func (w *writer) remove() {
	w.must(w.file.Close())
	w.must(os.RemoveAll(w.dir))
}

// openRoot runs a Root on a new folder until the test ends. Its polls are slow,
// so that a test that passes has been told by inotify or looks by itself.
func openRoot(t testing.TB) *Root {
	t.Helper()
	root, err := Open(Options{Dir: t.TempDir(), TempDir: t.TempDir(), Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func runRoot(t testing.TB, root *Root) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		root.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// drain reads until there is nothing more and returns the lines and the
// position after each batch. ended says that the log has.
func drain(t testing.TB, r collector.Reader, b *record.Batch) (lines []string, at []record.Position, ended bool) {
	t.Helper()
	for {
		err := r.Next(b)
		if errors.Is(err, collector.ErrIdle) {
			return lines, at, false
		}
		if errors.Is(err, io.EOF) {
			return lines, at, true
		}
		if err != nil {
			t.Fatalf("reading: %v", err)
		}
		for i := range b.Records {
			lines = append(lines, string(b.Records[i].Line))
		}
		at = append(at, b.End)
	}
}

func openReader(t testing.TB, l *Log, from record.Position) collector.Reader {
	t.Helper()
	r, err := l.Reader(from, func() {})
	if err != nil {
		t.Fatalf("opening a reader: %v", err)
	}
	return r
}

func mustLog(t testing.TB, root *Root, c *record.Container) *Log {
	t.Helper()
	l, err := root.Log(c)
	if err != nil {
		t.Fatal(err)
	}
	return l.(*Log)
}

func running(id string) *record.Container {
	return &record.Container{ID: id, Name: "web", Running: true}
}

func wantLines(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("line %d is %.80q, want %.80q (%d lines, want %d)", i, got[i], want[i], len(got), len(want))
			}
		}
		t.Fatalf("%d lines, want %d: %.60q, want %.60q", len(got), len(want), got, want)
	}
}

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

// TestReaderModel lets a random container write while a reader follows, is
// killed and resumes from a position it has given, and compares the lines of
// each stream with what was written.
func TestReaderModel(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

// longText returns n bytes with many escapes, no part of which is like another.
func longText(seed, n int) string {
	var text []byte
	for i := 0; len(text) < n; i++ {
		text = fmt.Appendf(text, "%d\"%d\t", seed, i)
	}
	return string(text[:n]) + "."
}

func runModel(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.compress = random.IntN(2) == 0
	// Only where nothing is rotated away can a killed reader find it again.
	kills := random.IntN(2) == 0
	if kills {
		w.maxFile = 1000
	}
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	b.Block = b.Block[:64<<10+random.IntN(64<<10)]

	var want, got []string // in the order in which the lines end
	type piece struct{ text, rest string }
	var open [record.Streams]piece
	var times [record.Streams]time.Time

	step := func() {
		stream := record.Stream(random.IntN(2))
		p := &open[stream]
		if p.text == "" {
			if random.IntN(4) > 0 {
				text := fmt.Sprintf("%d %v", len(want), stream)
				w.line(text, stream)
				want = append(want, text)
				return
			}
			text := longText(len(want), random.IntN(6*partSize))
			times[stream] = w.tick()
			*p = piece{text: text, rest: text}
		}
		if len(p.rest) >= partSize {
			w.write(p.rest[:partSize], stream, times[stream])
			p.rest = p.rest[partSize:]
			return
		}
		w.write(p.rest+"\n", stream, times[stream])
		want = append(want, p.text)
		*p = piece{}
	}
	read := func() {
		for {
			err := r.Next(b)
			if errors.Is(err, collector.ErrIdle) {
				return
			}
			if err != nil {
				t.Fatalf("reading: %v", err)
			}
			// What a crash after some of the batch would resume from.
			if n := len(b.Records); n > 0 && random.IntN(6) == 0 {
				k := random.IntN(n + 1)
				for i := range k {
					got = append(got, string(b.Records[i].Line))
				}
				at := b.Start
				at.Skip += uint32(k)
				if k > 0 && random.IntN(2) == 0 {
					last := b.Records[k-1]
					at = record.Position{Gen: b.End.Gen, Off: last.Resume, Skip: last.Skip}
				}
				if !kills || random.IntN(2) == 0 {
					if err := r.Seek(at); err != nil {
						t.Fatalf("seeking: %v", err)
					}
					continue
				}
				_ = r.Close()
				root.drop(w.id)
				var err error
				root, err = Open(Options{Dir: root.dir, TempDir: t.TempDir(), Poll: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				l = mustLog(t, root, running(w.id))
				r = openReader(t, l, at)
				continue
			}
			for i := range b.Records {
				got = append(got, string(b.Records[i].Line))
			}
			r.Release(b.End)
		}
	}
	for range 200 {
		switch random.IntN(20) {
		case 0:
			// dockerd rotates a file that is full, never an empty one.
			step()
			w.rotate()
			if random.IntN(3) > 0 {
				l.look()
			} else {
				// Two rotations between looks: the chain is followed by inode.
				step()
				w.rotate()
				l.look()
			}
			read()
		case 1, 2, 3:
			read()
		default:
			step()
		}
	}
	l.look()
	read()
	wantLines(t, got, want)
	_ = r.Close()
	root.drop(w.id)
}
