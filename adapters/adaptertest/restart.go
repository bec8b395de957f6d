package adaptertest

import (
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyman/adapters"
)

// RestartableHTTP is a Server that takes requests, and that can be ended in the
// middle of them and started again on the same port.
type RestartableHTTP struct {
	t       *testing.T
	take    func(w http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error)
	address string
	server  *http.Server
	serving sync.WaitGroup

	mu sync.Mutex
	// lines are all that were taken. Guarded by mu.
	lines [][]byte
}

// StartRestartableHTTP starts a server on a free port of the loopback. take is as
// for StartHTTP, except that an error becomes the status 400.
func StartRestartableHTTP(t *testing.T, take func(w http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error)) *RestartableHTTP {
	t.Helper()
	s := &RestartableHTTP{t: t, take: take, address: "127.0.0.1:0"}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start starts a server that was stopped.
func (s *RestartableHTTP) Start() {
	s.t.Helper()
	var listener net.Listener
	Eventually(s.t, Patience, "the port is free", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp4", s.address)
		return err == nil
	})
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	s.serving.Go(func() { _ = s.server.Serve(listener) })
}

// Stop breaks off all connections, also where a request was taken and is not
// answered yet.
func (s *RestartableHTTP) Stop() {
	_ = s.server.Close()
	s.serving.Wait()
}

// Restart stops the server and starts it again.
func (s *RestartableHTTP) Restart() {
	s.Stop()
	s.Start()
}

// ServeHTTP takes the lines of a request that has come whole.
func (s *RestartableHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, err := s.take(w, r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.lines = append(s.lines, lines...)
}

// Address implements Server.
func (s *RestartableHTTP) Address() string { return s.address }

// Lines implements Server.
func (s *RestartableHTTP) Lines() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// Count implements Server.
func (s *RestartableHTTP) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// DeliverThroughRestarts delivers lines while restart is called five times, spread
// over their arrival at the server. It fails the test unless all arrive, in order.
func DeliverThroughRestarts(t *testing.T, server Server, a adapters.Adapter, lines int, restart func()) {
	t.Helper()
	const restarts = 5
	var ended atomic.Bool
	var restarting sync.WaitGroup
	restarted := 0
	restarting.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ; restarted < restarts && !ended.Load(); <-tick.C {
			if server.Count() >= (restarted+1)*lines/(restarts+1) {
				restart()
				restarted++
			}
		}
	})
	repeated := func() int {
		defer restarting.Wait()
		defer ended.Store(true)
		return Deliver(t, a, server, lines, 2*Patience)
	}()
	t.Logf("%d lines through %d restarts: 0 missing, %d came again", lines, restarted, repeated)
	if restarted == 0 {
		t.Error("there was no restart")
	}
}
