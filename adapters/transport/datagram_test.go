//go:build linux

package transport

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func listenUDP(t *testing.T, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenPacket("udp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

func newTestDatagram(t *testing.T, c Config) *Datagram {
	t.Helper()
	d, err := NewDatagram(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// A message that failed was not sent, and the connection is made anew: at most
// one message is lost for each attempt while nobody listens, and none twice.
func TestDatagramRefused(t *testing.T) {
	server := listenUDP(t, "127.0.0.1:0")
	address := server.LocalAddr().String()
	_ = server.Close()
	d := newTestDatagram(t, testConfig(address))
	if _, err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Send([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refusal of the first message is known", func() bool {
		err := d.Send([]byte("kept"))
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	server = listenUDP(t, address)
	if _, err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Send([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, _, err := server.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "kept" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
}

func TestDatagramCut(t *testing.T) {
	f := func(message, want string, most int) {
		t.Helper()
		got := cutTo([]byte(message), most)
		if string(got) != want {
			t.Errorf("%q cut to %d bytes is %q, want %q", message, most, got, want)
		}
	}
	f("abcdef", "abc", 3)
	f("abcdef\n", "ab\n", 3)
	f("ab世界", "ab", 4)
	f("ab世界", "ab世", 5)
	f("ab世界", "ab世", 6)
	f("ab世界\n", "ab\n", 5)
	f("ab世界\n", "ab世\n", 6)
	f("ab🚢🚢", "ab", 5)
	f("ab🚢🚢", "ab🚢", 6)
	f("ab\x80\x80\x80\x80\x80\x80", "ab\x80\x80\x80\x80\x80", 7)

	server := listenUDP(t, "127.0.0.1:0")
	d := newTestDatagram(t, testConfig(server.LocalAddr().String()))
	if _, err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Send([]byte(strings.Repeat("世", 30000) + "\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, _, err := server.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if n > MaxUDPPayload || n < MaxUDPPayload-3 || !utf8.Valid(buf[:n]) || buf[n-1] != '\n' {
		t.Fatalf("%d bytes arrived, ending in %q", n, buf[n-5:n])
	}
	if d.Cut() != 1 {
		t.Fatalf("%d messages are said to be cut", d.Cut())
	}
}

// tooLongConn is a socket of a network whose datagrams are shorter.
type tooLongConn struct{ net.Conn }

func (c tooLongConn) Write(p []byte) (int, error) {
	if len(p) > 1000 {
		return 0, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EMSGSIZE)}
	}
	return c.Conn.Write(p)
}

func TestDatagramTooLong(t *testing.T) {
	server := listenUDP(t, "127.0.0.1:0")
	d := newTestDatagram(t, testConfig(server.LocalAddr().String()))
	if _, err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.conn = tooLongConn{d.conn}
	if err := d.Send(bytes.Repeat([]byte("x"), 2000)); !errors.Is(err, ErrTooLong) {
		t.Fatalf("got %v, want %v", err, ErrTooLong)
	}
	if err := d.Send([]byte("short")); err != nil {
		t.Fatal(err)
	}
}

// A name is resolved again after a while, and where that fails the old address
// goes on to be used.
func TestDatagramRefresh(t *testing.T) {
	server := listenUDP(t, "127.0.0.1:0")
	d := newTestDatagram(t, testConfig(server.LocalAddr().String()))
	begin := func() net.Conn {
		t.Helper()
		if _, err := d.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.conn
	}
	first := begin()
	if begin() != first {
		t.Fatal("the address was resolved again at once")
	}
	d.since = d.since.Add(-2 * refreshAfter)
	second := begin()
	if second == first {
		t.Fatal("the address was not resolved again")
	}
	d.since = d.since.Add(-2 * refreshAfter)
	d.config.Address = "127.0.0.1:none"
	if begin() != second {
		t.Fatal("the socket was lost with the name")
	}
}

func TestDatagramEnds(t *testing.T) {
	server := listenUDP(t, "127.0.0.1:0")
	d := newTestDatagram(t, testConfig(server.LocalAddr().String()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Begin(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	d.Close()
	if _, err := d.Begin(t.Context()); !errors.Is(err, errTestClosed) {
		t.Fatalf("got %v, want %v", err, errTestClosed)
	}
}
