package gelf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

// sendHTTP sends a batch and returns what became of it.
func sendHTTP(t *testing.T, a adapters.Adapter, b *record.Batch) error {
	t.Helper()
	result := make(chan error, 1)
	a.Send(t.Context(), b, func(err error) { result <- err })
	return <-result
}

// lines returns n lines with their numbers.
func lines(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, "line %d", i)
	}
	return list
}

func TestHTTPRequest(t *testing.T) {
	var mu sync.Mutex
	var seen []http.Header
	server := startGraylog(t, adaptertest.Serves, nil, func(r *http.Request, _ []byte) int {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodPost || r.URL.String() != "/gelf" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		seen = append(seen, r.Header)
		return http.StatusAccepted
	})
	c := resolve(t, "http", server.Address(), options{"header.x-tenant": "a", "compression": "gzip"})
	c.User = url.UserPassword("me", "secret")
	if err := sendHTTP(t, mustAdapter(t, c), adaptertest.NewBatch(web(), lines(300)...)); err != nil {
		t.Fatal(err)
	}
	if bodies, connections := server.requests(); bodies != 300 || connections != 1 {
		t.Errorf("%d bodies over %d connections", bodies, connections)
	}
	for _, message := range server.messages {
		checkLegal(t, message)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Encoding": "gzip", "X-Tenant": "a",
		"Authorization": "Basic bWU6c2VjcmV0", "User-Agent": "tallyman",
	} {
		if got := seen[0].Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

// With bulk, a body holds as many messages as max_bytes allows.
func TestHTTPBulk(t *testing.T) {
	server := startGraylog(t, adaptertest.Serves, nil, func(_ *http.Request, body []byte) int {
		if len(body) > 8192 || bytes.HasSuffix(body, []byte("\n")) {
			t.Errorf("a body has %d bytes and ends with %q", len(body), body[len(body)-1])
		}
		return http.StatusAccepted
	})
	a := mustAdapter(t, resolve(t, "http", server.Address(), options{"bulk": "true", "max_bytes": "8192", "linger": "1ms"}))
	want := lines(500)
	if err := sendHTTP(t, a, adaptertest.NewBatch(web(), want...)); err != nil {
		t.Fatal(err)
	}
	if bodies, _ := server.requests(); bodies < 20 || bodies > 60 {
		t.Errorf("500 messages came in %d bodies", bodies)
	}
	for i, line := range server.Lines() {
		if !bytes.Equal(line, want[i]) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// Messages of which the server will never take are rejected, alone.
func TestHTTPRejects(t *testing.T) {
	for _, bulk := range []string{"false", "true"} {
		f := func(status int, reason string) {
			t.Run(fmt.Sprint(status, " bulk ", bulk), func(t *testing.T) {
				server := startGraylog(t, adaptertest.Serves, nil, func(_ *http.Request, body []byte) int {
					if bytes.Contains(body, []byte(`"line 7"`)) || bytes.Contains(body, []byte(`"line 30"`)) {
						return status
					}
					return http.StatusAccepted
				})
				batch := lines(40)
				batch[3] = nil
				o := options{"bulk": bulk}
				if bulk == "true" {
					o["linger"] = "1ms"
				}
				a := mustAdapter(t, resolve(t, "http", server.Address(), o))
				err := sendHTTP(t, a, adaptertest.NewBatch(web(), batch...))
				var rejected *adapters.RejectedError
				if !errors.As(err, &rejected) || len(rejected.Rejects) != 3 {
					t.Fatalf("got %v", err)
				}
				for i, want := range []adapters.Reject{{Index: 3, Reason: "blank"}, {Index: 7, Reason: reason}, {Index: 30, Reason: reason}} {
					if got := rejected.Rejects[i]; got.Index != want.Index || got.Reason != want.Reason || got.Err == nil {
						t.Errorf("got %+v, want %+v", got, want)
					}
				}
				if n := server.Count(); n != 37 {
					t.Errorf("%d lines arrived", n)
				}
			})
		}
		f(http.StatusRequestEntityTooLarge, "too_long")
		f(http.StatusBadRequest, "refused")
		f(http.StatusUnprocessableEntity, "refused")
	}
}

// Anything else is an error to try again, from the first message that was not
// taken; batches of the container that were sent behind it do not overtake it.
func TestHTTPRetry(t *testing.T) {
	for _, status := range []int{301, 307, 401, 403, 404, 405, 408, 429, 500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			waiting := make(chan struct{})
			server := startGraylog(t, adaptertest.Serves, nil, func(_ *http.Request, body []byte) int {
				if bytes.Contains(body, []byte(`"line 7"`)) {
					<-waiting
					return status
				}
				return http.StatusAccepted
			})
			a := mustAdapter(t, resolve(t, "http", server.Address(), nil))
			results := make(chan error, 3)
			batch := lines(40)
			batch[3] = nil
			a.Send(t.Context(), adaptertest.NewBatch(web(), batch...), func(err error) { results <- err })
			a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("behind")), func(err error) { results <- err })
			a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("behind")), func(err error) { results <- err })
			close(waiting)
			first := <-results
			var partial *adapters.PartialError
			if !errors.As(first, &partial) || partial.Settled != 7 || len(partial.Rejects) != 1 || partial.Rejects[0].Index != 3 {
				t.Fatalf("got %v", first)
			}
			for range 2 {
				err := <-results
				if err == nil || errors.As(err, &partial) {
					t.Fatalf("a batch behind it: %v", err)
				}
			}
			adaptertest.Eventually(t, adaptertest.Patience, "a batch is taken again", func() bool {
				a.Flush(t.Context())
				return sendHTTP(t, a, adaptertest.NewBatch(web(), []byte("again"))) == nil
			})
			if n := server.Count(); n != 7 {
				t.Errorf("%d lines arrived", n)
			}
		})
	}
}

// Containers go over several connections at the same time, each in its order.
func TestHTTPConnections(t *testing.T) {
	server := startGraylog(t, adaptertest.Serves, nil, nil)
	a := mustAdapter(t, resolve(t, "http", server.Address(), options{"concurrency": "3"}))
	var pending sync.WaitGroup
	containers := adaptertest.Containers(30)
	for i := range 3 {
		for _, c := range containers {
			pending.Add(1)
			a.Send(t.Context(), adaptertest.NewBatch(c, fmt.Appendf(nil, "%s %d", c.Name, i)), func(err error) {
				defer pending.Done()
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	pending.Wait()
	if _, connections := server.requests(); connections < 2 {
		t.Errorf("requests came over %d connections", connections)
	}
	next := map[string]int{}
	for _, line := range server.Lines() {
		var name string
		var i int
		if _, err := fmt.Sscanf(string(line), "%s %d", &name, &i); err != nil || next[name] != i {
			t.Fatalf("%q came when %d was next", line, next[name])
		}
		next[name]++
	}
	if len(next) != len(containers) {
		t.Errorf("lines of %d containers arrived", len(next))
	}
}

// A server that does not answer holds Close no longer than its context.
func TestHTTPCloseGivesUp(t *testing.T) {
	server := startGraylog(t, adaptertest.Mute, nil, nil)
	a := mustAdapter(t, resolve(t, "http", server.Address(), nil))
	results := make(chan error, 2)
	for range 2 {
		a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("x")), func(err error) { results <- err })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); !errors.Is(err, adapters.ErrClosed) {
		t.Errorf("closing: %v", err)
	}
	for range 2 {
		if err := <-results; !errors.Is(err, adapters.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}
