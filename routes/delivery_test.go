package routes_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// uri is the route of tests that need one only, and its identity.
const uri = "fake://host:1"

// newContainer returns a container that was made after any route.
func newContainer(id string) record.Container {
	return record.Container{ID: id, Name: "name-" + id, Created: time.Now().Add(time.Hour)}
}

// numbers returns 0 … n-1.
func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// TestIsolation: an adapter that never returns from Send disturbs no other
// route, and does not keep what others deliver from being saved.
func TestIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := &syncAdapter{answer: func(context.Context, []string) error { <-release; return errBroken }}
		book, kept := newLedger(), newPositions()
		table := newTable(t, routes.TableConfig{Positions: kept}, map[string]adapters.Adapter{
			"fake://stuck:1": stuck, "fake://works:1": &syncAdapter{book: book},
		})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(ended); table.Run(ctx) }()
		l.write(1000)
		eventually(t, "the other route has all", func() bool { return len(book.has("c")) == 1000 })
		cancel()
		eventually(t, "the position is saved though one route does not stop", func() bool {
			kept.mu.Lock()
			defer kept.mu.Unlock()
			return kept.at["fake://works:1"]["c"].at == place(1000) && kept.saves > 2
		})
		close(release)
		<-ended
		if !slices.Equal(book.has("c"), numbers(1000)) {
			t.Fatal("the lines came in another order")
		}
	})
}

// TestFairness: a log that floods does not keep a quiet one waiting.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flood, quiet := newLog(t, newContainer("flood")), newLog(t, newContainer("quiet"))
		sends, written, seen := 0, 0, 0
		a := &syncAdapter{answer: func(_ context.Context, lines []string) error {
			sends++
			if id, _ := parseLine(lines[0]); id == "quiet" {
				seen = sends
			}
			if sends%100 == 0 {
				quiet.write(1)
				written = sends
			} else if written > seen && sends-written > 3 {
				t.Fatalf("the quiet log waits since %d turns", sends-written)
			}
			return nil
		}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: a})
		flood.write(50000)
		table.Found(flood)
		table.Found(quiet)
		stop := run(t, table)
		eventually(t, "all has been read", func() bool { return table.Routes()[0].Lag().Bytes == 0 })
		stop()
		if sends < 5000 {
			t.Fatalf("all went in %d turns", sends)
		}
	})
}

// TestStop: what is in flight gets the grace period, and no more than that; a
// route that is down does not wait for nothing.
func TestStop(t *testing.T) {
	f := func(what string, a *syncAdapter, least, most time.Duration, delivered bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			kept := newPositions()
			table := newTable(t, routes.TableConfig{Positions: kept, Grace: 5 * time.Second},
				map[string]adapters.Adapter{uri: a})
			l := newLog(t, newContainer("c"))
			table.Found(l)
			stop := run(t, table)
			l.write(3)
			time.Sleep(time.Minute)
			begun := time.Now()
			stop()
			if took := time.Since(begun); took < least || took > most {
				t.Errorf("%s: stopping took %v", what, took)
			}
			want := record.Oldest()
			if delivered {
				want = place(3)
			}
			if got := kept.saved(uri)["c"]; got != want {
				t.Errorf("%s: the position is %v, want %v", what, got, want)
			}
			if !a.closed || l.open() != 0 {
				t.Errorf("%s: something is left open", what)
			}
		})
	}
	block := func(ctx context.Context, _ []string) error { <-ctx.Done(); return ctx.Err() }
	down := func(context.Context, []string) error { return errBroken }
	f("idle", &syncAdapter{book: newLedger()}, 0, time.Millisecond, true)
	f("a Send that ends with its context", &syncAdapter{answer: block}, 5*time.Second, 5*time.Second, false)
	f("a Send that is late", &syncAdapter{answer: func(ctx context.Context, _ []string) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(62 * time.Second):
			return nil
		}
	}}, 2*time.Second, 2*time.Second, true)
	f("a pause between attempts", &syncAdapter{answer: down}, 0, time.Millisecond, false)
	attempts := 0
	f("an attempt of a route that is down", &syncAdapter{answer: func(ctx context.Context, _ []string) error {
		if attempts++; attempts == 1 {
			return errBroken
		}
		<-ctx.Done()
		return ctx.Err()
	}}, 100*time.Millisecond, 500*time.Millisecond, false)
	f("a Close that takes all it gets", &syncAdapter{book: newLedger(), onClose: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}, 5*time.Second, 5*time.Second, true)
}

// holder keeps what it is sent until the test settles it. Flush settles what
// was gathered.
type holder struct {
	syncAdapter
	mu       sync.Mutex
	held     []*parcel
	gathered []*parcel
	// gather says that what is sent is gathered until Flush.
	gather atomic.Bool
	onSend func()
}

func (h *holder) Send(ctx context.Context, b *record.Batch, done func(error)) {
	p := &parcel{lines: lines(b), done: done}
	h.mu.Lock()
	if h.gather.Load() {
		h.gathered = append(h.gathered, p)
	} else {
		h.held = append(h.held, p)
	}
	h.mu.Unlock()
	if h.onSend != nil {
		h.onSend()
	}
}

func (h *holder) Flush(context.Context) {
	h.mu.Lock()
	list := h.gathered
	h.gathered = nil
	h.mu.Unlock()
	for _, p := range list {
		h.book.take(p.lines)
		p.done(nil)
	}
}

// next waits for the next batch that is held.
func (h *holder) next(t *testing.T) *parcel {
	t.Helper()
	var p *parcel
	eventually(t, "a batch is sent", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.held) > 0 {
			p, h.held = h.held[0], h.held[1:]
		}
		return p != nil
	})
	return p
}

// TestGathered: a batch that an adapter has gathered when another fails does
// not hold the route up for ever.
func TestGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{syncAdapter: syncAdapter{book: newLedger()}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(1)
		first := h.next(t)
		h.gather.Store(true)
		h.onSend = func() {
			h.onSend = nil
			first.done(errBroken)
		}
		l.write(1)
		eventually(t, "both have come", func() bool { return slices.Contains(h.book.has("c"), 0) })
		stop()
		if got := h.book.has("c"); got[len(got)-1] != 1 {
			t.Fatalf("the lines came as %v", got)
		}
	})
}

// TestNothingBehindAFailure: once a batch has failed, the context of a Send
// that is under way ends, so that nothing overtakes what is to be sent again.
func TestNothingBehindAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{syncAdapter: syncAdapter{book: newLedger()}}
		var first *parcel
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: &overtaker{h, &first}})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(1)
		first = h.next(t)
		l.write(1)
		eventually(t, "both have come", func() bool { return h.book.total() >= 2 })
		stop()
		if !slices.Equal(h.book.has("c"), []int{0, 1}) {
			t.Fatalf("the lines came as %v", h.book.has("c"))
		}
	})
}

// overtaker holds the first batch and fails it during the second Send, as a
// connection that breaks and is made anew.
type overtaker struct {
	*holder
	first **parcel
}

func (o *overtaker) Send(ctx context.Context, b *record.Batch, done func(error)) {
	switch first := *o.first; {
	case first == nil:
		o.holder.Send(ctx, b, done)
	default:
		if first.done != nil {
			first.done(errBroken)
			first.done = nil
		}
		if ctx.Err() != nil {
			done(ctx.Err())
			return
		}
		o.book.take(lines(b))
		done(nil)
	}
}

// TestAllLandFirst: after a failure nothing is sent again before everything in
// flight is settled.
func TestAllLandFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{syncAdapter: syncAdapter{book: newLedger()}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(1)
		first := h.next(t)
		l.write(1)
		second := h.next(t)
		first.done(errBroken)
		time.Sleep(time.Minute)
		if len(h.held) != 0 {
			t.Error("something is sent though a batch is in flight")
		}
		second.done(nil)
		again := h.next(t)
		again.done(nil)
		stop()
		if !slices.Equal(again.lines, []string{"c:0", "c:1"}) {
			t.Errorf("lines %q are sent again", again.lines)
		}
		if n := table.Routes()[0].Tally().Delivered.Lines; n != 2 {
			t.Errorf("%d lines are counted", n)
		}
	})
}

// TestPartialAtTheEnd: what was delivered of a batch that Close had to give up
// is not sent again by the next life, also when what it says of the rest would
// be final by itself.
func TestPartialAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, h := newPositions(), &holder{syncAdapter: syncAdapter{book: newLedger()}}
		table := newTable(t, routes.TableConfig{Positions: kept}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		l.write(3)
		table.Found(l)
		stop := run(t, table)
		h.next(t).done(nil)
		l.write(5)
		p := h.next(t)
		h.onClose = func(context.Context) error {
			p.done(adapters.Partial(2, adapters.Permanent("cursed", errBroken)))
			return nil
		}
		stop()
		want := place(3)
		want.Skip = 2
		if got := kept.saved(uri)["c"]; got != want {
			t.Errorf("the position is %v, want %v", got, want)
		}
		tally := table.Routes()[0].Tally()
		if lines, last := tally.Delivered.Lines, table.Routes()[0].Stats().LastDelivered.Load(); lines != 5 || last != 1003 {
			t.Errorf("%d lines are counted, the newest of %d", lines, last)
		}
		if len(tally.Dropped) != 0 {
			t.Errorf("dropped are %v", tally.Dropped)
		}
	})
}

// TestSettledTwice: an adapter that settles a batch twice is told of and does no
// harm.
func TestSettledTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, h := &journal{}, &holder{syncAdapter: syncAdapter{book: newLedger()}}
		kept := newPositions()
		table := newTable(t, routes.TableConfig{Logger: j.logger(), Positions: kept}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(1)
		p := h.next(t)
		p.done(nil)
		p.done(errBroken)
		p.done(nil)
		stop()
		if n := j.count("settled a batch twice"); n != 2 {
			t.Fatalf("it was told %d times", n)
		}
		if kept.saved(uri)["c"] != place(1) {
			t.Fatalf("the position is %v", kept.saved(uri)["c"])
		}
	})
}
