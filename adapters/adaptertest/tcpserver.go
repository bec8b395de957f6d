package adaptertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Format tells how a server finds lines in what it receives.
type Format struct {
	// Split returns the first message in data and the length of it and its
	// framing, 0 when it is not complete. Datagrams are not split.
	Split func(data []byte) (length int, message []byte)
	// Line returns the line in a message. It runs outside the test's goroutine.
	Line func(message []byte) []byte
}

// SplitNewline is the Split of messages that end with a newline.
func SplitNewline(data []byte) (length int, message []byte) {
	i := bytes.IndexByte(data, '\n')
	return i + 1, data[:max(i, 0)]
}

// Sizes of a server that resets: how much it reads first, and its receive
// buffer, so small that the sender is stopped soon after.
const (
	resetAfter  = 300_000
	smallBuffer = 16 << 10
)

// TCPServer is a Server over TCP, TLS or a Unix socket, for protocols without
// answers.
type TCPServer struct {
	address string
	format  Format
	config  *tls.Config
	mode    Mode
	running sync.WaitGroup
	// ended is closed when the test is over.
	ended chan struct{}

	mu sync.Mutex
	// conns are all connections in the order of their beginning; closed says
	// that no more are taken, broke that the first was broken off. Guarded by
	// mu.
	conns  []*serverConn
	closed bool
	broke  bool
}

// serverConn is one connection to a TCPServer.
type serverConn struct {
	conn net.Conn
	// lines and rest, what follows the last complete message, are guarded by
	// the server's mu.
	lines [][]byte
	rest  []byte
}

// StartTCP starts a server on a free port of the loopback, with TLS if config is
// not nil.
func StartTCP(t *testing.T, mode Mode, config *tls.Config, format Format) *TCPServer {
	t.Helper()
	listenConfig := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if mode != Resets && mode != Mute {
			return nil
		}
		var err error
		return errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, smallBuffer)
		}), err)
	}}
	listener, err := listenConfig.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, listener, mode, config, format)
}

// StartUnix starts a server on a Unix socket that takes a stream.
func StartUnix(t *testing.T, mode Mode, format Format) *TCPServer {
	t.Helper()
	listener, err := net.Listen("unix", SocketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, listener, mode, nil, format)
}

// SocketPath returns a path in a folder of its own that is short enough for a
// Unix socket.
func SocketPath(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "tallyman")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return filepath.Join(folder, "socket")
}

func serve(t *testing.T, listener net.Listener, mode Mode, config *tls.Config, format Format) *TCPServer {
	t.Helper()
	s := &TCPServer{address: listener.Addr().String(), format: format, config: config, mode: mode, ended: make(chan struct{})}
	if mode == Refuses {
		_ = listener.Close()
		return s
	}
	s.running.Go(func() { s.accept(listener) })
	t.Cleanup(func() {
		_ = listener.Close()
		close(s.ended)
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.hangUp()
		s.running.Wait()
	})
	return s
}

// Address implements Server.
func (s *TCPServer) Address() string { return s.address }

// Lines implements Server: first all lines of the first connection.
func (s *TCPServer) Lines() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines [][]byte
	for _, c := range s.conns {
		lines = append(lines, c.lines...)
	}
	return lines
}

// Count implements Server.
func (s *TCPServer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.conns {
		n += len(c.lines)
	}
	return n
}

// hangUp closes every connection.
func (s *TCPServer) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.conn.Close()
	}
}

func (s *TCPServer) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		c := &serverConn{conn: conn}
		first := len(s.conns) == 0
		s.conns = append(s.conns, c)
		if s.closed {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.running.Go(func() { s.serve(c, first) })
	}
}

func (s *TCPServer) serve(c *serverConn, first bool) {
	defer func() { _ = c.conn.Close() }()
	conn := c.conn
	if s.mode == Resets && first {
		conn = s.breakingOff(conn)
	}
	if s.mode == ReadsSlowly {
		conn = SlowConn{conn}
	}
	if s.config != nil {
		secure := tls.Server(conn, s.config)
		if secure.Handshake() != nil {
			return
		}
		conn = secure
	}
	if s.mode == Mute {
		<-s.ended
		return
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		s.take(c, buf[:n])
		if err != nil {
			return
		}
	}
}

// take finds the complete messages.
func (s *TCPServer) take(c *serverConn, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rest = append(c.rest, data...)
	for len(c.rest) > 0 {
		length, message := s.format.Split(c.rest)
		if length == 0 {
			break
		}
		c.lines = append(c.lines, bytes.Clone(s.format.Line(message)))
		c.rest = c.rest[length:]
	}
}

// Broke implements Breaker.
func (s *TCPServer) Broke() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broke
}

func (s *TCPServer) setBroke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broke = true
}

// breakingOff returns conn so that it is broken off in the middle.
func (s *TCPServer) breakingOff(conn net.Conn) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &resettingConn{TCPConn: tcp, broke: s.setBroke}
	}
	return &leavingConn{Conn: conn, broke: s.setBroke}
}

// leavingConn closes a Unix socket after resetAfter bytes: there what was not
// read is not taken for delivered.
type leavingConn struct {
	net.Conn
	broke func()
	read  int
}

func (c *leavingConn) Read(p []byte) (int, error) {
	if c.read >= resetAfter {
		c.broke()
		_ = c.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	c.read += n
	return n, err
}

// resettingConn reads resetAfter bytes and resets the connection: first the
// kernel is told to drop all that comes, and what it has acknowledged by then is
// read, so that no acknowledged byte is lost.
type resettingConn struct {
	*net.TCPConn
	broke  func()
	read   int
	peeked []byte
	deaf   bool
}

func (c *resettingConn) Read(p []byte) (int, error) {
	if c.read < resetAfter {
		n, err := c.TCPConn.Read(p)
		c.read += n
		return n, err
	}
	if !c.deaf {
		c.deaf = true
		if err := c.stopHearing(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.peeked)
	if c.peeked = c.peeked[n:]; n > 0 {
		return n, nil
	}
	c.broke()
	_ = c.SetLinger(0)
	_ = c.Close()
	return 0, io.EOF
}

// stopHearing attaches a filter that drops every segment (socket(7),
// SO_ATTACH_FILTER), so that nothing more is acknowledged, and takes what the
// kernel holds.
func (c *resettingConn) stopHearing() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	control := func(f func(fd int) error) {
		if err == nil {
			err = errors.Join(raw.Control(func(fd uintptr) { err = f(int(fd)) }), err)
		}
	}
	control(func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
	// A segment that was past the filter already is there by the second look.
	for range 2 {
		tick := time.NewTimer(5 * time.Millisecond)
		<-tick.C
		buf := make([]byte, 8<<20)
		control(func(fd int) error {
			n, _, err := unix.Recvfrom(fd, buf, unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EAGAIN) {
				n, err = 0, nil
			}
			c.peeked = buf[:max(n, 0)]
			return err
		})
	}
	return err
}
