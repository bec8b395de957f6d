package syslog

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// respondCommand, as the first argument, makes the test binary a server that
// throws away what it reads and responds as RELP has it, so that a benchmark's
// process time is the sender's alone.
const respondCommand = "discard-and-respond"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == respondCommand {
		serveResponses()
		return
	}
	os.Exit(m.Run())
}

// respond responds to every frame of RELP.
func respond(conn net.Conn) {
	r, w := bufio.NewReaderSize(conn, 256<<10), bufio.NewWriterSize(conn, 64<<10)
	for {
		header, err := r.ReadSlice(' ')
		if err != nil {
			return
		}
		_, _ = w.Write(header)
		command, err := r.ReadSlice(' ')
		if err != nil {
			return
		}
		response := "rsp 6 200 OK\n"
		if command[0] == 'o' {
			response = "rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n"
		}
		_, _ = w.WriteString(response)
		size := 0
		for c, err := r.ReadByte(); err == nil && c >= '0' && c <= '9'; c, err = r.ReadByte() {
			size = size*10 + int(c-'0')
		}
		if size > 0 {
			_, _ = r.Discard(size + 1)
		}
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// serveResponses serves until its standard input ends.
func serveResponses() {
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
			go respond(conn)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// responder starts such a server and returns its address.
func responder(b *testing.B) string {
	b.Helper()
	command := exec.Command(os.Args[0], respondCommand)
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
