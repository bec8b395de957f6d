package routes

import (
	"errors"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// flight is a batch that was sent and is not settled. The route's mutex guards
// all of it but route and done.
type flight struct {
	route  *Route
	cursor *cursor
	next   *flight
	// start and end are the positions before the batch, and after it and what
	// was passed over behind it.
	start, end record.Position
	// oldest is the time of its first record, newest of its last.
	oldest, newest int64
	// lines and bytes were sent; filtered counts the lines up to end that were
	// left out.
	lines, bytes, filtered int64
	// kept has, for each record that was sent, its place in the batch that was
	// read; empty when all were sent.
	kept []uint32
	// settled says that done was called, result with what, and again that not
	// all of the batch is settled by it.
	settled, again bool
	result         error
	// done is the method value, made once for each flight.
	done func(error)
}

// settle is called by the adapter, once for each Send.
func (f *flight) settle(err error) {
	r := f.route
	r.mu.Lock()
	if f.settled {
		r.mu.Unlock()
		r.cfg.Logger.Error("an adapter has settled a batch twice", "route", r.String())
		return
	}
	f.settled, f.result, f.again = true, err, mustRepeat(err)
	r.inFlight--
	if f.again {
		r.failLocked(err)
	}
	c := f.cursor
	r.advanceLocked(c)
	wake := r.failure != nil || c.waiting
	r.mu.Unlock()
	if wake {
		r.signal()
	}
}

// mustRepeat reports whether what an adapter says of a batch leaves records to
// be sent again.
func mustRepeat(err error) bool {
	var partial *adapters.PartialError
	var rejected *adapters.RejectedError
	var permanent *adapters.PermanentError
	return err != nil && (errors.As(err, &partial) ||
		!errors.As(err, &rejected) && !errors.As(err, &permanent))
}

// advanceLocked moves a cursor behind the batches that are settled and have
// none before them that is not.
func (r *Route) advanceLocked(c *cursor) {
	for c.first != nil && c.first.settled && !c.first.again {
		f := c.first
		c.first = f.next
		if c.first == nil {
			c.last = nil
		}
		r.countLocked(f)
		r.moveLocked(c, f.end)
		r.freeLocked(f)
	}
	if c.first == nil && c.ended {
		r.enlistLocked(c)
	}
}

// moveLocked moves a cursor on. The reader can let go of a file that lies
// behind: that is done in its own turn.
func (r *Route) moveLocked(c *cursor, to record.Position) {
	if to.Gen.Inode != c.delivered.Gen.Inode {
		r.enlistLocked(c)
	}
	c.delivered = to
}

// takeBackLocked gives up all that a cursor has in flight and moves the cursor to
// the first record that is not delivered. What was delivered behind it is sent
// again, so that order is kept.
func (r *Route) takeBackLocked(c *cursor) {
	f := c.first
	c.delivered, c.oldest = f.start, f.oldest
	var partial *adapters.PartialError
	// Records cannot be counted from a start that is no place in a file yet.
	if errors.As(f.result, &partial) && !f.start.IsOldest() {
		settled := min(int64(partial.Settled), f.lines)
		passed := f.original(settled)
		c.delivered.Skip += passed
		r.stats.Filtered.Add(int64(passed) - settled)
		r.deliveredLocked(f, settled)
		r.attempts = 0
	}
	for f != nil {
		next := f.next
		if f.settled {
			r.freeLocked(f)
		}
		f = next
	}
	c.first, c.last = nil, nil
}

// original returns how many records of the batch as it was read come before the
// n-th that was sent.
func (f *flight) original(n int64) uint32 {
	if len(f.kept) == 0 || n == 0 {
		return uint32(n)
	}
	return f.kept[n-1] + 1
}

// countLocked takes what became of a batch into the route's account, once for
// each line: when the cursor moves past it.
func (r *Route) countLocked(f *flight) {
	r.stats.Filtered.Add(f.filtered)
	var rejected *adapters.RejectedError
	var permanent *adapters.PermanentError
	switch {
	case errors.As(f.result, &rejected):
		for _, reject := range rejected.Rejects {
			r.dropLocked(reject.Reason, 1, reject.Err)
		}
		r.deliveredLocked(f, f.lines-int64(len(rejected.Rejects)))
	case errors.As(f.result, &permanent):
		r.dropLocked(permanent.Reason, f.lines, permanent.Err)
	default:
		r.deliveredLocked(f, f.lines)
	}
}

// deliveredLocked counts lines of a batch. The bytes are estimated when it is
// not all of them: their lengths are not kept.
func (r *Route) deliveredLocked(f *flight, lines int64) {
	if lines <= 0 {
		return
	}
	r.stats.Lines.Add(lines)
	r.stats.Bytes.Add(f.bytes * lines / f.lines)
	newest := f.newest
	if lines < f.lines {
		newest = f.oldest
	}
	r.stats.LastDelivered.Store(max(newest, r.stats.LastDelivered.Load()))
	// What was sent before a failure does not show that it is over.
	if r.failure == nil {
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

// launch makes the flight of a batch that is about to be sent.
func (r *Route) launch(c *cursor, b *record.Batch, kept []uint32, filtered int64) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.free
	if f != nil {
		r.free = f.next
	} else {
		f = &flight{route: r}
		f.done = f.settle
	}
	f.cursor, f.next = c, nil
	f.start, f.end = b.Start, b.End
	f.lines, f.bytes, f.filtered = int64(len(b.Records)), int64(b.Bytes()), filtered
	f.oldest, f.newest = b.Records[0].Time, b.Records[len(b.Records)-1].Time
	f.kept = append(f.kept[:0], kept...)
	f.settled, f.again, f.result = false, false, nil
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

// pass moves a cursor over a batch of which nothing is to be sent: at once, or
// together with what is in flight before it.
func (r *Route) pass(c *cursor, end record.Position, filtered int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := c.last; f != nil {
		f.end = end
		f.filtered += filtered
		return
	}
	c.oldest = 0
	r.stats.Filtered.Add(filtered)
	r.moveLocked(c, end)
}

// freeLocked keeps a flight for reuse. It stays settled until then, so that an
// adapter that settles it again is noticed.
func (r *Route) freeLocked(f *flight) {
	f.cursor, f.result = nil, nil
	f.next, r.free = r.free, f
}
