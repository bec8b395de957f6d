package jsonfile

import (
	"fmt"
	"os"
	"testing"

	"tallyman/collector/record"
)

// opened waits until the root has opened the log of a container.
func opened(t *testing.T, root *Root, id string) *Log {
	t.Helper()
	var l *Log
	waitFor(t, func() bool {
		root.mu.Lock()
		defer root.mu.Unlock()
		if e := root.logs[id]; e != nil {
			l = e.log
		}
		return l != nil
	})
	return l
}

func (l *Log) generations() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.chain)
}

// openedLongAgo has a log be no newcomer.
func (l *Log) openedLongAgo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = l.opened.Add(-newcomers)
}

// rotating makes a container that rotates its files away before a route has come
// for it, and returns what it has written.
func rotating(t *testing.T, root *Root) (w *writer, l *Log, lines []string) {
	t.Helper()
	w = newWriter(t, root.dir)
	l = opened(t, root, w.id)
	for i := range 7 {
		lines = append(lines, fmt.Sprint("line ", i))
		w.line(lines[i], record.Stdout)
		waitFor(t, func() bool { return l.generations() == i+1 })
		if i < 6 {
			w.rotate()
		}
	}
	return w, l, lines
}

// The engine may tell of a new container late: what it has rotated away by then
// is there when a route comes.
func TestNewLogIsKeptUntilARouteComes(t *testing.T) {
	root := openRoot(t)
	runRoot(t, root)
	w, l, want := rotating(t, root)
	r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
	b := record.NewBatch()
	got, at, _ := drain(t, r, b)
	wantLines(t, got, want)
	r.Release(at[len(at)-1])
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.generations(); n != 1 {
		t.Fatalf("%d generations are kept after the only route has had them", n)
	}
}

// A route that could not come yet comes again.
func TestNewLogIsKeptForARouteThatFailed(t *testing.T) {
	root := openRoot(t)
	runRoot(t, root)
	w, l, want := rotating(t, root)
	// A folder in the place of a file makes the look at the folder fail.
	w.must(os.Rename(w.path(1), w.path(9)))
	w.must(os.Mkdir(w.path(1), 0o700))
	if _, err := l.Reader(record.Oldest(), func() {}); err == nil {
		t.Fatal("a reader came in spite of it")
	}
	w.must(os.Remove(w.path(1)))
	w.must(os.Rename(w.path(9), w.path(1)))
	w.rotate()
	want = append(want, "at last")
	w.line("at last", record.Stdout)
	waitFor(t, func() bool { return l.generations() == len(want) })
	got, _, _ := drain(t, openReader(t, l, record.Oldest()), record.NewBatch())
	wantLines(t, got, want)
}

// No route may want it.
func TestNewLogIsNotKeptForEver(t *testing.T) {
	root := openRoot(t)
	runRoot(t, root)
	_, l, _ := rotating(t, root)
	l.openedLongAgo()
	waitFor(t, func() bool { return l.generations() == 1 })
}

// A new log of which as many files are there as dockerd keeps may have had more.
func TestNewLogSeenLate(t *testing.T) {
	for _, test := range []struct{ rotations, files, gaps int }{
		{1, 3, 0}, {2, 3, 1}, {5, 3, 1}, {2, 0, 0}, {0, 1, 0},
	} {
		t.Run(fmt.Sprintf("%d rotations, %d files", test.rotations, test.files), func(t *testing.T) {
			root := openRoot(t)
			w := newWriter(t, root.dir)
			for range test.rotations {
				w.line("line", record.Stdout)
				w.rotate()
			}
			root.open(w.id, true)
			c := running(w.id)
			c.LogFiles = test.files
			for range 2 {
				mustLog(t, root, c)
			}
			if gaps := root.stats.Gaps.Load(); gaps != int64(test.gaps) {
				t.Fatalf("%d gaps were counted, want %d", gaps, test.gaps)
			}
		})
	}
	t.Run("an old container's", func(t *testing.T) {
		root := openRoot(t)
		w := newWriter(t, root.dir)
		for range 5 {
			w.line("line", record.Stdout)
			w.rotate()
		}
		c := running(w.id)
		c.LogFiles = w.maxFile
		mustLog(t, root, c)
		if gaps := root.stats.Gaps.Load(); gaps != 0 {
			t.Fatalf("%d gaps were counted", gaps)
		}
	})
}

// A container may come in the moment in which the kernel drops notices.
func TestNewLogIsKeptAfterAnOverflow(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line("first", record.Stdout)
	changes := map[*Log]change{}
	root.overflow(changes)
	l := opened(t, root, w.id)
	w.rotate()
	w.line("second", record.Stdout)
	l.look()
	if n := l.generations(); n != 2 {
		t.Fatalf("%d generations are kept, want 2", n)
	}
}
