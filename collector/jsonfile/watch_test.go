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

// mask returns the events that the kernel tells of for a log's folder, and how many
// folders it watches (proc(5), fdinfo of inotify).
func (w *watch) mask(t *testing.T, wd int) (mask uint32, watched int) {
	t.Helper()
	var text []byte
	var failed error
	err := w.control(func(fd int) { text, failed = os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd)) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	for line := range strings.Lines(string(text)) {
		var id int
		var ino, dev, m uint32
		if n, _ := fmt.Sscanf(line, "inotify wd:%x ino:%x sdev:%x mask:%x", &id, &ino, &dev, &m); n == 4 {
			watched++
			if id == wd {
				mask = m
			}
		}
	}
	return mask, watched
}

// A container that writes wakes the agent only where somebody reads its log.
func TestWatchOfWritesOnlyWithReaders(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	e := root.open(w.id, false)
	check := func(when string, want bool) {
		t.Helper()
		mask, watched := root.watch.mask(t, e.wd)
		if told := mask&unix.IN_MODIFY != 0; told != want || mask&unix.IN_CREATE == 0 || watched != 2 {
			t.Fatalf("%s: the mask is %x, %d folders are watched", when, mask, watched)
		}
	}
	check("without readers", false)
	first := openReader(t, e.log, record.Oldest())
	check("with a reader", true)
	second := openReader(t, e.log, record.Oldest())
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	check("with the other reader", true)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	check("with none any more", false)
	third := openReader(t, e.log, record.Oldest())
	check("with a new one", true)
	w.remove()
	root.drop(w.id)
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	if _, watched := root.watch.mask(t, e.wd); watched != 1 {
		t.Fatalf("%d folders are watched after the only log has been removed", watched)
	}
}

// What comes while changes are gathered is told with them, also in the first round of
// a busy time: a line waits for the delay once.
func TestGatheredOnce(t *testing.T) {
	const delay = time.Second
	root, err := Open(Options{Dir: t.TempDir(), TempDir: t.TempDir(), Poll: time.Hour, MaxDelay: delay})
	if err != nil {
		t.Fatal(err)
	}
	runRoot(t, root)
	open := func() (w *writer, told chan time.Time) {
		w = newWriter(t, root.dir)
		told = make(chan time.Time, 100)
		r, err := mustLog(t, root, running(w.id)).Reader(record.Oldest(), func() { told <- time.Now() })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return w, told
	}
	first, toldFirst := open()
	second, toldSecond := open()
	for range 5 {
		// Until nothing is busy.
		time.Sleep(4 * delay)
		for range len(toldFirst) {
			<-toldFirst
		}
		for range len(toldSecond) {
			<-toldSecond
		}
		first.line("0", record.Stdout)
		<-toldFirst
		begun := time.Now()
		first.line("1", record.Stdout)
		time.Sleep(delay / 4)
		second.line("0", record.Stdout)
		if time.Since(begun) > delay/2 {
			continue // This machine is too slow to say that it came in the rest.
		}
		if apart := (<-toldSecond).Sub(<-toldFirst); apart > delay/2 {
			t.Errorf("a line that came in a rest was told %s after what began it", apart)
		}
		return
	}
	t.Fatal("five times the machine was too slow to write within a rest")
}
