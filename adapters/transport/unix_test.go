//go:build linux

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func unixConfig(path string) Config {
	config := testConfig(path)
	config.Unix = true
	return config
}

func listenUnix(t testing.TB) *net.UnixListener {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.(*net.UnixListener)
}

func acceptUnix(t testing.TB, listener *net.UnixListener) *net.UnixConn {
	t.Helper()
	conn, err := listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// The kernel's number for a Unix socket is never below what the peer has not
// read, none once it has read all, and void once it has gone.
func TestUnixQueue(t *testing.T) {
	listener := listenUnix(t)
	client, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server := acceptUnix(t, listener)
	queue, err := newSendQueue(client.(syscall.Conn), true)
	if err != nil {
		t.Fatal(err)
	}
	unread := 0
	check := func() {
		t.Helper()
		left, ok := queue.unacked()
		if !ok || left < uint64(unread) || unread == 0 && left != 0 {
			t.Fatalf("the kernel says %d (%v), the peer has not read %d bytes", left, ok, unread)
		}
	}
	check()
	for _, n := range []int{1, 100, 4096, 70_000} {
		if _, err := client.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		unread += n
		check()
	}
	buf := make([]byte, 5000)
	for unread > 0 {
		n, err := server.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		unread -= n
		check()
	}
	if _, err := client.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if left, ok := queue.unacked(); ok {
		t.Fatalf("the peer has gone with data unread, and %d bytes are said to be left", left)
	}
}

// A batch is delivered when the peer has read it and no sooner, and what a peer
// leaves unread when it goes is not delivered.
func TestUnixDeliveredMeansRead(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	listener := listenUnix(t)
	s := newTestStream(t, unixConfig(listener.Addr().String()))
	first := commit(t, s, t.Context(), 10)
	server := acceptUnix(t, listener)
	s.Flush(t.Context())
	s.link.check()
	select {
	case err := <-first:
		t.Fatalf("settled with %v before the peer has read anything", err)
	default:
	}
	if _, err := io.ReadFull(server, make([]byte, 10*frameLen)); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, first); err != nil {
		t.Fatal(err)
	}
	second := commit(t, s, t.Context(), 1000)
	s.Flush(t.Context())
	if _, err := io.ReadFull(server, make([]byte, 500*frameLen)); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	err := receive(t, second)
	var partial *partialError
	if err == nil || errors.As(err, &partial) && partial.settled > 500 {
		t.Fatalf("got %v with %+v settled; the peer has read 500 frames of 1000", err, partial)
	}
}

// A reader that is slow and never catches up is not given up.
func TestUnixSlowReader(t *testing.T) {
	listener := listenUnix(t)
	config := unixConfig(listener.Addr().String())
	config.Limits.WriteTimeout, config.Limits.AckTimeout = 2*time.Second, 2*time.Second
	s := newTestStream(t, config)
	results := []<-chan error{commit(t, s, t.Context(), 1)}
	server := acceptUnix(t, listener)
	read := make(chan int64, 1)
	go func() {
		total, tick := int64(0), time.NewTicker(4*time.Millisecond)
		defer tick.Stop()
		for buf := make([]byte, 16<<10); ; <-tick.C {
			n, err := server.Read(buf)
			total += int64(n)
			if err != nil {
				read <- total
				return
			}
		}
	}()
	for range 30 {
		results = append(results, commit(t, s, t.Context(), 3000))
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if err := receive(t, result); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-read; n != 90_001*frameLen {
		t.Fatalf("the peer has read %d bytes", n)
	}
}

// A datagram waits for room in the queue of a peer that reads slowly, so that
// none is lost; a peer that reads nothing is given up.
func TestUnixDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	server, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	config := unixConfig(path)
	config.Limits.WriteTimeout = 50 * time.Millisecond
	d := newTestDatagram(t, config)
	sent := 0
	for {
		if _, err := d.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := d.Send([]byte{byte(sent)})
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if sent++; sent > 1<<20 {
			t.Fatal("a queue that nobody reads has no end")
		}
	}
	buf := make([]byte, 100)
	for i := range sent {
		if n, _, err := server.ReadFrom(buf); err != nil || n != 1 || buf[0] != byte(i) {
			t.Fatalf("datagram %d of %d is %v, %v", i, sent, buf[:n], err)
		}
	}
	if _, err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Send([]byte("again")); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Send([]byte("gone")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("got %v, want %v", err, syscall.ECONNREFUSED)
	}
	renewed, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = renewed.Close() }()
	if _, err := d.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Send([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if n, _, err := renewed.ReadFrom(buf); err != nil || string(buf[:n]) != "new" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
}

func TestSocketPath(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		for name, make := range map[string]func(Config) error{
			"stream":   func(c Config) error { _, err := NewStream(c); return err },
			"datagram": func(c Config) error { _, err := NewDatagram(c); return err },
		} {
			err := make(Config{Address: path, Unix: true})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s to %q: got %v, want %q", name, path, err, want)
			}
		}
	}
	f("/run/x.sock", "")
	f("/"+strings.Repeat("x", maxSocketPath-1), "")
	f("/"+strings.Repeat("x", maxSocketPath), "longer than 107 bytes")
	f("x.sock", "does not begin with a slash")
	f("", "does not begin with a slash")
	f("/a\x00b", "holds a zero byte")
}
