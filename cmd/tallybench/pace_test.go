package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPipeWriter: all that is written comes, whatever its lengths, through a pipe
// that is full most of the time, blocking or not.
func TestPipeWriter(t *testing.T) {
	for _, nonblocking := range []bool{false, true} {
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		in, out := os.NewFile(uintptr(ends[0]), "in"), os.NewFile(uintptr(ends[1]), "out")
		w, ok := cheapWriter(out).(pipeWriter)
		if !ok {
			t.Fatalf("a pipe is written by a %T", w)
		}
		if err := unix.SetNonblock(ends[1], nonblocking); err != nil {
			t.Fatal(err)
		}
		text := bytes.Repeat([]byte("0123456789abcdef\n"), 20_000)
		got := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(in) // What is missing shows.
			got <- all
		}()
		for rest, n := text, 1; len(rest) > 0; n = n*3%200_003 + 1 {
			n := min(n, len(rest))
			if written, err := w.Write(rest[:n]); written != n || err != nil {
				t.Fatalf("%d of %d bytes are written: %v", written, n, err)
			}
			rest = rest[n:]
		}
		_ = out.Close()
		if all := <-got; !bytes.Equal(all, text) {
			t.Errorf("nonblocking %v: %d bytes come of %d, or others", nonblocking, len(all), len(text))
		}
		_ = in.Close()
	}
	if w := io.Discard; cheapWriter(w) != w {
		t.Error("what is no pipe is written as one")
	}
}

// TestGenIsCheap: for a line that is written by itself the generator wakes up
// once, with one thread.
func TestGenIsCheap(t *testing.T) {
	asItself(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "gen", "-lines", "0", "-rate", "200")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed.
	}()
	lines := bufio.NewScanner(out)
	read := func(n int) {
		for range n {
			if !lines.Scan() {
				t.Fatal("the generator has ended")
			}
		}
	}
	// How often its threads went to sleep (proc(5), status). That others have taken
	// the processor from them is not in it.
	slept := func() (sum int) {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
		if err != nil || len(files) == 0 {
			t.Fatalf("its threads are not to be seen: %v", err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // The thread has ended.
			}
			_, rest, found := strings.Cut(string(text), "\nvoluntary_ctxt_switches:")
			var n int
			if _, err := fmt.Sscan(rest, &n); err != nil || !found {
				t.Fatalf("%s does not tell: %v", name, err)
			}
			sum += n
		}
		return sum
	}
	read(100)
	least := math.Inf(1)
	// What the runtime does now and then is in some of the windows.
	for range 5 {
		before := slept()
		read(100)
		least = min(least, float64(slept()-before)/100)
	}
	if least > 2 {
		t.Errorf("its threads go to sleep %.1f times a line", least)
	}
}
