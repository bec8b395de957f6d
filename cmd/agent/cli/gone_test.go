package cli

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAgentGoes: a command whose agent goes away while it runs says that none
// answers, whether it was asked again or had begun to answer.
func TestAgentGoes(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/v1/tally":
			// The answer has begun.
			_, _ = io.WriteString(w, `{"routes":[`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case asked.Add(1) > 1:
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"containers":[]}`)
	}))
	defer server.Close()
	c := &command{Config: Config{Stdout: new(bytes.Buffer)}}
	s, err := c.dial(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	write, err := topWriter("table")
	if err != nil {
		t.Fatal(err)
	}
	shown := top{command: c, session: s, less: topOrders()["cpu"], write: write}
	var unreachable UnreachableError
	if err := shown.live(t.Context()); !errors.As(err, &unreachable) || asked.Load() < 2 {
		t.Errorf("top ends with %v after %d questions", err, asked.Load())
	}
	var answer any
	if err := s.fetch(t.Context(), "/api/v1/tally", &answer); !errors.As(err, &unreachable) {
		t.Errorf("half an answer is the error %v", err)
	}
}

// TestAgentRefuses: an agent that refuses what it is asked does answer.
func TestAgentRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer server.Close()
	refused := &command{Config: Config{Addr: server.URL}}
	_, err := refused.agent(t.Context(), hostPath)
	var unreachable UnreachableError
	if err == nil || errors.As(err, &unreachable) || !strings.Contains(err.Error(), "who are you?") {
		t.Errorf("the error is %v", err)
	}
	server.Close()
	if _, err := refused.agent(t.Context(), hostPath); !errors.As(err, &unreachable) {
		t.Errorf("where no agent is the error is %v", err)
	}
}

// TestFollowingGoesOn: lines that are followed go on where they were, though none had
// come, when the agent comes back and does not know its containers at first.
func TestFollowingGoesOn(t *testing.T) {
	var from []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.Header.Get("Last-Event-ID"))
		switch len(from) {
		case 1:
			_, _ = io.WriteString(w, "id: b\nevent: ping\ndata: {}\n\n")
		case 2:
			http.Error(w, `{"error":"the containers are not known yet"}`, http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, "event: end\ndata: {}\n\n")
		}
	}))
	defer server.Close()
	c := &command{Config: Config{Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer)}}
	s, err := c.dial(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	l := &logsCommand{command: c}
	if err := l.live(t.Context(), s, url.Values{}, ""); err != nil || !slices.Equal(from, []string{"", "b", "b"}) {
		t.Errorf("the stream was asked for from %q and ends with %v", from, err)
	}
}
