package jsonfile

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tallyman/collector/record"
)

// evict takes a file from an offset on out of memory.
func evict(t *testing.T, path string, from int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), from, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// What is not in memory is read all the same: a file that was rotated, and what has
// been written to one since it was read to its end.
func TestColdFiles(t *testing.T) {
	for _, cold := range []int64{0, 4096, 8192, 65536, 1 << 20} {
		t.Run(fmt.Sprint(cold), func(t *testing.T) {
			root := openRoot(t)
			w := newWriter(t, root.dir)
			write := func(lines int) {
				for i := range lines {
					w.line(fmt.Sprint(i, strings.Repeat("x", 100+i%9000))+"\n", record.Stdout)
				}
			}
			write(1000)
			w.rotate()
			evict(t, w.path(1), cold)
			write(1)
			r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
			batch := record.NewBatch()
			if lines, _, _ := drain(t, r, batch); len(lines) != 1001 {
				t.Fatalf("%d lines of 1001 were read", len(lines))
			}
			write(500)
			evict(t, w.path(0), cold)
			if lines, _, _ := drain(t, r, batch); len(lines) != 500 {
				t.Fatalf("%d lines of the 500 that came later were read", len(lines))
			}
		})
	}
}

// A file is known again by its first record, however much of that is in memory.
func TestColdHead(t *testing.T) {
	w := newWriter(t, t.TempDir())
	for range 100 {
		w.line(strings.Repeat("x", 15000)+"\n", record.Stdout)
	}
	open := func() *generation {
		g, err := openGeneration(w.path(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = g.close() })
		return g
	}
	name := open().nameLocked()
	for _, cold := range []int64{0, 4096, 8192, 12288} {
		evict(t, w.path(0), cold)
		if g := open(); !g.is(name, true) || g.nameLocked() != name {
			t.Errorf("cold from %d it is another file", cold)
		}
	}
}

// Reading a log does not write: the time of access stays what it is.
func TestReadingIsQuiet(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.line("first\n", record.Stdout)
	old := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	w.must(os.Chtimes(w.path(0), old, time.Now()))
	r := openReader(t, mustLog(t, root, running(w.id)), record.Oldest())
	if lines, _, _ := drain(t, r, record.NewBatch()); len(lines) != 1 {
		t.Fatalf("%d lines were read", len(lines))
	}
	var stat unix.Stat_t
	w.must(unix.Stat(w.path(0), &stat))
	if stat.Atim.Sec != old.Unix() {
		t.Errorf("it was read at %v, it says", time.Unix(stat.Atim.Unix()))
	}
}
