package adaptertest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// HTTPServer is a Server that takes requests.
type HTTPServer struct {
	server *httptest.Server

	mu sync.Mutex
	// lines are all that were taken; broke says that the first connection was
	// broken. Guarded by mu.
	lines [][]byte
	broke bool
}

// StartHTTP starts an HTTP server on a free port of the loopback, with TLS if
// config is not nil. take finds the lines in a request and answers it, outside
// of the test's goroutine; an error becomes the status 500.
func StartHTTP(t *testing.T, mode Mode, config *tls.Config,
	take func(w http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error),
) Server {
	t.Helper()
	if mode == Mute || mode == Refuses {
		return StartTCP(t, mode, config, Format{})
	}
	s := &HTTPServer{}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if mode == Resets && s.breakOff(w, r) {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		lines, err := take(w, r, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.lines = append(s.lines, lines...)
	}))
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	var connections atomic.Int64
	s.server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, &connState{first: connections.Add(1) == 1})
	}
	if mode == ReadsSlowly {
		s.server.Listener = slowListener{s.server.Listener}
	}
	if config != nil {
		s.server.TLS = config.Clone()
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	t.Cleanup(s.server.Close)
	return s
}

// Address implements Server.
func (s *HTTPServer) Address() string { return s.server.Listener.Addr().String() }

// Lines implements Server.
func (s *HTTPServer) Lines() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.lines...)
}

// Count implements Server.
func (s *HTTPServer) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// Broke implements Breaker.
func (s *HTTPServer) Broke() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broke
}

func (s *HTTPServer) setBroke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broke = true
}

// breakAt is the request on the first connection at which that is reset.
const breakAt = 2

// connKey is the key of a connection's *connState in the contexts of requests.
type connKey struct{}

// connState is what is known of a connection. Its requests come one after the
// other.
type connState struct {
	first    bool
	requests int
}

// breakOff resets the first connection in the middle of a request, whose answer
// therefore never comes: a reset between two requests would harm none. It
// reports whether it did.
func (s *HTTPServer) breakOff(w http.ResponseWriter, r *http.Request) bool {
	c := r.Context().Value(connKey{}).(*connState)
	if c.requests++; !c.first || c.requests != breakAt {
		return false
	}
	_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2) // The client may have given up.
	s.setBroke()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // The server speaks HTTP/1.1 alone.
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
	return true
}
