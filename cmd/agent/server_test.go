package agent

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestServerLimits: a client that is slow with its header, or has nothing to ask
// any more, loses its connection, and one with a long header is refused.
func TestServerLimits(t *testing.T) {
	if l := usualLimits(); l.header <= 0 || l.answer <= 0 || l.idle <= 0 || l.headerBytes <= 0 {
		t.Fatalf("there is no limit: %+v", l)
	}
	dial := func(l limits) net.Conn {
		t.Helper()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		server := newServer(context.Background(), handler, l, slog.New(slog.DiscardHandler))
		go func() { _ = server.Serve(listener) }() // It ends with the test.
		t.Cleanup(func() { _ = server.Close() })
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience)) // A socket has deadlines.
		return conn
	}
	const request = "GET / HTTP/1.1\r\nHost: x\r\n"
	answers := func(conn net.Conn, text string) []string {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(bufio.NewReader(conn))
		if err != nil {
			t.Fatalf("the connection is not closed: %v", err)
		}
		var status []string
		for line := range strings.Lines(string(all)) {
			if rest, ok := strings.CutPrefix(line, "HTTP/1.1 "); ok {
				status = append(status, rest[:3])
			}
		}
		return status
	}
	f := func(what string, l limits, text, want string) {
		t.Helper()
		if got := strings.Join(answers(dial(l), text), " "); got != want {
			t.Errorf("%s: it is answered with %q, want %q", what, got, want)
		}
	}
	const short = 50 * time.Millisecond
	f("no request", limits{header: short, idle: patience, headerBytes: 1 << 10}, "", "")
	f("half a header", limits{header: short, idle: patience, headerBytes: 1 << 10}, request, "")
	f("one request and no more", limits{header: patience, idle: short, headerBytes: 1 << 10}, request+"\r\n", "200")
	f("a long header", usualLimits(), request+"X: "+strings.Repeat("x", 80<<10)+"\r\n\r\n", "431")
}

// TestAnswersAreRead: a client that does not read its answer loses its connection, and
// with it what it holds.
func TestAnswersAreRead(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				written <- err
				return
			}
		}
	})
	l := usualLimits()
	l.answer = 100 * time.Millisecond
	server := newServer(context.Background(), endless, l, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(listener) }() // It ends with the test.
	t.Cleanup(func() { _ = server.Close() })
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-written:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("writing ends with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the answer is held though nobody reads it")
	}
}

// TestConnectionLimit: what comes on top of the connections that an address takes
// waits until one of them ends.
func TestConnectionLimit(t *testing.T) {
	listeners, err := listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	l := listeners[0]
	taken := make(chan net.Conn, 2*maxConnections)
	var accepted, closed atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if n := accepted.Add(1); n > maxConnections+closed.Load() {
				t.Errorf("%d connections are taken, %d of which have ended", n, closed.Load())
			}
			taken <- conn
		}
	}()
	for range maxConnections + 20 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	wait := func(n int64) {
		t.Helper()
		for deadline := time.Now().Add(patience); accepted.Load() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d connections are taken, want %d", accepted.Load(), n)
			}
		}
	}
	wait(maxConnections)
	for n := range int64(20) {
		closed.Add(1)
		if err := (<-taken).Close(); err != nil {
			t.Fatal(err)
		}
		wait(maxConnections + n + 1)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
}
