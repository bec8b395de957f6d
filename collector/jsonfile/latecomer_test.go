package jsonfile

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tallyman/collector"
	"tallyman/collector/durable"
	"tallyman/collector/record"
)

// copiedRest writes two files, of which the first has been copied from its third
// line on, for a reader that needs no more of it.
func copiedRest(t *testing.T, compress bool) (root *Root, w *writer, l *Log, oldest record.Position) {
	t.Helper()
	dir, vault := t.TempDir(), t.TempDir()
	root, _ = openRescuing(t, dir, vault, 1<<30)
	w = newWriter(t, dir)
	w.compress = compress
	l = mustLog(t, root, running(w.id))
	l.openedLongAgo()
	r, b := openReader(t, l, record.Oldest()), record.NewBatch()
	t.Cleanup(func() { _ = r.Close() })
	for _, text := range []string{"0", "1", "2", "3"} {
		if text == "2" {
			w.must(r.Next(b))
			oldest = b.Start
			r.Release(b.End)
		}
		w.line(text, record.Stdout)
	}
	w.rotate()
	l.look()
	w.line("4", record.Stdout)
	waitFor(t, func() bool {
		files := rescuedFiles(t, vault)
		if len(files) != 1 {
			return false
		}
		text, err := os.ReadFile(files[0])
		return err == nil && !bytes.Contains(text, []byte(`"1\n"`)) && bytes.Contains(text, []byte(`"3\n"`))
	})
	waitFor(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.chain[0].base > 0
	})
	return root, w, l, oldest
}

// TestCopyDoesNotHideTheFile: a reader that begins before the copy that was made
// of a file for another one reads the file, which dockerd still has.
func TestCopyDoesNotHideTheFile(t *testing.T) {
	f := func(compress, named bool) {
		t.Helper()
		root, w, l, oldest := copiedRest(t, compress)
		if !named {
			oldest = record.Oldest()
		}
		r := openReader(t, l, oldest)
		got, _, _ := drain(t, r, record.NewBatch())
		wantLines(t, got, []string{"0", "1", "2", "3", "4"})
		// It is copied anew for this one.
		waitFor(t, func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.chain[0].rescued != "" && l.chain[0].base == 0
		})
		waitFor(t, func() bool { return len(rescuedFiles(t, root.vault.dir)) == 1 })
		if n := root.Stats().LostGenerations.Load(); n != 0 {
			t.Errorf("%d places are said to be lost", n)
		}
		w.must(r.Close())
	}
	f(false, false)
	f(false, true)
	f(true, false)
	f(true, true)
}

// TestDamagedFileDoesNotReplaceACopy: a file that has lost its end, which its copy
// has, stays away.
func TestDamagedFileDoesNotReplaceACopy(t *testing.T) {
	root, w, l, _ := copiedRest(t, true)
	packed, err := os.Open(w.path(1))
	w.must(err)
	var text bytes.Buffer
	_, err = inflate(&text, packed)
	w.must(errors.Join(err, packed.Close()))
	first, _, _ := strings.Cut(text.String(), "\n")
	w.pack(w.path(1), []byte(first+"\n"))
	r := openReader(t, l, record.Oldest())
	got, _, _ := drain(t, r, record.NewBatch())
	wantLines(t, got, []string{"2", "3", "4"})
	if files := rescuedFiles(t, root.vault.dir); len(files) != 1 {
		t.Errorf("the copies are %q", files)
	}
	w.must(r.Close())
}

// TestCopyStaysUntilThereIsAnother: while the file that has taken a copy's place
// again cannot be copied, the copy is there for a restart.
func TestCopyStaysUntilThereIsAnother(t *testing.T) {
	root, w, l, _ := copiedRest(t, false)
	before := rescuedFiles(t, root.vault.dir)
	files := &faultyFiles{}
	files.set(rescuedSuffix, fault{create: syscall.ENOSPC})
	root.vault.mu.Lock()
	root.vault.files = files
	root.vault.mu.Unlock()
	r := openReader(t, l, record.Oldest())
	waitFor(t, func() bool { return root.Stats().RescueErrors.Load() > 0 })
	if now := rescuedFiles(t, root.vault.dir); !slices.Equal(now, before) {
		t.Errorf("the copies are %q, they were %q", now, before)
	}
	files.set("", fault{})
	waitFor(t, func() bool {
		now := rescuedFiles(t, root.vault.dir)
		return len(now) == 1 && now[0] != before[0]
	})
	w.must(r.Close())
}

// TestCopyBeginsBehindAPosition: what lies between a position and a copy is lost
// when the file is gone, which is told.
func TestCopyBeginsBehindAPosition(t *testing.T) {
	_, w, l, oldest := copiedRest(t, false)
	w.must(os.Remove(w.path(1)))
	r, err := l.Reader(oldest, func() {})
	var lost *collector.LostError
	if !errors.As(err, &lost) {
		t.Fatalf("a position before the copy gives %v", err)
	}
	got, _, _ := drain(t, r, record.NewBatch())
	wantLines(t, got, []string{"2", "3", "4"})
	w.must(r.Close())
}

// TestReaderComesWhileCopying: a copy does not take the place of a file of which
// a reader needs more that has come while it was made.
func TestReaderComesWhileCopying(t *testing.T) {
	root := openRoot(t)
	var err error
	if root.vault, err = openVault(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	w := newWriter(t, root.dir)
	l := mustLog(t, root, running(w.id))
	l.openedLongAgo()
	b := record.NewBatch()
	first := openReader(t, l, record.Oldest())
	w.line("0", record.Stdout)
	w.must(first.Next(b))
	first.Release(b.End)
	w.line("1", record.Stdout)
	w.rotate()
	l.look()
	perils := l.inPeril()
	if len(perils) != 1 || perils[0].from == 0 {
		t.Fatalf("%+v is in peril", perils)
	}
	var second collector.Reader
	root.vault.files = &hookedFiles{hook: func() { second = openReader(t, l, record.Oldest()) }}
	w.must(root.rescueOne(l, perils[0]))
	got, at, _ := drain(t, second, b)
	wantLines(t, got, []string{"0", "1"})
	root.rescue(l)
	w.must(second.Seek(record.Position{Gen: at[0].Gen}))
	got, _, _ = drain(t, second, b)
	wantLines(t, got, []string{"0", "1"})
	if held := root.vault.used.Load(); held != perils[0].from+perils[0].size {
		t.Errorf("copies take %d bytes", held)
	}
	w.must(errors.Join(first.Close(), second.Close()))
}

// hookedFiles are real files that call hook before the first copy is complete.
type hookedFiles struct {
	durable.Disk
	hook func()
}

func (f *hookedFiles) Rename(from, to string) error {
	if strings.HasSuffix(to, rescuedSuffix) && f.hook != nil {
		f.hook()
		f.hook = nil
	}
	return f.Disk.Rename(from, to)
}

// A reader that came before there was any file begins with the oldest, also where it
// is a compressed one.
func TestBeginsInACompressedFile(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.compress = true
	w.must(os.Remove(w.path(0)))
	l := mustLog(t, root, running(w.id))
	r, b := openReader(t, l, record.Oldest()), record.NewBatch()
	if err := r.Next(b); !errors.Is(err, collector.ErrIdle) {
		t.Fatalf("without a file: %v", err)
	}
	w.create()
	want := []string{"0", "1", "2"}
	for _, text := range want {
		w.line(text, record.Stdout)
		if text != "2" {
			w.rotate()
		}
	}
	l.look()
	got, _, _ := drain(t, r, b)
	wantLines(t, got, want)
}

// A log that is found idle is not let go of when somebody has come to read it since.
func TestForgetSparesAReader(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line("0", record.Stdout)
	l := mustLog(t, root, running(w.id))
	l.End()
	r, b := openReader(t, l, record.Oldest()), record.NewBatch()
	root.drop(w.id)
	got, _, ended := drain(t, r, b)
	wantLines(t, got, []string{"0"})
	if !ended {
		t.Error("the log of a removed container has no end")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whoever reads what has been closed is told so, and gets nothing of another file
// with the descriptor's number.
func TestReadingWhatIsClosed(t *testing.T) {
	w := newWriter(t, t.TempDir())
	g, err := openGeneration(w.path(0))
	if err != nil {
		t.Fatal(err)
	}
	w.must(g.close())
	if n, err := g.read(make([]byte, 10), 0, false); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
