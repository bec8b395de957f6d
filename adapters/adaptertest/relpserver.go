package adaptertest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// RELPServer is a Server that speaks the reliable event logging protocol. A test
// may set its exported fields before the first connection.
type RELPServer struct {
	// Offers is the data of the response to "open".
	Offers string
	// Respond returns the data of the response to the n-th message, from 0 on,
	// that the server ever got; empty for no response. It runs in the
	// goroutine of a connection. Nil responds "200 OK".
	Respond func(n int, message []byte) string

	address string
	mode    Mode
	config  *tls.Config
	line    func(message []byte) []byte
	running sync.WaitGroup
	ended   chan struct{}

	mu sync.Mutex
	// All below is guarded by mu. polite counts the sessions that were closed
	// by "close"; broke says that the first was broken off.
	conns  []net.Conn
	lines  [][]byte
	n      int
	polite int
	closed bool
	broke  bool
}

// StartRELP starts a server on a free port of the loopback, with TLS if config
// is not nil. In mode Mute it opens sessions and reads nothing after. line finds
// the line in a message; it runs outside the test's goroutine.
func StartRELP(t *testing.T, mode Mode, config *tls.Config, line func(message []byte) []byte) *RELPServer {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &RELPServer{
		Offers:  "200 OK\nrelp_version=0\nrelp_software=double\ncommands=syslog",
		address: listener.Addr().String(), mode: mode, config: config, line: line, ended: make(chan struct{}),
	}
	if mode == Refuses {
		_ = listener.Close()
		return s
	}
	s.running.Go(func() {
		for first := true; ; first = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.conns = append(s.conns, conn); s.closed {
				_ = conn.Close()
			}
			s.mu.Unlock()
			s.running.Go(func() { s.serve(conn, first) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		close(s.ended)
		s.mu.Lock()
		s.closed = true
		for _, conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

// Address implements Server.
func (s *RELPServer) Address() string { return s.address }

// Lines implements Server.
func (s *RELPServer) Lines() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines[:len(s.lines):len(s.lines)]
}

// Count implements Server.
func (s *RELPServer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// Broke implements Breaker.
func (s *RELPServer) Broke() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broke
}

// Polite returns how many sessions ended with "close".
func (s *RELPServer) Polite() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polite
}

// HangUp tells every client that the server closes, and closes.
func (s *RELPServer) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		if s.config == nil {
			_, _ = io.WriteString(conn, "0 serverclose 0\n")
		}
		_ = conn.Close()
	}
}

func (s *RELPServer) serve(plain net.Conn, first bool) {
	conn := plain
	if s.mode == ReadsSlowly {
		conn = SlowConn{conn}
	}
	if s.config != nil {
		conn = tls.Server(conn, s.config)
	}
	defer func() { _ = conn.Close() }()
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	taken := 0
	for {
		number, command, data, err := readRELP(r)
		if err != nil {
			return
		}
		response := s.Offers
		switch command {
		case "open":
		case "close":
			response = ""
			s.mu.Lock()
			s.polite++
			s.mu.Unlock()
		default:
			if response = s.take(data); response == "" {
				continue
			}
		}
		if _, err := fmt.Fprintf(w, "%s rsp %d%s%s\n", number, len(response), strings.Repeat(" ", min(len(response), 1)), response); err != nil {
			return
		}
		taken += len(data)
		if s.mode == Resets && first && taken > resetAfter {
			// What is in the writer is lost: those messages come again.
			s.mu.Lock()
			s.broke = true
			s.mu.Unlock()
			_ = plain.(*net.TCPConn).SetLinger(0)
			_ = plain.Close()
			return
		}
		if r.Buffered() == 0 || command != "syslog" {
			if w.Flush() != nil || command == "close" {
				return
			}
		}
		if s.mode == Mute {
			<-s.ended
			return
		}
	}
}

// take keeps a message and returns the response to it.
func (s *RELPServer) take(message []byte) string {
	s.mu.Lock()
	n := s.n
	s.n++
	s.mu.Unlock()
	response := "200 OK"
	if s.Respond != nil {
		response = s.Respond(n, message)
	}
	if strings.HasPrefix(response, "200") {
		line := bytes.Clone(s.line(message))
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
	}
	return response
}

// readRELP reads one frame.
func readRELP(r *bufio.Reader) (number, command string, data []byte, err error) {
	if number, err = r.ReadString(' '); err != nil {
		return "", "", nil, err
	}
	if command, err = r.ReadString(' '); err != nil {
		return "", "", nil, err
	}
	size := ""
	for {
		c, err := r.ReadByte()
		if err != nil {
			return "", "", nil, err
		}
		if c < '0' || c > '9' {
			break
		}
		size += string(c)
	}
	n, err := strconv.Atoi(size)
	if err != nil {
		return "", "", nil, fmt.Errorf("reading a length: %w", err)
	}
	if n > 0 {
		data = make([]byte, n+1) // With the newline at its end.
		if _, err = io.ReadFull(r, data); err == nil && data[n] != '\n' {
			err = fmt.Errorf("a frame ends with %q", data[n])
		}
		data = data[:n]
	}
	return number[:len(number)-1], command[:len(command)-1], data, err
}
