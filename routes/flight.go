package routes

import (
	"errors"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// flight is a batch that was read and is not settled. The route's mutex guards
// all of it but route and done.
type flight struct {
	route  *Route
	cursor *cursor
	next   *flight
	// start and end are the positions before the batch, and after it and what
	// was passed over behind it.
	start, end record.Position
	// manifest is what becomes of each line; sent counts those that were given to
	// the adapter with this batch.
	manifest
	sent record.Count
	// limiter is the state of the rate limit before the batch.
	limiter limiter
	// settled says that done was called, or that nothing was sent; result with
	// what, and again that not all of the batch is settled by it. recalled says
	// that the batch was taken back.
	settled, again, recalled bool
	result                   error
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
	if !f.recalled {
		r.deliverCarriedLocked(f)
	}
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
	if err == nil {
		return false
	}
	// These are allocated, since errors.As takes their addresses.
	var partial *adapters.PartialError
	var rejected *adapters.RejectedError
	var permanent *adapters.PermanentError
	return errors.As(err, &partial) || !errors.As(err, &rejected) && !errors.As(err, &permanent)
}

// advanceLocked moves a cursor behind the batches that are settled and have
// none before them that is not.
func (r *Route) advanceLocked(c *cursor) {
	for c.first != nil && c.first.settled && !c.first.again && c.first.held.Lines == 0 {
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
	if to.Gen != c.delivered.Gen {
		r.enlistLocked(c)
	}
	c.delivered = to
	r.touchLocked(c)
}

// takeBackLocked gives up all that a cursor has in flight and moves the cursor to
// the first record that is not delivered. What was delivered behind it is sent
// again, so that order is kept. It is called by the route's own goroutine.
func (r *Route) takeBackLocked(c *cursor) {
	f := c.first
	c.delivered, c.oldest = f.start, f.oldest
	r.touchLocked(c)
	if c.stages != nil {
		c.stages.recall(f.limiter)
	}
	// Records cannot be counted from a start that is no place in a file yet.
	if !f.start.IsOldest() {
		r.settlePartLocked(f)
	}
	for f != nil {
		next := f.next
		r.recallLocked(f)
		f.recalled = true
		if f.settled {
			r.freeLocked(f)
		}
		f = next
	}
	c.first, c.last = nil, nil
}

// settlePartLocked settles the first records of a batch and moves the cursor
// behind them.
func (r *Route) settlePartLocked(f *flight) {
	v := f.verdict()
	if v.settled == 0 && !f.staged {
		return
	}
	var part record.Account
	var sent record.Count
	read := 0
	for ; read < len(f.lengths); read++ {
		slot := f.slot(read)
		if slot == slotHeld || slot < lastSlot && int(slot) >= v.settled {
			break
		}
		one := record.Count{Lines: 1, Bytes: int64(f.lengths[read])}
		if slot < lastSlot {
			sent.Add(one)
			v.enter(&part, slot, one)
			continue
		}
		enterFate(&part, slot, one)
		f.unpass(slot, one)
	}
	f.cursor.delivered.Skip += uint32(read)
	f.sent.Sub(sent)
	if f.cursor.stages != nil {
		f.cursor.stages.limiter.heldBack += part.DroppedFor(reasonRate).Lines
	}
	for i := range v.rejects {
		r.tellRefusedLocked(f, &v.rejects[i])
	}
	r.enterLocked(f.cursor, f.end.Gen, &part)
	if sent.Lines > 0 {
		r.attempts = 0
	}
	if part.Delivered.Lines > 0 {
		r.noteDeliveredLocked(f.oldest)
	}
}

// deliverCarriedLocked settles the lines of other flights that this one has
// carried.
func (r *Route) deliverCarriedLocked(f *flight) {
	if len(f.carried) == 0 {
		return
	}
	v := f.verdict()
	for _, c := range f.carried {
		if int(c.slot) >= v.settled {
			continue
		}
		if reject, ok := v.refusal(c.slot); ok {
			r.tellRefusedLocked(f, &reject)
		}
		c.flight.held.Sub(c.count)
		v.enter(&c.flight.passed, c.slot, c.count)
	}
	f.carried = f.carried[:0]
}

// countLocked takes what became of a batch into the account, once for each line:
// when the cursor moves past it.
func (r *Route) countLocked(f *flight) {
	v := f.verdict()
	r.enterLocked(f.cursor, f.end.Gen, &f.passed)
	var own record.Account
	own.Delivered = f.sent
	if v.permanent != nil {
		own.Delivered = record.Count{}
		r.tellRefusedLocked(f, &adapters.Reject{Reason: v.permanent.Reason, Err: v.permanent.Err})
		own.Drop(v.permanent.Reason, f.sent)
	}
	for i := range v.rejects {
		reject := &v.rejects[i]
		one := f.sizeOf(reject.Index)
		own.Delivered.Sub(one)
		r.tellRefusedLocked(f, reject)
		own.Drop(reject.Reason, one)
	}
	r.enterLocked(f.cursor, f.end.Gen, &own)
	switch delivered := f.records() - len(v.rejects); {
	case delivered <= 0 || v.permanent != nil:
	case len(v.rejects) > 0:
		r.noteDeliveredLocked(f.oldest)
	default:
		r.noteDeliveredLocked(f.newest)
	}
}

// noteDeliveredLocked notes that a line of a time was delivered.
func (r *Route) noteDeliveredLocked(at int64) {
	r.stats.LastDelivered.Store(max(at, r.stats.LastDelivered.Load()))
	// What was sent before a failure does not show that it is over.
	if r.failure == nil {
		r.provenLocked()
	}
}

// tellRefusedLocked logs the first line of each reason that the destination will
// never take.
func (r *Route) tellRefusedLocked(f *flight, reject *adapters.Reject) {
	if r.total.DroppedFor(reject.Reason).Lines == 0 {
		r.cfg.Logger.Warn("a destination refuses lines for good; they are dropped and counted",
			"route", r.String(), "reason", reject.Reason, "container", f.cursor.log.Container().Name, "error", reject.Err)
	}
}

// launch makes the flight of a batch that was read, with the manifest that was
// drafted. A batch of which nothing is to be sent counts as settled.
func (r *Route) launch(c *cursor, b *record.Batch) *flight {
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
	f.manifest, r.draft = r.draft, f.manifest
	f.sent = f.sum()
	f.settled, f.again, f.recalled, f.result = len(b.Records) == 0, false, false, nil
	if c.stages != nil {
		f.limiter = c.stages.before
	}
	if c.last == nil {
		c.first = f
	} else {
		c.last.next = f
	}
	c.last = f
	c.oldest = 0
	if !f.settled {
		r.inFlight++
	}
	n := f.sent
	n.Add(f.held)
	n.Add(f.passed.Settled())
	r.takeOffLocked(c, n)
	f.carried = settleFates(f.carried)
	r.advanceLocked(c)
	return f
}

// pass moves a cursor over a batch of which nothing is to be sent, by the
// manifest that was drafted: at once, or together with what is in flight before.
func (r *Route) pass(c *cursor, end record.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	passed := &r.draft.passed
	r.takeOffLocked(c, passed.Settled())
	r.draft.carried = settleFates(r.draft.carried)
	if f := c.last; f != nil {
		f.end = end
		f.passed.Add(passed)
		r.advanceLocked(c)
		return
	}
	c.oldest = 0
	r.enterLocked(c, end.Gen, passed)
	r.moveLocked(c, end)
}

// freeLocked keeps a flight for reuse. It stays settled until then, so that an
// adapter that settles it again is noticed.
func (r *Route) freeLocked(f *flight) {
	f.cursor, f.result = nil, nil
	f.next, r.free = r.free, f
}
