package wire_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

type lines struct{}

func (lines) Begin(*record.Container) {}

func (lines) Append(dst []byte, r *record.Record) ([]byte, error) {
	return append(append(dst, r.Line...), '\n'), nil
}

func newUnix(t *testing.T, path string) adapters.Adapter {
	t.Helper()
	d := adapters.Description{Transports: []string{wire.Unix}, Options: wire.Options(), Target: wire.Target}
	if !d.TargetOf(wire.Unix).File || d.TargetOf("tcp").File {
		t.Fatal("the target of a Unix socket is a file, that of TCP is none")
	}
	c, err := d.Resolve(wire.Unix, path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	a, err := wire.New(c, lines{}, transport.Limits{WriteTimeout: time.Second, AckTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A server that is started anew may take another kind of socket than before.
func TestUnixSocketChangesItsKind(t *testing.T) {
	path := adaptertest.SocketPath(t)
	a := newUnix(t, path)
	send := func(text string) error {
		result := make(chan error, 1)
		a.Send(t.Context(), adaptertest.NewBatch(adaptertest.Containers(1)[0], []byte(text)),
			func(err error) { result <- err })
		a.Flush(t.Context())
		return <-result
	}
	buf := make([]byte, 100)
	datagrams := func() {
		t.Helper()
		server, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(path) }()
		defer func() { _ = server.Close() }()
		if err := send("datagram"); err != nil {
			t.Fatal(err)
		}
		if n, _, err := server.ReadFrom(buf); err != nil || string(buf[:n]) != "datagram\n" {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
	}
	stream := func() {
		t.Helper()
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		got := make(chan string, 1)
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				got <- err.Error()
				return
			}
			n, _ := conn.Read(buf)
			got <- string(buf[:n])
			_, _ = conn.Read(make([]byte, 100))
			_ = conn.Close()
		}()
		// The end of the server before shows in an error first.
		adaptertest.Eventually(t, adaptertest.Patience, "the line is delivered", func() bool {
			return send("stream") == nil
		})
		if text := <-got; text != "stream\n" {
			t.Fatalf("got %q", text)
		}
	}
	if err := send("nobody"); !errors.Is(err, syscall.ENOENT) {
		t.Fatalf("got %v, want %v", err, syscall.ENOENT)
	}
	datagrams()
	stream()
	// What is sent now wakes the server's end, which then closes.
	adaptertest.Eventually(t, adaptertest.Patience, "the end of the server is noticed", func() bool {
		return errors.Is(send("nobody"), syscall.ENOENT)
	})
	datagrams()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := send("closed"); !errors.Is(err, adapters.ErrClosed) {
		t.Fatalf("got %v, want %v", err, adapters.ErrClosed)
	}
}

// A daemon that takes its time is not given up, though a batch takes longer than a
// write may.
func TestSlowDaemon(t *testing.T) {
	path := adaptertest.SocketPath(t)
	server, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 100)
		for {
			if _, _, err := server.ReadFrom(buf); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	t.Cleanup(func() { _ = server.Close() })
	a := newUnix(t, path)
	result := make(chan error, 1)
	b := adaptertest.NewBatch(adaptertest.Containers(1)[0], make([][]byte, 3000)...)
	a.Send(t.Context(), b, func(err error) { result <- err })
	if err := <-result; err != nil {
		t.Error(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A socket that takes neither kind is an error to try again after.
func TestUnixSocketOfAnotherKind(t *testing.T) {
	path := adaptertest.SocketPath(t)
	server, err := net.Listen("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	a := newUnix(t, path)
	result := make(chan error, 2)
	a.Send(t.Context(), adaptertest.NewBatch(adaptertest.Containers(1)[0], []byte("x")), func(err error) { result <- err })
	if err := <-result; !errors.Is(err, syscall.EPROTOTYPE) {
		t.Fatalf("got %v, want %v", err, syscall.EPROTOTYPE)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
