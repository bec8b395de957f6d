package relp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"tallyman/adapters/transport"
)

// script is a server that opens a session and then does as it is told. received
// waits until the client has sent a text, somewhere in what it sent.
func script(t *testing.T, do func(conn net.Conn, received func(string))) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		var got []byte
		received := func(text string) {
			buf := make([]byte, 4096)
			for !bytes.Contains(got, []byte(text)) {
				n, err := conn.Read(buf)
				if got = append(got, buf[:n]...); err != nil {
					return
				}
			}
		}
		received("commands=syslog\n")
		_, _ = conn.Write([]byte("1 rsp 39 200 OK\nrelp_version=0\ncommands=a,syslog\n"))
		do(conn, received)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

// Whatever a server sends, the client says what is wrong with it.
func TestHostileServer(t *testing.T) {
	f := func(sends, want string) {
		t.Helper()
		address := script(t, func(conn net.Conn, received func(string)) {
			received("2 syslog 1 a\n")
			_, _ = conn.Write([]byte(sends))
			received("nothing more") // Until the client hangs up.
		})
		s := newSender(t, address, 4)
		s.send("a")
		err := s.wait(1)[0]
		if want = fmt.Sprintf("reading from %q: %s", address, want); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", sends, err, want)
		}
	}
	f("3 rsp 6 200 OK\n", "the server responded to number 3, which does not wait")
	f("1 rsp 6 200 OK\n", "the server responded to number 1, which does not wait")
	f("0 rsp 6 200 OK\n", "the server responded to number 0, which does not wait")
	f("2 rsp 0\n", `a response that begins with "" in place of a code`)
	f("2 rsp 2147483647 x", "a number of more than 9 digits")
	f("2 rsp 999999999 x", "a frame of 999999999 bytes, where at most 8192 are taken")
	f("2 syslog 1 a\n", `the server sent the unknown command "syslog"`)
	f("0 serverclose 0\n", "the server closed the session")
	f("HTTP/1.1 400 Bad Request\r\n", "'H' where a number is due")
}

func TestAnsweredTwice(t *testing.T) {
	address := script(t, func(conn net.Conn, received func(string)) {
		received("3 syslog 1 b\n")
		_, _ = conn.Write([]byte("3 rsp 6 200 OK\n3 rsp 6 200 OK\n"))
		received("nothing more")
	})
	s := newSender(t, address, 100)
	s.send("a", "b")
	if err := s.wait(1)[0]; err == nil || !strings.HasSuffix(err.Error(), "the server responded to number 3 twice") {
		t.Fatalf("got %v", err)
	}
}

func TestBadOffers(t *testing.T) {
	f := func(offers, want string) {
		t.Helper()
		server := start(t, nil)
		server.Offers = offers
		s := newSender(t, server.Address(), 4)
		s.send("a")
		err := s.wait(1)[0]
		if want = fmt.Sprintf("opening a session with %q: %s", server.Address(), want); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", offers, err, want)
		}
	}
	f("500 go away", `the server refused: 500 "go away"`)
	f("200 OK\ncommands=syslog", "the server offers no version of RELP that is known here")
	f("200 OK\nrelp_version=2\ncommands=syslog", "the server offers no version of RELP that is known here")
	f("200 OK\nrelp_version=0\ncommands=eventlog", "the server does not offer to take syslog messages")
	f("OK", `a response that begins with "OK" in place of a code`)
}

// A server that accepts the connection and says nothing is given up.
func TestSilentAtOpening(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	s := newSenderWith(t, Config{Address: listener.Addr().String(), Limits: shortLimits(), Window: 4})
	s.send("a")
	if err := s.wait(1)[0]; !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

// FuzzTake gives a session with messages in flight whatever a server may send, in
// pieces.
func FuzzTake(f *testing.F) {
	f.Add([]byte("2 rsp 6 200 OK\n3 rsp 6 500 no\n4 rsp 6 200 OK\n"), 5)
	f.Add([]byte("4 rsp 6 200 OK\n0 serverclose 0\n"), 100)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		local, remote := net.Pipe()
		defer func() { _, _ = local.Close(), remote.Close() }()
		c := &Config{Limits: transport.Limits{}.WithDefaults(), Window: 4}
		s := &session{
			config: c, conn: local, dead: make(chan struct{}), progress: make(chan struct{}, 1), window: make([]slot, c.Window),
		}
		calls := 0
		s.begin(0)
		if err := s.reserve(t.Context(), []uint32{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		s.commit(3, func(error) { calls++ })
		piece = max(1, min(piece, len(in)))
		var buf []byte
		for len(in) > 0 {
			n := min(piece, len(in))
			buf, in = append(buf, in[:n]...), in[n:]
			used, err := s.take(buf)
			if used < 0 || used > len(buf) {
				t.Fatalf("%d of %d bytes used", used, len(buf))
			}
			if err != nil {
				break
			}
			s.settle()
			buf = buf[used:]
		}
		if s.front > s.next || s.waiting < 0 || s.waiting > 3 || calls > 1 || calls == 1 && s.front != 3 {
			t.Fatalf("front %d, next %d, %d waiting, %d calls", s.front, s.next, s.waiting, calls)
		}
	})
}
