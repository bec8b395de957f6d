package post

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

var errOdd = errors.New("the line is odd")

// lines is an Encoder that rejects lines that begin with odd, and whose groups are lines between brackets, behind the name
// of the container and the stream.
type lines struct{ name string }

func (l *lines) Begin(c *record.Container) { l.name = c.Name }

func (l *lines) AppendHeader(dst []byte, s record.Stream) []byte {
	return append(append(dst, l.name...), byte('0'+s))
}

func (l *lines) Append(dst []byte, r *record.Record) ([]byte, error) {
	if bytes.HasPrefix(r.Line, []byte("odd")) {
		return dst, adapters.Permanent("odd", errOdd)
	}
	return append(append(dst, r.Line...), '\n'), nil
}

func (l *lines) AppendBody(dst []byte, groups []Group) []byte {
	for i := range groups {
		before := len(dst)
		dst = append(append(dst, groups[i].Header...), "[\n"...)
		start := len(dst)
		if dst = groups[i].AppendFrames(dst); len(dst)-start != groups[i].Size || len(dst) == start {
			dst = append(dst[:before], "wrong size"...)
		}
		dst = append(dst, "]\n"...)
	}
	return dst
}

// server answers requests as its rule says and keeps the bodies that it took.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	bodies   []string
}

// startServer starts a server. rule gets the number of the request, from 1 on,
// and its body; it may write the answer, and returns whether the body is taken.
func startServer(t *testing.T, rule func(n int, body string, w http.ResponseWriter, r *http.Request) bool) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		if rule == nil || rule(s.requests, string(body), w, r) {
			s.bodies = append(s.bodies, string(body))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// config makes a configuration with all options at their defaults but those
// given. A linger of a minute leaves bodies to Close and to their bounds.
func config(t testing.TB, target string, options map[string]string) Config {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	d := adapters.Description{Name: "test", Transports: Transports(), Options: Options()}
	all := map[string]string{"linger": "1m", "timeout": "5s"}
	for name, value := range options {
		all[name] = value
	}
	c, err := d.Resolve(u.Scheme, u.Host, all, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.User, c.Path, c.Logger = u.User, u.Path, slog.New(slog.DiscardHandler)
	return Config{
		Adapter: c, Encoder: &lines{}, Grouping: ByStream, Path: "/default",
		ContentType: "text/plain", Compression: None,
	}
}

func mustNew(t testing.TB, c Config) *adapter {
	t.Helper()
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.Close(ctx) // A second Close does nothing.
	})
	return a.(*adapter)
}

// outcome is what became of a batch.
type outcome struct {
	mu    sync.Mutex
	calls int
	err   error
}

func (o *outcome) done(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	o.err = err
}

func (o *outcome) wait(t *testing.T) error {
	t.Helper()
	adaptertest.Eventually(t, adaptertest.Patience, "the batch is settled", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.calls > 0
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls != 1 {
		t.Fatalf("done was called %d times", o.calls)
	}
	return o.err
}

func send(t *testing.T, a *adapter, b *record.Batch) *outcome {
	t.Helper()
	o := &outcome{}
	a.Send(t.Context(), b, o.done)
	return o
}

// batch returns lines of the standard output of container n.
func batch(n int, texts ...string) *record.Batch {
	b := &record.Batch{Container: adaptertest.Containers(n)[n-1]}
	for _, text := range texts {
		b.Records = append(b.Records, record.Record{Time: 1e18, Line: []byte(text)})
	}
	return b
}

func mustClose(t *testing.T, a *adapter) {
	t.Helper()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
