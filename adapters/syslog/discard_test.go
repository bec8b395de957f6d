package syslog

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// discardCommand, as the first argument, makes the test binary a server that
// throws away what it reads, so that a benchmark's process time is the sender's
// alone.
const discardCommand = "discard-what-is-sent"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == discardCommand {
		serveDiscard()
		return
	}
	os.Exit(m.Run())
}

// serveDiscard serves until its standard input ends.
func serveDiscard() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(listener.Addr().String() + "\n")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// discard starts such a server and returns its address.
func discard(b *testing.B) string {
	b.Helper()
	command := exec.Command(os.Args[0], discardCommand)
	stdin, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	line := make([]byte, 100)
	n, err := stdout.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

// processCPU returns the time that this process has spent on a processor.
func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
