package collector

import (
	"context"
	"sync"

	"tallyman/collector/engine"
)

// refreshQueue holds the containers that are to be looked at. It takes a burst
// of events without blocking: a container that is in it already is not put in
// again, and no container is looked at by two workers at once.
type refreshQueue struct {
	// mu guards all below.
	mu sync.Mutex
	// order holds the IDs that wait, first come first served, each with its
	// ticket; tickets is the last one given out.
	order   []ticket
	tickets uint64
	// waiting has the last event of each ID in order, nil when there was none.
	waiting map[string]*engine.Event
	// busy has the IDs that are being looked at, and for each whether it is to
	// be looked at again.
	busy map[string]*busy
	// changed is closed, and replaced, when something was added or finished.
	changed chan struct{}
}

// ticket is a place in the queue.
type ticket struct {
	number uint64
	id     string
}

// busy is a container that is being looked at.
type busy struct {
	number uint64
	again  bool
}

func newRefreshQueue() *refreshQueue {
	return &refreshQueue{
		waiting: make(map[string]*engine.Event),
		busy:    make(map[string]*busy),
		changed: make(chan struct{}),
	}
}

// add puts a container in the queue. e is the event that told of it, or nil.
func (q *refreshQueue) add(id string, e *engine.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	old, there := q.waiting[id]
	if e == nil {
		e = old
	}
	q.waiting[id] = e
	if there {
		return
	}
	if b := q.busy[id]; b != nil {
		b.again = true
		return
	}
	q.enqueueLocked(id)
	q.signalLocked()
}

func (q *refreshQueue) enqueueLocked(id string) {
	q.tickets++
	q.order = append(q.order, ticket{q.tickets, id})
}

func (q *refreshQueue) signalLocked() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// work calls look for one container after another until ctx ends.
func (q *refreshQueue) work(ctx context.Context, look func(context.Context, string, *engine.Event)) {
	for {
		id, e, changed := q.take()
		if id != "" {
			look(ctx, id, e)
			q.finish(id)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (q *refreshQueue) take() (string, *engine.Event, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return "", nil, q.changed
	}
	next := q.order[0]
	q.order = q.order[1:]
	e := q.waiting[next.id]
	delete(q.waiting, next.id)
	q.busy[next.id] = &busy{number: next.number}
	return next.id, e, nil
}

func (q *refreshQueue) finish(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[id].again {
		q.enqueueLocked(id)
	}
	delete(q.busy, id)
	q.signalLocked()
}

// wait returns when all that is in the queue now has been worked off. What comes
// meanwhile is not waited for: it may never end.
func (q *refreshQueue) wait(ctx context.Context) error {
	q.mu.Lock()
	last := q.tickets
	q.mu.Unlock()
	for {
		q.mu.Lock()
		done, changed := q.doneLocked(last), q.changed
		q.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// doneLocked reports whether every ticket up to last has been worked off.
func (q *refreshQueue) doneLocked(last uint64) bool {
	if len(q.order) > 0 && q.order[0].number <= last {
		return false
	}
	for _, b := range q.busy {
		if b.number <= last {
			return false
		}
	}
	return true
}
