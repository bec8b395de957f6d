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
	// order holds the IDs that wait, first come first served.
	order []string
	// waiting has the last event of each ID in order, nil when there was none.
	waiting map[string]*engine.Event
	// busy has the IDs that are being looked at; true when one is to be looked
	// at again.
	busy map[string]bool
	// changed is closed, and replaced, when something was added or finished.
	changed chan struct{}
}

func newRefreshQueue() *refreshQueue {
	return &refreshQueue{
		waiting: make(map[string]*engine.Event),
		busy:    make(map[string]bool),
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
	if _, busy := q.busy[id]; busy {
		q.busy[id] = true
		return
	}
	q.order = append(q.order, id)
	q.signalLocked()
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
	id := q.order[0]
	q.order = q.order[1:]
	e := q.waiting[id]
	delete(q.waiting, id)
	q.busy[id] = false
	return id, e, nil
}

func (q *refreshQueue) finish(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[id] {
		q.order = append(q.order, id)
	}
	delete(q.busy, id)
	q.signalLocked()
}

// wait returns when everything in the queue has been worked off.
func (q *refreshQueue) wait(ctx context.Context) error {
	for {
		q.mu.Lock()
		idle, changed := len(q.order) == 0 && len(q.busy) == 0, q.changed
		q.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
