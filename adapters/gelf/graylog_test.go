package gelf

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"sync"
	"testing"

	"tallyman/adapters/adaptertest"
)

// graylog answers as Graylog's HTTP input does. Only a part of the suite's many
// lines would get through a real one in time.
type graylog struct {
	adaptertest.Server
	// status, when it is not nil, tells what to answer to a body that has been
	// read; 202 takes it.
	status func(r *http.Request, body []byte) int

	mu sync.Mutex
	// All below is guarded by mu. clients are the addresses that requests came
	// from.
	messages [][]byte
	bodies   int
	clients  map[string]bool
}

func startGraylog(t *testing.T, mode adaptertest.Mode, config *tls.Config, status func(*http.Request, []byte) int) *graylog {
	t.Helper()
	g := &graylog{status: status, clients: make(map[string]bool)}
	g.Server = adaptertest.StartHTTP(t, mode, config, g.take)
	return g
}

// requests returns how many bodies were taken, and over how many connections
// requests came.
func (g *graylog) requests() (bodies, connections int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bodies, len(g.clients)
}

// take reads the lines of a request and answers it.
func (g *graylog) take(w http.ResponseWriter, r *http.Request, body []byte) (lines [][]byte, err error) {
	if r.URL.Path != "/gelf" {
		w.WriteHeader(http.StatusNotFound)
		return nil, nil
	}
	if body, err = adaptertest.Unpack(r, body); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clients[r.RemoteAddr] = true
	if g.status != nil {
		if status := g.status(r, body); status != http.StatusAccepted {
			w.Header().Set("Location", "/gelf")
			w.WriteHeader(status)
			return nil, nil
		}
	}
	g.bodies++
	for message := range bytes.SplitSeq(body, []byte("\n")) {
		g.messages = append(g.messages, bytes.Clone(message))
		lines = append(lines, textOf(message))
	}
	w.WriteHeader(http.StatusAccepted)
	return lines, nil
}
