package adaptertest

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// UDPServer is a Server that takes each datagram as a message, over UDP or a
// Unix socket.
type UDPServer struct {
	address string

	mu sync.Mutex
	// lines is guarded by mu.
	lines [][]byte
}

// StartUDP starts a server on a free port of the loopback.
func StartUDP(t *testing.T, format Format) *UDPServer {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return receive(t, conn, format)
}

// StartUnixgram starts a server on a Unix socket that takes datagrams.
func StartUnixgram(t *testing.T, format Format) *UDPServer {
	t.Helper()
	conn, err := net.ListenPacket("unixgram", SocketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	return receive(t, conn, format)
}

func receive(t *testing.T, conn net.PacketConn, format Format) *UDPServer {
	t.Helper()
	s := &UDPServer{address: conn.LocalAddr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.lines = append(s.lines, bytes.Clone(format.Line(buf[:n])))
			s.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		running.Wait()
	})
	return s
}

// Address implements Server.
func (s *UDPServer) Address() string { return s.address }

// Lines implements Server.
func (s *UDPServer) Lines() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.lines...)
}

// Count implements Server.
func (s *UDPServer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}
