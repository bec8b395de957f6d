package jsonfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openNotices(t *testing.T) (w *notices, dir string) {
	t.Helper()
	w, err := newNotices()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.release)
	dir = t.TempDir()
	var failed error
	err = w.control(func(fd int) { _, failed = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return w, dir
}

func touch(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// waitsFor returns how many descriptors the kernel waits for (proc(5), fdinfo of
// epoll).
func (w *notices) waitsFor(t *testing.T) int {
	t.Helper()
	var text []byte
	var failed error
	err := w.conn.Control(func(fd uintptr) { text, failed = os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd)) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("tfd:"))
}

// Events wake whoever waits for them. While he rests they wake nobody, and are all
// there afterwards.
func TestRestIsUndisturbed(t *testing.T) {
	w, dir := openNotices(t)
	for round := range 3 {
		touch(t, dir, "a")
		events, err := w.wait()
		if err != nil || !bytes.Contains(events, []byte("a\x00")) || !w.all() {
			t.Fatalf("round %d: %q, %v", round, events, err)
		}
		const pause = 20 * time.Millisecond
		begun := time.Now()
		written := make(chan struct{})
		go func() {
			defer close(written)
			time.Sleep(pause / 4)
			for _, name := range []string{"b", "c"} {
				touch(t, dir, name)
			}
		}()
		if err := w.rest(pause); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < pause {
			t.Fatalf("round %d: rested for %s of %s", round, took, pause)
		}
		<-written
		if n := w.waitsFor(t); n != 1 {
			t.Fatalf("round %d: %d descriptors wake in a rest, not the timer alone", round, n)
		}
		events = w.more()
		for _, name := range []string{"b\x00", "c\x00"} {
			if !bytes.Contains(events, []byte(name)) {
				t.Fatalf("round %d: no %q in %q", round, name, events)
			}
		}
		if n := len(w.more()); n != 0 {
			t.Fatalf("round %d: %d bytes more", round, n)
		}
		for _, name := range []string{"a", "b", "c"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What came in a rest is told to whoever waits afterwards.
func TestWaitAfterRest(t *testing.T) {
	w, dir := openNotices(t)
	if err := w.rest(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	touch(t, dir, "a")
	events, err := w.wait()
	if err != nil || !bytes.Contains(events, []byte("a\x00")) {
		t.Fatalf("%q, %v", events, err)
	}
	go func() {
		time.Sleep(10 * time.Millisecond)
		touch(t, dir, "b")
	}()
	if events, err = w.wait(); err != nil || !bytes.Contains(events, []byte("b\x00")) {
		t.Fatalf("%q, %v", events, err)
	}
}

// More events than the buffer takes are told in several parts.
func TestManyNotices(t *testing.T) {
	w, dir := openNotices(t)
	w.buffer = w.buffer[:2*longestEvent]
	const n = 100
	for i := range n {
		touch(t, dir, string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	found := 0
	for {
		events, all := w.more(), w.all()
		some := len(events) > 0
		for ; len(events) > 0; found++ {
			events = events[unix.SizeofInotifyEvent+binary.NativeEndian.Uint32(events[12:]):]
		}
		if all {
			break
		}
		if !some {
			t.Fatal("there is said to be more and there is none")
		}
	}
	if left := len(w.more()); left != 0 || found != n {
		t.Fatalf("%d events of %d, and %d bytes were left", found, n, left)
	}
}

// Closing ends a wait, a rest, and those that follow.
func TestCloseEndsWaits(t *testing.T) {
	for name, wait := range map[string]func(*notices) error{
		"wait": func(w *notices) error { _, err := w.wait(); return err },
		"rest": func(w *notices) error { return w.rest(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := openNotices(t)
			go func() {
				time.Sleep(20 * time.Millisecond)
				w.close()
			}()
			for range 2 {
				if err := wait(w); !errors.Is(err, os.ErrClosed) {
					t.Fatalf("%v", err)
				}
			}
			if _, err := w.wait(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("a wait after closing: %v", err)
			}
			if err := w.rest(time.Hour); !errors.Is(err, os.ErrClosed) {
				t.Errorf("a rest after closing: %v", err)
			}
			w.release()
			if err := w.control(func(int) { t.Error("a descriptor after release") }); err == nil {
				t.Error("no error after release")
			}
		})
	}
}
