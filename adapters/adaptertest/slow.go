package adaptertest

import (
	"net"
	"time"
)

// SlowConn is a connection that is read in small pieces with pauses between them.
type SlowConn struct{ net.Conn }

// Read reads a piece.
func (c SlowConn) Read(p []byte) (int, error) {
	const piece, pause = 4 << 10, 500 * time.Microsecond
	timer := time.NewTimer(pause)
	<-timer.C
	return c.Conn.Read(p[:min(len(p), piece)])
}

// slowListener accepts SlowConns.
type slowListener struct{ net.Listener }

// Accept returns the next connection.
func (l slowListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return SlowConn{conn}, nil
}
