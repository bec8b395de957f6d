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

// root returns the folder of all containers.
func (w *writer) root() string { return filepath.Dir(w.dir) }

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
		w.pack(plain+".gz", text)
		w.must(os.Remove(plain))
	}
}

// pack writes a compressed file.
func (w *writer) pack(path string, text []byte) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(text)
	w.must(err)
	w.must(z.Close())
	w.must(os.WriteFile(path, packed.Bytes(), 0o640))
}

// cut empties the file as somebody else than dockerd does, which has it open in
// append mode until the first rotation.
func (w *writer) cut() {
	w.must(os.Truncate(w.path(0), 0))
	_, err := w.file.Seek(0, io.SeekStart)
	w.must(err)
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
				t.Fatalf("line %d is %.80q of %d bytes, want %.80q of %d (%d lines, want %d)", i, got[i], len(got[i]), want[i], len(want[i]), len(got), len(want))
			}
		}
		t.Fatalf("%d lines, want %d: %.60q, want %.60q", len(got), len(want), got, want)
	}
}
