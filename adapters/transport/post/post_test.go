package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
)

// Records of the same container and stream come together, however many batches
// they were in, and keep their order.
func TestGroups(t *testing.T) {
	s := startServer(t, nil)
	a := mustNew(t, config(t, s.URL, nil))
	one, two := adaptertest.Containers(2)[0], adaptertest.Containers(2)[1]
	send(t, a, adaptertest.NewBatch(one, []byte("a"), []byte("b"), []byte("c")))
	send(t, a, adaptertest.NewBatch(two, []byte("d")))
	last := send(t, a, adaptertest.NewBatch(one, []byte("e"), []byte("f")))
	mustClose(t, a)
	if err := last.wait(t); err != nil {
		t.Fatal(err)
	}
	want := []string{"web.10[\na\nc\ne\n]\nweb.11[\nb\nf\n]\nweb.20[\nd\n]\n"}
	if got := s.taken(); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// A body is posted when it is full, by bytes or by lines, or has waited long
// enough.
func TestBounds(t *testing.T) {
	f := func(name string, options map[string]string, want int) {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, nil)
			a := mustNew(t, config(t, s.URL, options))
			texts := make([]string, 100)
			for i := range texts {
				texts[i] = strings.Repeat("x", 99)
			}
			o := send(t, a, batch(1, texts...))
			mustClose(t, a)
			if err := o.wait(t); err != nil {
				t.Fatal(err)
			}
			if got := len(s.taken()); got != want {
				t.Fatalf("%d requests, want %d", got, want)
			}
		})
	}
	f("one", nil, 1)
	f("by lines", map[string]string{"max_lines": "30"}, 4)
	f("by bytes", map[string]string{"max_bytes": "2600"}, 4)

	s := startServer(t, nil)
	a := mustNew(t, config(t, s.URL, map[string]string{"linger": "1ms"}))
	if err := send(t, a, batch(1, "x")).wait(t); err != nil {
		t.Fatal(err)
	}
	if got := s.taken(); len(got) != 1 {
		t.Fatalf("got %q", got)
	}
}

// What a server finds too large comes in smaller parts, in order, and later
// bodies are no larger; a single line that is too large is given up.
func TestTooLarge(t *testing.T) {
	const most = 20 << 10
	s := startServer(t, func(_ int, body string, w http.ResponseWriter, _ *http.Request) bool {
		if len(body) > most {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return false
		}
		return true
	})
	a := mustNew(t, config(t, s.URL, map[string]string{"linger": "0s"}))
	var texts []string
	for i := range 1000 {
		texts = append(texts, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 96)))
	}
	texts[500] = strings.Repeat("y", most+1)
	err := send(t, a, batch(1, texts...)).wait(t)
	var rejected *adapters.RejectedError
	if !errors.As(err, &rejected) || len(rejected.Rejects) != 1 || rejected.Rejects[0].Index != 500 || rejected.Rejects[0].Reason != "too_long" {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, body := range s.taken() {
		body = strings.TrimSuffix(strings.TrimPrefix(body, "web.10[\n"), "\n]\n")
		got = append(got, strings.Split(body, "\n")...)
	}
	if want := slices.Delete(slices.Clone(texts), 500, 501); !slices.Equal(got, want) {
		t.Fatalf("%d lines arrived, want %d in their order", len(got), len(want))
	}
	before := s.count()
	if err := send(t, a, batch(1, slices.Repeat([]string{strings.Repeat("z", 99)}, 400)...)).wait(t); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, body := range s.taken() {
		if strings.Contains(body, "z") {
			taken++
		}
	}
	if requests := s.count() - before; requests != taken {
		t.Fatalf("%d of %d requests were too large again", requests-taken, requests)
	}
}

// Answers settle the lines of their request.
func TestAnswers(t *testing.T) {
	f := func(status int, options map[string]string, check func(error) bool) {
		t.Run(fmt.Sprint(status, options), func(t *testing.T) {
			s := startServer(t, func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "because of\n\x00 reasons")
				return true
			})
			a := mustNew(t, config(t, s.URL, options))
			first, second := send(t, a, batch(1, "a", "b")), send(t, a, batch(2, "c"))
			err := a.Close(t.Context())
			if one, two := first.wait(t), second.wait(t); !check(one) || !check(two) {
				t.Errorf("the outcomes are %v and %v", one, two)
			}
			var permanent *adapters.RejectedError
			if retried := first.err != nil && !errors.As(first.err, &permanent); retried != (err != nil) {
				t.Errorf("Close says %v", err)
			}
			if n := s.count(); n != 1 {
				t.Errorf("%d requests were made", n)
			}
		})
	}
	delivered := func(err error) bool { return err == nil }
	retried := func(err error) bool {
		var rejected *adapters.RejectedError
		return err != nil && !errors.As(err, &rejected)
	}
	refused := func(reason string) func(error) bool {
		return func(err error) bool {
			var rejected *adapters.RejectedError
			if !errors.As(err, &rejected) {
				return false
			}
			for i, r := range rejected.Rejects {
				if r.Index != i || r.Reason != reason || !strings.HasSuffix(r.Err.Error(), ": because of reasons") {
					return false
				}
			}
			return true
		}
	}
	for _, status := range []int{200, 201, 202, 204, 299} {
		f(status, nil, delivered)
	}
	for _, status := range []int{301, 302, 307, 308, 408, 425, 429, 500, 502, 503, 504, 507} {
		f(status, nil, retried)
	}
	for _, status := range []int{400, 401, 403, 404, 405, 410, 415, 422} {
		f(status, nil, refused("http_"+strconv.Itoa(status)))
	}
	f(401, map[string]string{"retry_status": "401, 404"}, retried)
	f(404, map[string]string{"retry_status": "401, 404"}, retried)
	f(403, map[string]string{"retry_status": "401, 404"}, refused("http_403"))
}

// After a failure nothing that came behind it is posted until the caller knows.
func TestNothingOvertakes(t *testing.T) {
	release := make(chan struct{})
	s := startServer(t, func(n int, _ string, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			<-release
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		}
		return true
	})
	a := mustNew(t, config(t, s.URL, map[string]string{"linger": "0s", "max_lines": "2"}))
	first := send(t, a, batch(1, "a", "b"))
	l := a.lanes[0]
	adaptertest.Eventually(t, adaptertest.Patience, "the first body is under way", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.open.len() == 0
	})
	second := send(t, a, batch(1, "c"))
	close(release)
	for _, o := range []*outcome{first, second} {
		var partial *adapters.PartialError
		if err := o.wait(t); err == nil || errors.As(err, &partial) {
			t.Fatalf("got %v", err)
		}
	}
	if err := send(t, a, batch(1, "d")).wait(t); err == nil {
		t.Fatal("a batch behind a failure is taken before Flush")
	}
	a.Flush(t.Context())
	if err := send(t, a, batch(1, "a", "b", "c", "d")).wait(t); err != nil {
		t.Fatal(err)
	}
	want := []string{"web.10[\na\nb\n]\n", "web.10[\nc\nd\n]\n"}
	if got := s.taken(); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// The first records of a batch count when a later body of it fails.
func TestPartial(t *testing.T) {
	s := startServer(t, func(n int, _ string, w http.ResponseWriter, _ *http.Request) bool {
		switch n {
		case 2:
			w.WriteHeader(http.StatusBadRequest)
		case 3:
			w.WriteHeader(http.StatusBadGateway)
		}
		return n == 1
	})
	a := mustNew(t, config(t, s.URL, map[string]string{"max_lines": "2"}))
	err := send(t, a, batch(1, "a", "b", "c", "d", "e", "f", "g")).wait(t)
	var partial *adapters.PartialError
	if !errors.As(err, &partial) || partial.Settled != 4 || len(partial.Rejects) != 2 ||
		partial.Rejects[0].Index != 2 || partial.Rejects[1].Index != 3 || partial.Rejects[0].Reason != "http_400" {
		t.Fatalf("got %#v", err)
	}
}

// Records that the encoder rejects are told of in their order with those that
// the server refuses, wherever they stand, and never before those before them.
func TestRejectedByEncoder(t *testing.T) {
	rejects := func(want ...int) func(error) bool {
		return func(err error) bool {
			var rejected *adapters.RejectedError
			var partial *adapters.PartialError
			var got []adapters.Reject
			if errors.As(err, &rejected) {
				got = rejected.Rejects
			} else if errors.As(err, &partial) {
				got = partial.Rejects
			}
			return slices.EqualFunc(got, want, func(r adapters.Reject, index int) bool {
				return r.Index == index && (r.Reason == "odd") == errors.Is(r.Err, errOdd)
			})
		}
	}
	f := func(texts string, settled int, check func(error) bool) {
		t.Run(texts, func(t *testing.T) {
			s := startServer(t, func(_ int, body string, w http.ResponseWriter, _ *http.Request) bool {
				switch {
				case strings.Contains(body, "bad"):
					w.WriteHeader(http.StatusBadRequest)
				case strings.Contains(body, "down"):
					w.WriteHeader(http.StatusBadGateway)
				}
				return true
			})
			a := mustNew(t, config(t, s.URL, map[string]string{"max_lines": "1"}))
			o := send(t, a, batch(1, strings.Fields(texts)...))
			_ = a.Close(t.Context()) // Its error is of the batch's.
			err := o.wait(t)
			var partial *adapters.PartialError
			if !check(err) || errors.As(err, &partial) != (settled > 0) || settled > 0 && partial.Settled != settled {
				t.Fatalf("got %#v", err)
			}
			if strings.Contains(strings.Join(s.taken(), ""), "odd") {
				t.Fatalf("a rejected record was posted: %q", s.taken())
			}
		})
	}
	f("odd", 0, rejects(0))
	f("odd odd", 0, rejects(0, 1))
	f("a odd", 0, rejects(1))
	f("odd a", 0, rejects(0))
	f("odd bad odd a odd odd bad odd", 0, rejects(0, 1, 2, 4, 5, 6, 7))
	f("a odd down odd b", 2, rejects(1))
	f("odd down odd", 1, rejects(0))
	f("a b down odd", 2, rejects())
	f("down odd b", 0, func(err error) bool { return err != nil && rejects()(err) })
}

// A judge may have a request sent in halves until it is known which records are
// refused; requests then are no smaller for long.
func TestHalves(t *testing.T) {
	s := startServer(t, func(_ int, body string, w http.ResponseWriter, _ *http.Request) bool {
		if strings.Contains(body, "bad") {
			w.WriteHeader(http.StatusBadRequest)
			return false
		}
		return true
	})
	c := config(t, s.URL, nil)
	c.Judge = func(a *Answer) Verdict {
		if a.Status == http.StatusBadRequest {
			return Verdict{Split: true, Reason: "refused", Err: a.Error()}
		}
		return JudgeStatus(a)
	}
	a := mustNew(t, c)
	texts := slices.Repeat([]string{"good"}, 1000)
	texts[300], texts[301], texts[999] = "bad", "bad", "bad"
	o := send(t, a, batch(1, texts...))
	mustClose(t, a)
	var rejected *adapters.RejectedError
	if err := o.wait(t); !errors.As(err, &rejected) || len(rejected.Rejects) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []int{300, 301, 999} {
		if r := rejected.Rejects[i]; r.Index != want || r.Reason != "refused" {
			t.Errorf("got %+v, want %d", r, want)
		}
	}
	if n := s.count(); n > 100 {
		t.Errorf("it took %d requests", n)
	}
	if n := strings.Count(strings.Join(s.taken(), ""), "good"); n != 997 {
		t.Errorf("%d lines arrived", n)
	}
	if most := a.most.Load(); most != int64(a.limits.bytes) {
		t.Errorf("later bodies have %d bytes at most", most)
	}
}

// With Single each record is a request of its own, in order.
func TestSingle(t *testing.T) {
	s := startServer(t, nil)
	c := config(t, s.URL, nil)
	c.Single = true
	a := mustNew(t, c)
	o := send(t, a, batch(1, "a", "b", "c"))
	mustClose(t, a)
	if err := o.wait(t); err != nil {
		t.Fatal(err)
	}
	want := []string{"web.10[\na\n]\n", "web.10[\nb\n]\n", "web.10[\nc\n]\n"}
	if got := s.taken(); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// A server that wants to be left alone is, and Close does not wait for it.
func TestRetryAfter(t *testing.T) {
	s := startServer(t, func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return false
	})
	a := mustNew(t, config(t, s.URL, map[string]string{"linger": "0s"}))
	if err := send(t, a, batch(1, "a")).wait(t); err == nil {
		t.Fatal("delivered")
	}
	left := a.left()
	if left <= 0 || left > maxPause {
		t.Fatalf("the server is left alone for %v", left)
	}
	var o *outcome
	adaptertest.Eventually(t, adaptertest.Patience, "a batch is taken", func() bool {
		a.Flush(t.Context())
		o = &outcome{}
		a.Send(t.Context(), batch(1, "a"), o.done)
		return o.calls == 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); !errors.Is(err, adapters.ErrClosed) {
		t.Fatalf("closing: %v", err)
	}
	if err := o.wait(t); !errors.Is(err, adapters.ErrClosed) {
		t.Fatalf("got %v", err)
	}
	if n := s.count(); n != 1 {
		t.Fatalf("%d requests were made", n)
	}
}

func TestReadRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 1, 9, 8, 0, time.UTC)
	f := func(value string, want time.Duration) {
		t.Helper()
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
	f("", 0)
	f("0", 0)
	f(" 7 ", 7*time.Second)
	f("3600", maxPause)
	f("99999999999999999999", 0)
	f("-5", 0)
	f("soon", 0)
	f("Sat, 21 Nov 2026 01:09:38 GMT", 30*time.Second)
	f("Sat, 21 Nov 2026 01:00:00 GMT", 0)
	f("Sat, 21 Nov 2099 01:00:00 GMT", maxPause)
}
