//go:build !linux

package transport

import (
	"net"
	"syscall"
	"time"
)

// setUserTimeout does nothing where the system has no such option.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }

// sendQueue stands in where a socket's queue cannot be read.
type sendQueue struct{}

func newSendQueue(syscall.Conn, bool) (*sendQueue, error) { return &sendQueue{}, nil }

// unacked takes what was written as acknowledged.
func (*sendQueue) unacked() (left uint64, ok bool) { return 0, true }

// newPlainConn returns a connection as it is.
func newPlainConn(conn socket) (net.Conn, error) { return conn, nil }
