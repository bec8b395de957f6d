package routes

import (
	"tallyman/collector"
	"tallyman/collector/record"
)

// cursor is a route's place in one container's log.
type cursor struct {
	route  *Route
	log    collector.Log
	reader collector.Reader // used by the route's own goroutine

	// stages are what is done with the container's lines, nil for nothing. The
	// route's own goroutine owns them.
	stages *stages
	// use counts the lines that are read, nil for a viewer's.
	use *logUse
	// astray says that the reader is not where delivered is and has to be moved
	// there before it reads on. The route's own goroutine owns it.
	astray bool

	// The route's mutex guards all below.

	// moved says that the cursor is in the route's list of those to be saved.
	moved bool
	// ended says that the log has been read to its end; finished that all of it
	// is settled too and the reader is closed; gone that nobody will tell of the
	// container any more. A cursor that is finished is kept until it is gone, so
	// that the log is not taken for a new one.
	ended, finished, gone bool
	// waiting says that the cursor is in the route's list, next is who follows.
	waiting bool
	next    *cursor
	// delivered is the position up to which everything is settled: what is
	// saved, and where a restart goes on.
	delivered record.Position
	// first and last are the batches in flight, oldest first.
	first, last *flight
	// oldest is the time of the oldest record that was read and is not settled
	// though nothing is in flight, after a failure; else 0.
	oldest int64
	// ledger is the account of the container's log.
	ledger ledger
}

// id returns the container's ID.
func (c *cursor) id() string { return c.log.Container().ID }

// changed puts the cursor in the route's list of those to be read.
func (c *cursor) changed() {
	r := c.route
	r.mu.Lock()
	r.enlistLocked(c)
	r.mu.Unlock()
	r.signal()
}

// enlistLocked puts a cursor at the end of the list of those to be read.
func (r *Route) enlistLocked(c *cursor) {
	if c.waiting {
		return
	}
	c.waiting, c.next = true, nil
	if r.listEnd == nil {
		r.list = c
	} else {
		r.listEnd.next = c
	}
	r.listEnd = c
}

// delist takes the next cursor from the list, nil when it is empty.
func (r *Route) delist() *cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.list
	if c == nil {
		return nil
	}
	r.list = c.next
	if r.list == nil {
		r.listEnd = nil
	}
	c.waiting, c.next = false, nil
	return c
}

// signal wakes the route's goroutine.
func (r *Route) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
