package post

import (
	"cmp"
	"context"
	"sync"
	"time"

	"tallyman/collector/record"
)

// lane posts the bodies of the containers that are dealt to it, one at a time.
// The caller's goroutine fills the open body; the lane's own takes it, posts it
// and settles it.
type lane struct {
	adapter    *adapter
	compressor Compressor
	// wake tells the lane's goroutine that the open body may be due, room the
	// caller's that there may be room.
	wake, room chan struct{}
	// undelivered is the first failure after close; to be read when the
	// goroutine has ended.
	undelivered error
	// frame is scratch of the caller's goroutine, the others are of the lane's.
	frame                    []byte
	rendered, packed, answer []byte
	finished                 []settlement

	mu sync.Mutex
	// All below is guarded by mu. open is being filled, spare the other body
	// while it is not under way.
	open, spare *body
	// full says that the caller waits for the open body to go.
	full, running, closed bool
	// refused is why nothing is taken: a body has failed, and what came behind
	// it must not overtake it. It stays until the caller calls Flush. telling
	// says that done functions are being called because of it, and told is
	// where the end of that is waited for.
	refused error
	telling bool
	told    *sync.Cond
}

func newLane(a *adapter, c Compressor) *lane {
	l := &lane{
		adapter: a, compressor: c,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		open: newBody(), spare: newBody(),
	}
	l.told = sync.NewCond(&l.mu)
	return l
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send puts the records of a batch into bodies.
func (l *lane) send(ctx context.Context, b *record.Batch, done func(error)) {
	e := l.adapter.encoder
	e.Begin(b.Container)
	l.mu.Lock()
	if err := l.refused; err != nil {
		l.mu.Unlock()
		done(err)
		return
	}
	if !l.running {
		l.running = true
		l.adapter.running.Go(l.run)
	}
	p := &parcel{done: done, records: len(b.Records)}
	for i := range b.Records {
		r := &b.Records[i]
		var err error
		if l.frame, err = e.Append(l.frame[:0], r); err != nil {
			p.reject(i, err)
			continue
		}
		if err := l.makeRoomLocked(ctx, len(l.frame)); err != nil {
			over := p.over
			p.over = true
			l.mu.Unlock()
			if !over {
				done(p.failure(err))
			}
			return
		}
		if l.open.len() == 0 {
			signal(l.wake)
		}
		l.open.add(p, l.open.group(l.groupOf(b.Container, r), e), l.frame)
	}
	// No body settles a parcel whose last records are all rejected.
	settled := p.settled == p.records && !p.over
	p.over = p.over || settled
	l.mu.Unlock()
	if settled {
		done(p.success())
	}
}

// groupOf returns the key of a record's group.
func (l *lane) groupOf(c *record.Container, r *record.Record) groupKey {
	switch l.adapter.grouping {
	case ByContainer:
		return groupKey{container: c}
	case ByStream:
		return groupKey{container: c, stream: r.Stream & 1}
	default:
		return groupKey{}
	}
}

// makeRoomLocked waits until the open body can take a frame of that size. It lets
// go of the mutex while it waits, and a parcel whose first records are in a body
// may be over when it returns an error.
func (l *lane) makeRoomLocked(ctx context.Context, size int) error {
	for l.open.len() >= l.adapter.limits.lines ||
		l.open.len() > 0 && l.open.size()+size > int(l.adapter.most.Load()) {
		l.full = true
		l.mu.Unlock()
		signal(l.wake)
		select {
		case <-l.room:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if l.refused != nil {
			return l.refused
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// forgive takes batches again after a failure, once the caller was told of all
// of it.
func (l *lane) forgive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.telling {
		l.told.Wait()
	}
	l.refused = nil
}

func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	signal(l.wake)
}

// run is the lane's goroutine.
func (l *lane) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		b, wait, ended := l.take()
		switch {
		case b != nil:
			l.deliver(b)
		case ended:
			return
		case wait > 0:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-l.wake:
			}
		default:
			timer.Reset(keepMemory)
			select {
			case <-l.wake:
				continue
			case <-timer.C:
			}
			l.shed()
			<-l.wake
		}
	}
}

// keepMemory is how long a lane with nothing to do keeps its buffers.
const keepMemory = 10 * time.Second

// shed lets go of all buffers.
func (l *lane) shed() {
	l.rendered, l.packed, l.answer = nil, nil, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open.len() == 0 {
		l.open, l.spare = newBody(), newBody()
	}
}

// take returns the open body when it is due, else how long it may still wait,
// zero when there is nothing.
func (l *lane) take() (b *body, wait time.Duration, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open.len() == 0 {
		return nil, 0, l.closed
	}
	if !l.full && !l.closed {
		if wait = l.adapter.limits.linger - time.Since(l.open.since); wait > 0 {
			return nil, wait, false
		}
	}
	b, l.open, l.spare, l.full = l.open, l.spare, nil, false
	signal(l.room)
	return b, 0, false
}

// deliver posts a body, in parts where the server does not take it whole, and
// settles its records in their order.
func (l *lane) deliver(b *body) {
	most := b.len()
	if l.adapter.single {
		most = 1
	}
	for from, step := 0, most; from < b.len(); {
		to := min(from+step, b.len())
		v := l.post(b, from, to)
		if v.Split {
			if to-from > 1 {
				step = (to - from + 1) / 2
				if v.Reason == "" {
					l.adapter.shrink(len(l.rendered))
					most = step
				}
				continue
			}
			v.Rejected, v.Reason = 1, cmp.Or(v.Reason, "too_long")
		}
		if v.Retry {
			l.fail(b, v.Err)
			return
		}
		l.settle(b, to-from, v)
		from = to
		step = min(2*step, most)
	}
	l.recycle(b)
}

// post sends the records from one to another and judges the answer.
func (l *lane) post(b *body, from, to int) Verdict {
	a := l.adapter
	if err := a.pause(); err != nil {
		return Verdict{Retry: true, Err: err}
	}
	l.rendered = b.render(l.rendered[:0], a.encoder, from, to)
	data := l.rendered
	if l.compressor != nil {
		var err error
		if l.packed, err = l.compressor.Append(l.packed[:0], l.rendered); err != nil {
			return Verdict{Rejected: to - from, Reason: "compression", Err: err}
		}
		data = l.packed
	}
	answer, err := a.client.post(a.ctx, data, l.answer)
	if err != nil {
		return Verdict{Retry: true, Err: err}
	}
	l.answer, answer.Lines = answer.Body, to-from
	var v Verdict
	if a.retry[answer.Status] {
		v = Verdict{Retry: true, Err: answer.Error()}
	} else {
		v = a.judge(answer)
	}
	if v.Retry {
		if pause := retryAfter(answer.Header.Get("Retry-After"), time.Now()); pause > 0 {
			a.leaveAlone(pause)
		}
	}
	return v
}

// recycle keeps the memory of a body that is settled, and that of what was made
// of it, unless a single line has made them far too large.
func (l *lane) recycle(b *body) {
	most := 2 * l.adapter.limits.bytes
	if cap(b.frames) > most {
		b = newBody()
	}
	if cap(l.rendered) > most {
		l.rendered, l.packed = nil, nil
	}
	b.reset()
	l.mu.Lock()
	l.spare = b
	l.mu.Unlock()
}
