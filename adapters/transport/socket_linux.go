package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tallyman/collector/nowait"
)

// setUserTimeout makes the kernel end a connection whose data stays without
// acknowledgement for d (RFC 5482; TCP_USER_TIMEOUT in tcp(7)).
func setUserTimeout(raw syscall.RawConn, d time.Duration) error {
	var err error
	if controlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	}); controlErr != nil {
		return fmt.Errorf("setting TCP_USER_TIMEOUT: %w", controlErr)
	}
	if err != nil {
		return fmt.Errorf("setting TCP_USER_TIMEOUT: %w", err)
	}
	return nil
}

// tcpClose is the state of a connection that has ended (include/net/tcp_states.h).
const tcpClose = 7

// sendQueue asks the kernel how much of a socket's data is not acknowledged.
//
// A Unix socket has no acknowledgements: there the kernel counts the memory of
// what the peer has not read, which is the bytes and the kernel's own bother
// with them (unix_outq_len in net/unix/af_unix.c). So the number is never too
// small, and none when all is read.
type sendQueue struct {
	raw  syscall.RawConn
	unix bool
	// ask is made once, so that a reading allocates nothing.
	ask func(fd uintptr)

	mu sync.Mutex
	// left and ok are the last reading; guarded by mu.
	left uint32
	ok   bool
	// ended is where a Unix socket is asked for its peer's end; guarded by mu.
	ended [1]unix.PollFd
}

func newSendQueue(conn syscall.Conn, unixSocket bool) (*sendQueue, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reaching the socket: %w", err)
	}
	q := &sendQueue{raw: raw, unix: unixSocket}
	q.ask = q.askFD
	return q, nil
}

// unacked returns how many bytes are unsent or unacknowledged. It is not ok
// once the socket is closed on either side's reset, or a Unix socket by its
// peer: what the queue holds then says nothing of what arrived.
func (q *sendQueue) unacked() (left uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.raw.Control(q.ask) != nil {
		return 0, false
	}
	return uint64(q.left), q.ok
}

func (q *sendQueue) askFD(fd uintptr) {
	q.ok = false
	left, err := nowait.Ioctl(fd, unix.SIOCOUTQ)
	if err != nil {
		return
	}
	if q.unix {
		// A peer that ends is gone to be seen before the kernel throws away what
		// it has not read (unix_release_sock in net/unix/af_unix.c), so that the
		// order of the two questions matters here too.
		q.ended[0] = unix.PollFd{Fd: int32(fd)}
		_, err = unix.Poll(q.ended[:], 0)
		q.left, q.ok = left, err == nil && q.ended[0].Revents&(unix.POLLHUP|unix.POLLERR) == 0
		return
	}
	// The state is asked for after the queue, so that a reset in between voids
	// the reading. It is the first byte of struct tcp_info.
	info, err := nowait.SocketOption(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	q.left, q.ok = left, err == nil && info[0] != tcpClose
}

// plainConn is a connection that is written to without Go's scheduler, see package
// nowait. Only one goroutine at a time writes.
type plainConn struct {
	net.Conn
	raw syscall.RawConn
	// try is put made once, so that a write allocates nothing. It takes from the
	// front of left; err is why it stopped.
	try  func(fd uintptr) bool
	left []byte
	err  error
}

func newPlainConn(conn socket) (net.Conn, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reaching the socket: %w", err)
	}
	c := &plainConn{Conn: conn, raw: raw}
	c.try = c.put
	return c, nil
}

// Write implements net.Conn.
func (c *plainConn) Write(p []byte) (int, error) {
	c.left, c.err = p, nil
	err := c.raw.Write(c.try)
	n := len(p) - len(c.left)
	c.left = nil
	if err == nil && c.err == nil {
		return n, nil
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // It calls this "raw-write".
	}
	if c.err != nil {
		err = os.NewSyscallError("write", c.err)
	}
	return n, &net.OpError{Op: "write", Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// put writes what there is room for. It is false when the rest has to wait.
func (c *plainConn) put(fd uintptr) bool {
	for len(c.left) > 0 {
		n, err := nowait.Write(fd, c.left)
		if err == unix.EAGAIN {
			return false
		}
		if err != nil {
			c.err = err
			return true
		}
		c.left = c.left[n:]
	}
	return true
}
