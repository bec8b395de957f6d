package relp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortLimits make a dead server known in a fraction of a second.
func shortLimits() transport.Limits {
	return transport.Limits{DialTimeout: time.Second, WriteTimeout: 400 * time.Millisecond, AckTimeout: 400 * time.Millisecond}
}

// sender sends batches and keeps what became of them.
type sender struct {
	*Client
	t *testing.T

	mu      sync.Mutex
	results []error
}

func newSender(t *testing.T, address string, window int) *sender {
	t.Helper()
	return newSenderWith(t, Config{Address: address, Window: window})
}

func newSenderWith(t *testing.T, c Config) *sender {
	t.Helper()
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{Client: client, t: t}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func (s *sender) settled(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, err)
}

// send sends a batch of messages.
func (s *sender) send(messages ...string) {
	if err := s.Begin(s.t.Context()); err != nil {
		s.settled(err)
		return
	}
	for _, message := range messages {
		if !s.Append(s.t.Context(), []byte(message)) {
			break
		}
	}
	s.Commit(s.t.Context(), s.settled)
}

// wait flushes and returns the n results there are to be.
func (s *sender) wait(n int) []error {
	s.t.Helper()
	s.Flush(s.t.Context())
	var results []error
	adaptertest.Eventually(s.t, adaptertest.Patience, fmt.Sprint(n, " batches are settled"), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		results = s.results
		return len(results) >= n
	})
	if len(results) != n {
		s.t.Fatalf("%d batches are settled, want %d", len(results), n)
	}
	return results
}

func start(t *testing.T, respond func(n int, message []byte) string) *adaptertest.RELPServer {
	t.Helper()
	server := adaptertest.StartRELP(t, adaptertest.Serves, nil, bytes.Clone)
	server.Respond = respond
	return server
}

// A message that the server refuses, while it takes others, is given up alone.
func TestRefused(t *testing.T) {
	server := start(t, func(_ int, message []byte) string {
		if strings.HasPrefix(string(message), "bad") {
			return "500 bad message"
		}
		return "200 OK"
	})
	s := newSender(t, server.Address(), 8)
	s.send("bad 0", "good", "bad 2", "good", "good")
	s.send()
	s.send("good", "bad 1")
	results := s.wait(3)
	f := func(err error, indexes ...int) {
		t.Helper()
		var rejected *adapters.RejectedError
		if !errors.As(err, &rejected) || len(rejected.Rejects) != len(indexes) {
			t.Fatalf("got %v, want %d rejects", err, len(indexes))
		}
		for i, r := range rejected.Rejects {
			if r.Index != indexes[i] || r.Reason != "refused" || r.Err.Error() != `the server refused the message: 500 "bad message"` {
				t.Errorf("got %v, want index %d", r, indexes[i])
			}
		}
	}
	f(results[0], 0, 2)
	if results[1] != nil {
		t.Errorf("an empty batch: %v", results[1])
	}
	f(results[2], 1)
}

// A server that refuses everything is not working: nothing is given up.
func TestAllRefused(t *testing.T) {
	server := start(t, func(int, []byte) string { return "500 command disabled" })
	s := newSender(t, server.Address(), 8)
	s.send("a", "b")
	want := fmt.Sprintf(`reading from %q: the server takes nothing: 500 "command disabled"`, server.Address())
	if err := s.wait(1)[0]; err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

// A broken session tells what the server took: all before the first message
// without a response, the refused ones among them.
func TestBroken(t *testing.T) {
	server := start(t, func(n int, _ []byte) string {
		switch n {
		case 1:
			return "500 no"
		case 3:
			return "" // And so it stays.
		}
		return "200 OK"
	})
	s := newSenderWith(t, Config{Address: server.Address(), Limits: shortLimits(), Window: 100})
	s.send("0")
	s.send("1", "2", "3", "4")
	s.send("5")
	results := s.wait(3)
	var partial *adapters.PartialError
	if results[0] != nil || !errors.As(results[1], &partial) {
		t.Fatalf("got %v", results)
	}
	if partial.Settled != 2 || len(partial.Rejects) != 1 || partial.Rejects[0].Index != 0 {
		t.Errorf("%d settled, rejects %v", partial.Settled, partial.Rejects)
	}
	if !errors.Is(partial, os.ErrDeadlineExceeded) || results[2] == nil {
		t.Errorf("got %v", results)
	}
	// The session after it begins anew, once the failure is known.
	s.Flush(t.Context())
	s.send("6")
	if err := s.wait(4)[3]; err != nil {
		t.Fatal(err)
	}
}

// Responses may come in any order.
func TestAnyOrder(t *testing.T) {
	address := script(t, func(conn net.Conn, received func(string)) {
		received("3 syslog 1 b\n")
		_, _ = conn.Write([]byte("3 rsp 6 200 OK\n"))
		_, _ = conn.Write([]byte("2 rsp 6 200 OK\n"))
		received("4 close 0\n")
	})
	s := newSender(t, address, 100)
	s.send("a", "b")
	if err := s.wait(1)[0]; err != nil {
		t.Fatal(err)
	}
}

// serverclose ends the session at once, and the next batch opens another.
func TestServerClose(t *testing.T) {
	server := start(t, nil)
	s := newSender(t, server.Address(), 4)
	s.send("a")
	s.wait(1)
	server.HangUp()
	adaptertest.Eventually(t, adaptertest.Patience, "the session is broken", func() bool { return s.session.broken() != nil })
	s.send("b")
	if err := s.wait(2)[1]; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	adaptertest.Eventually(t, adaptertest.Patience, "the server saw the close", func() bool { return server.Polite() == 1 })
}

// The window is never overrun, in messages or in bytes.
func TestWindow(t *testing.T) {
	const window = 7
	var mu sync.Mutex
	most := 0
	var s *sender
	server := start(t, func(int, []byte) string {
		mu.Lock()
		defer mu.Unlock()
		session := s.session
		session.mu.Lock()
		most = max(most, session.waiting)
		if inFlight := session.nextBytes - session.frontBytes; session.waiting > 4 && inFlight > 1<<20 {
			t.Errorf("%d bytes are in flight", inFlight)
		}
		session.mu.Unlock()
		return "200 OK"
	})
	s = newSender(t, server.Address(), window)
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Commit(t.Context(), s.settled)
	for i := range 200 {
		s.send(strings.Repeat("x", i*i*10), "y", "z")
	}
	for _, err := range s.wait(201) {
		if err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if most > window || most < 2 {
		t.Fatalf("%d messages waited at a time, the window is %d", most, window)
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []Config{
		{Address: "h", Window: 1},
		{Address: "h:1"},
		{Address: "h:1", Window: 1, TLS: &transport.TLSOptions{CertFile: "a"}},
	} {
		if _, err := NewClient(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
