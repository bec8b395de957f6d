package nats

import (
	"context"
	"sync"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// session is the use of one connection. Its methods are called by one goroutine
// at a time, except fail.
type session interface {
	// send publishes a batch and settles it, now or later.
	send(b *record.Batch, done func(error))
	// flush writes what is gathered and asks the server to confirm it.
	flush()
	// wait returns when everything is settled, or ctx ends.
	wait(ctx context.Context) error
	// fail ends the session and settles everything in it with err, unless it
	// has failed already. It may be called in any goroutine.
	fail(err error)
	// failure returns why the session has failed, nil when it has not.
	failure() error
	// overtaken reports whether batches were in flight when it failed, so that
	// what is sent next would come before them.
	overtaken() bool
	// close ends the session and waits for its goroutines and for what they
	// have to tell.
	close()
}

// flights keeps account of the batches in flight of a session. Its lock guards
// what the session has in flight, too.
type flights struct {
	// most is how many bytes may be in flight before the next batch is sent.
	most int
	link *link

	mu sync.Mutex
	// All below is guarded by mu.
	count, bytes int
	// err is why the session is over; over is closed when it is, and told when
	// all done functions have returned.
	err        error
	over, told chan struct{}
	// lost says that batches were in flight when the session failed.
	lost bool
	// changed says that count or bytes have become less; it holds one word.
	changed chan struct{}
}

func newFlights(most int) flights {
	return flights{most: most, over: make(chan struct{}), told: make(chan struct{}), changed: make(chan struct{}, 1)}
}

// connected sets the connection. The session may have failed before.
func (f *flights) connected(l *link) {
	f.mu.Lock()
	f.link = l
	f.mu.Unlock()
}

func (f *flights) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *flights) overtaken() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost
}

// failLocked ends the session. It reports whether that is news.
func (f *flights) failLocked(err error) bool {
	if f.err != nil {
		return false
	}
	f.err, f.lost = err, f.count > 0
	close(f.over)
	if f.link != nil {
		f.link.hangUp()
	}
	return true
}

// startLocked counts a batch of a number of bytes.
func (f *flights) startLocked(bytes int) {
	f.count++
	f.bytes += bytes
}

// landLocked counts that a batch is settled.
func (f *flights) landLocked(bytes int) {
	f.count--
	f.bytes -= bytes
	f.signal()
}

func (f *flights) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// until waits until condition, called with the lock held, is true. It returns
// early when the session has failed or ctx has ended, with the reason.
func (f *flights) until(ctx context.Context, condition func() bool) error {
	for {
		f.mu.Lock()
		met, err := condition(), f.err
		f.mu.Unlock()
		switch {
		case err != nil:
			return err
		case met:
			return nil
		}
		select {
		case <-f.changed:
		case <-f.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// room waits until another batch may be sent. Before it waits it calls flush, for
// what is not sent is not confirmed.
func (f *flights) room(flush func()) error {
	free := func() bool { return f.bytes < f.most }
	f.mu.Lock()
	wait := !free()
	f.mu.Unlock()
	if wait {
		flush()
	}
	return f.until(context.Background(), free)
}

// wait implements session.
func (f *flights) wait(ctx context.Context) error {
	err := f.until(ctx, func() bool { return f.count == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == 0 {
		return nil
	}
	return err
}

// verdict is what done is told of a batch that was delivered but for rejects.
func verdict(rejects []adapters.Reject) error {
	if len(rejects) == 0 {
		return nil
	}
	return adapters.Rejected(rejects)
}
