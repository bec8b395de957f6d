//go:build linux

package transport

import (
	"bytes"
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const frameLen = 100

var errTestClosed = errors.New("closed")

// partialError stands for the error that adapters make.
type partialError struct {
	settled int
	err     error
}

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

func testConfig(address string) Config {
	return Config{
		Address: address,
		Limits: Limits{
			DialTimeout: time.Minute, WriteTimeout: time.Minute, AckTimeout: time.Minute,
		},
		Partial: func(settled int, err error) error { return &partialError{settled, err} },
		Closed:  errTestClosed,
	}
}

func newTestStream(t testing.TB, c Config) *Stream {
	t.Helper()
	s, err := NewStream(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
	})
	return s
}

// smallListener listens with so small a receive buffer that a peer that is not
// read stops soon.
func smallListener(t *testing.T) net.Listener {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<10)
		}), err)
	}}
	listener, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// accept returns the server's end of the next connection.
func accept(t *testing.T, listener net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// commit sends a batch of n frames and returns where its result comes.
func commit(t testing.TB, s *Stream, ctx context.Context, n int) <-chan error {
	t.Helper()
	dst, ends, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dst, ends = appendFrames(dst, ends, n)
	result := make(chan error, 2)
	s.Commit(ctx, dst, ends, func(err error) { result <- err })
	return result
}

func appendFrames(dst []byte, ends []uint32, n int) ([]byte, []uint32) {
	for range n {
		dst = append(dst, frame[:]...)
		ends = append(ends, uint32(len(dst)))
	}
	return dst, ends
}

var frame = [frameLen]byte(bytes.Repeat([]byte("f"), frameLen))

// eventually polls until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not so: %s", what)
		}
	}
}

func receive(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(time.Minute):
		t.Fatal("done was not called")
		return nil
	}
}

// heldBy returns how many bytes the kernel holds for a reader.
func heldBy(t *testing.T, conn *net.TCPConn) int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var held int
	if controlErr := raw.Control(func(fd uintptr) {
		held, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	}); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	return held
}
