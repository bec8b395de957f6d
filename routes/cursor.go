package routes

import (
	"errors"

	"tallyman/adapters"
	"tallyman/collector"
	"tallyman/collector/record"
)

// cursor is a route's place in one container's log.
type cursor struct {
	route  *Route
	log    collector.Log
	reader collector.Reader // used by the route's own goroutine
	id     string

	// The route's mutex guards all below.

	// delivered is the position up to which everything is settled: what is
	// saved, and where a restart goes on. saved is what has been saved.
	delivered, saved record.Position
	// first and last are the batches in flight, oldest first.
	first, last *flight
	// oldest is the time of the oldest record that was read and is not settled
	// though nothing is in flight, after a failure; else 0.
	oldest int64
	// waiting says that the cursor is in the route's list, next is who follows.
	waiting bool
	next    *cursor
	// ended says that the log has been read to its end; finished that all of it
	// is settled too and the reader is closed; gone that nobody will tell of the
	// container any more. A cursor that is finished is kept until it is gone, so
	// that the log is not taken for a new one.
	ended, finished, gone bool
}

// changed puts the cursor in the route's list of those to be read.
func (c *cursor) changed() {
	r := c.route
	r.mu.Lock()
	r.enlistLocked(c)
	r.mu.Unlock()
	r.signal()
}

// flight is a batch that was sent and is not settled.
type flight struct {
	cursor *cursor
	next   *flight
	// start and end are the positions before and after the batch.
	start, end record.Position
	// oldest is the time of its first record, newest of its last.
	oldest, newest int64
	lines, bytes   int64
	// kept has, for each record that was sent, its place in the batch that was
	// read; empty when all were sent.
	kept []uint32
	// settled says that done was called, err with what, when it is to be sent
	// again.
	settled bool
	err     error
	// done is the method value, made once for each flight.
	done func(error)
}

// settle is called by the adapter, once for each Send.
func (f *flight) settle(err error) {
	c := f.cursor
	r := c.route
	r.mu.Lock()
	if f.settled {
		r.mu.Unlock()
		r.cfg.Logger.Error("an adapter has settled a batch twice", "route", r.String())
		return
	}
	f.settled = true
	r.inFlight--
	r.countLocked(f, err)
	for c.first != nil && c.first.settled && c.first.err == nil {
		head := c.first
		c.first = head.next
		if c.first == nil {
			c.last = nil
		}
		if head.end.Gen.Inode != c.delivered.Gen.Inode {
			// The reader can let go of a file: that is done in its own turn.
			r.enlistLocked(c)
		}
		c.delivered = head.end
		r.freeLocked(head)
	}
	if c.first == nil && c.ended {
		r.enlistLocked(c)
	}
	wake := r.inFlight == 0 || f.err != nil || c.waiting
	r.mu.Unlock()
	if wake {
		r.signal()
	}
}

// countLocked takes what became of a batch into the route's account.
func (r *Route) countLocked(f *flight, err error) {
	var partial *adapters.PartialError
	var rejected *adapters.RejectedError
	var permanent *adapters.PermanentError
	switch {
	case err == nil:
		r.deliveredLocked(f, f.lines, f.bytes)
	case errors.As(err, &rejected):
		n := int64(len(rejected.Rejects))
		r.deliveredLocked(f, f.lines-n, f.bytes)
		for _, reject := range rejected.Rejects {
			r.dropLocked(reject.Reason, 1, reject.Err)
		}
	case errors.As(err, &permanent):
		r.dropLocked(permanent.Reason, f.lines, permanent.Err)
	case errors.As(err, &partial):
		settled := int64(partial.Settled)
		r.deliveredLocked(f, settled, f.bytes*settled/max(f.lines, 1))
		f.start.Skip += f.original(partial.Settled)
		f.failLocked(r, err)
	default:
		f.failLocked(r, err)
	}
}

// original returns how many records of the batch as it was read come before the
// n-th that was sent.
func (f *flight) original(n int) uint32 {
	if len(f.kept) == 0 || n == 0 {
		return uint32(n)
	}
	return f.kept[n-1] + 1
}

func (f *flight) failLocked(r *Route, err error) {
	f.err = err
	if r.failure == nil {
		r.failure = err
	}
}

func (r *Route) deliveredLocked(f *flight, lines, bytes int64) {
	r.stats.Lines.Add(lines)
	r.stats.Bytes.Add(bytes)
	if lines > 0 {
		r.stats.LastDelivered.Store(f.newest)
		r.provenLocked()
	}
}

// dropLocked counts records that are given up for good and names the first of
// each reason.
func (r *Route) dropLocked(reason string, lines int64, err error) {
	if r.stats.drop(reason, lines) == lines {
		r.cfg.Logger.Warn("a destination refuses lines for good; they are dropped and counted",
			"route", r.String(), "reason", reason, "error", err)
	}
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

// launch makes the flight of a batch that is about to be sent.
func (r *Route) launch(c *cursor, b *record.Batch, kept []uint32) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.free
	if f != nil {
		r.free = f.next
	} else {
		f = &flight{}
		f.done = f.settle
	}
	f.cursor, f.next = c, nil
	f.start, f.end = b.Start, b.End
	f.lines, f.bytes = int64(len(b.Records)), int64(b.Bytes())
	f.oldest, f.newest = 0, 0
	if n := len(b.Records); n > 0 {
		f.oldest, f.newest = b.Records[0].Time, b.Records[n-1].Time
	}
	f.kept = append(f.kept[:0], kept...)
	f.settled, f.err = false, nil
	if c.last == nil {
		c.first = f
	} else {
		c.last.next = f
	}
	c.last = f
	c.oldest = 0
	r.inFlight++
	return f
}

func (r *Route) freeLocked(f *flight) {
	f.cursor = nil
	f.next, r.free = r.free, f
}
