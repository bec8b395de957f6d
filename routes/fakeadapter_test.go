package routes_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// parcel is a batch that a fake adapter holds.
type parcel struct {
	seq   int
	lines []string
	done  func(error)
}

// syncAdapter answers every Send at once, by what answer says.
type syncAdapter struct {
	mu     sync.Mutex
	answer func(ctx context.Context, lines []string) error
	book   *ledger
	closed bool
	// onClose takes the place of Close when it is set.
	onClose func(context.Context) error
}

func lines(b *record.Batch) []string {
	list := make([]string, len(b.Records))
	for i := range b.Records {
		list[i] = string(b.Records[i].Line)
	}
	return list
}

func (a *syncAdapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	var err error
	if a.answer != nil {
		err = a.answer(ctx, lines(b))
	}
	if err == nil && a.book != nil {
		a.book.take(lines(b))
	}
	done(err)
}

func (a *syncAdapter) Flush(context.Context) {}

func (a *syncAdapter) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	if a.onClose != nil {
		return a.onClose(ctx)
	}
	return nil
}

// flaky is an adapter with many batches in flight, which another goroutine
// settles. It fails at random until healthy is called.
type flaky struct {
	t    *testing.T
	book *ledger
	// scatter says that each batch is answered for itself, in any order; else
	// they go over a connection, which breaks for all of them. gather says that
	// nothing goes out before Flush or until there is enough.
	scatter, gather bool
	window          int

	mu      sync.Mutex
	rng     *rand.Rand
	healthy bool
	stop    bool
	changed chan struct{}
	waiting []*parcel // gathered
	queue   []*parcel // sent
	// settling is how many batches are being settled: none may be sent
	// on a new connection before.
	settling int
	seq      int
	// sent has the sizes of the batches since the last failure was over, from
	// number base on; failed is the first that failed, 0 when none.
	sent   []int
	base   int
	failed int
	worker sync.WaitGroup
}

func newFlaky(t *testing.T, book *ledger, seed uint64) *flaky {
	rng := rand.New(rand.NewPCG(seed, 7))
	a := &flaky{
		t: t, book: book, rng: rng, changed: make(chan struct{}), base: 1,
		scatter: rng.IntN(3) == 0, gather: rng.IntN(2) == 0, window: 1 + rng.IntN(12),
	}
	a.worker.Go(a.work)
	return a
}

// update changes the adapter under its mutex and wakes who waits for that.
func (a *flaky) update(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// await waits until condition, which is called under the mutex, holds.
func (a *flaky) await(ctx context.Context, condition func() bool) error {
	for {
		a.mu.Lock()
		ok, changed := condition(), a.changed
		a.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *flaky) Send(ctx context.Context, b *record.Batch, done func(error)) {
	text := lines(b)
	err := a.await(ctx, func() bool {
		// A connection that broke is cleared away first, as transport.Stream does.
		if len(a.queue) >= a.window || !a.scatter && a.failed != 0 && (a.settling > 0 || ctx.Err() != nil) {
			return false
		}
		a.acceptLocked(&parcel{lines: text, done: done})
		return true
	})
	if err != nil {
		done(err)
		return
	}
	a.update(func() {})
}

func (a *flaky) acceptLocked(p *parcel) {
	a.seq++
	if a.failed != 0 && len(a.queue)+len(a.waiting)+a.settling == 0 {
		// The first after a failure: what was sent since may come again.
		for i, n := range a.sent {
			if a.base+i >= a.failed {
				a.book.allow(n)
			}
		}
		a.sent, a.base, a.failed = nil, a.seq, 0
	}
	p.seq = a.seq
	a.sent = append(a.sent, len(split(p.lines)))
	a.waiting = append(a.waiting, p)
	if !a.gather || len(a.waiting) > 3 {
		a.queue, a.waiting = append(a.queue, a.waiting...), nil
	}
}

func (a *flaky) Flush(ctx context.Context) {
	if ctx.Err() == nil {
		a.update(func() { a.queue, a.waiting = append(a.queue, a.waiting...), nil })
	}
}

// work settles what was sent.
func (a *flaky) work() {
	for {
		_ = a.await(context.Background(), func() bool { return len(a.queue) > 0 || a.stop })
		var p *parcel
		var rest []*parcel
		var err error
		a.mu.Lock()
		if len(a.queue) == 0 {
			a.mu.Unlock()
			return
		}
		i := 0
		if a.scatter {
			i = a.rng.IntN(len(a.queue))
		}
		p = a.queue[i]
		a.queue = slices.Delete(slices.Clone(a.queue), i, i+1)
		var repeat bool
		if err, repeat = a.judgeLocked(p); repeat {
			if a.failed == 0 || p.seq < a.failed {
				a.failed = p.seq
			}
			if !a.scatter {
				rest = append(a.queue, a.waiting...)
				a.queue, a.waiting = nil, nil
			}
		}
		a.settling += 1 + len(rest)
		a.mu.Unlock()
		p.done(err)
		for _, other := range rest {
			other.done(errBroken)
		}
		a.update(func() { a.settling -= 1 + len(rest) })
	}
}

// judgeLocked decides what becomes of a batch and writes it down.
func (a *flaky) judgeLocked(p *parcel) (err error, repeat bool) {
	whole, n := p.lines, len(p.lines)
	if !a.healthy {
		switch a.rng.IntN(12) {
		case 0:
			return errBroken, true
		case 1:
			k := a.rng.IntN(n + 1)
			a.book.take(whole[:k])
			return adapters.Partial(k, errBroken), true
		case 2:
			// All of it has arrived, and the answer is lost.
			a.book.take(whole)
			return adapters.Partial(a.rng.IntN(n), errBroken), true
		case 3:
			a.book.refuse(whole)
			return adapters.Permanent("cursed", errBroken), false
		case 4:
			var rejects []adapters.Reject
			var taken, refused []string
			for i, text := range whole {
				if a.rng.IntN(3) > 0 {
					taken = append(taken, text)
					continue
				}
				refused = append(refused, text)
				rejects = append(rejects, adapters.Reject{Index: i, Reason: "bad", Err: errBroken})
			}
			a.book.take(taken)
			a.book.refuse(refused)
			if rejects != nil {
				return adapters.Rejected(rejects), false
			}
			return nil, false
		}
	}
	a.book.take(whole)
	return nil, false
}

// heal ends the failures.
func (a *flaky) heal() { a.update(func() { a.healthy = true }) }

func (a *flaky) Close(ctx context.Context) error {
	a.Flush(context.Background())
	err := a.await(ctx, func() bool { return len(a.queue)+a.settling == 0 })
	var rest []*parcel
	a.update(func() { rest, a.queue, a.stop = a.queue, nil, true })
	for _, p := range rest {
		p.done(adapters.ErrClosed)
	}
	a.worker.Wait()
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		a.t.Error(err)
	}
	return err
}
