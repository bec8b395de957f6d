package routes

import (
	"context"
	"errors"
	"io"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// readRetry is the pause after a log could not be read.
const readRetry = time.Second

// turn reads one block of one log and sends it.
func (r *Route) turn(ctx context.Context, c *cursor, b *record.Batch) {
	r.mu.Lock()
	reader, delivered, finished := c.reader, c.delivered, c.ended && c.first == nil
	closed := c.finished
	r.mu.Unlock()
	if reader == nil || closed {
		// found has not come so far; it puts the cursor in the list again.
		return
	}
	if finished {
		r.detach(c)
		return
	}
	if c.astray {
		if err := r.seek(c, delivered); err != nil {
			r.retryRead(c, err)
			return
		}
	} else {
		reader.Release(delivered)
	}
	switch err := reader.Next(b); {
	case errors.Is(err, collector.ErrIdle):
		if delivered.IsOldest() {
			r.place(c, reader.Position())
		}
		r.sendDue(ctx, c, b, false)
	case errors.Is(err, io.EOF):
		r.sendDue(ctx, c, b, true)
		r.mu.Lock()
		c.ended = true
		finished = c.first == nil
		r.mu.Unlock()
		if finished {
			r.detach(c)
		}
	case err != nil:
		r.retryRead(c, err)
	default:
		if delivered.IsOldest() {
			r.place(c, b.Start)
		}
		if c.use != nil {
			c.use.add(b)
		}
		more := b.More
		if more {
			r.mu.Lock()
			r.enlistLocked(c)
			r.mu.Unlock()
		}
		r.send(ctx, c, b)
		if c.stages != nil && !more {
			c.stages.arm(c.changed)
		}
	}
}

// place tells a cursor where it has begun, if that was no place yet when the log
// was opened: were the agent ended before anything is delivered, it would begin
// at the oldest line.
func (r *Route) place(c *cursor, at record.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.first == nil && c.delivered.IsOldest() && !at.IsOldest() {
		r.moveLocked(c, at)
	}
}

// seek moves a reader back to where deliveries failed. As long as that does not
// work it must not read on: the records between would be lost.
func (r *Route) seek(c *cursor, to record.Position) error {
	err := c.reader.Seek(to)
	var lost *collector.LostError
	if errors.As(err, &lost) {
		r.mu.Lock()
		c.delivered = c.reader.Position()
		r.touchLocked(c)
		r.gapLocked(c)
		r.mu.Unlock()
		err = nil
	}
	c.astray = err != nil
	return err
}

// retryRead has a log read again a while after an error.
func (r *Route) retryRead(c *cursor, err error) {
	r.stats.ReadErrors.Add(1)
	// One timer a cursor, however often a change of the log has it read.
	if timer := r.retries[c]; timer != nil {
		timer.Reset(readRetry)
	} else {
		r.retries[c] = time.AfterFunc(readRetry, c.changed)
		r.cfg.Logger.Error("a log cannot be read, trying again; further errors are only counted",
			"route", r.String(), "container", c.log.Container().Name, "error", err)
	}
}

// send sends what the route wants of a batch.
func (r *Route) send(ctx context.Context, c *cursor, b *record.Batch) {
	if b.GivenUp {
		r.passOver(c, b)
		// The space of what waits to be complete is wanted too.
		r.sendDue(ctx, c, b, true)
		return
	}
	if b.Lost > 0 {
		r.countLost(c, b)
	}
	d := &r.draft
	d.reset()
	for i := range b.Records {
		d.lengths = append(d.lengths, uint32(len(b.Records[i].Line)))
	}
	if n := len(b.Records); n > 0 {
		d.oldest, d.newest = b.Records[0].Time, b.Records[n-1].Time
	}
	if c.stages != nil {
		c.stages.run(b, d)
	}
	r.dispatch(ctx, c, b)
}

// sendDue sends what has waited in memory for long enough, or with all of it
// everything, when there is nothing to read.
func (r *Route) sendDue(ctx context.Context, c *cursor, b *record.Batch, all bool) {
	s := c.stages
	if s == nil || !s.pending() {
		return
	}
	b.Reset()
	b.Container = c.log.Container()
	r.mu.Lock()
	b.Start = c.delivered
	if c.last != nil {
		b.Start = c.last.end
	}
	b.End = b.Start
	r.mu.Unlock()
	r.draft.reset()
	if s.release(b, &r.draft, all) {
		r.dispatch(ctx, c, b)
	}
	s.arm(c.changed)
}

// dispatch gives a batch to the adapter, if anything of it is to be sent.
func (r *Route) dispatch(ctx context.Context, c *cursor, b *record.Batch) {
	held := r.draft.held.Lines > 0
	if len(b.Records) == 0 && !held {
		r.pass(c, b.End)
		return
	}
	f := r.launch(c, b)
	if held {
		c.stages.hold(f)
	}
	if len(b.Records) == 0 {
		return
	}
	if c.stages != nil {
		c.stages.finish(r.stats)
	}
	r.cfg.Adapter.Send(ctx, b, f.done)
}

// detach forgets a container that was removed and all of whose log is settled.
func (r *Route) detach(c *cursor) {
	// A log keeps what a reader is closed before.
	c.reader.Release(r.placeOf(c))
	r.mu.Lock()
	c.finished = true
	r.endLocked(c, time.Now())
	if c.gone {
		delete(r.cursors, c.id())
	}
	r.mu.Unlock()
	r.closeReader(c)
	if r.cfg.Positions != nil {
		r.cfg.Positions.Delete(r.cfg.Identity, c.id())
		r.unsaved()
	}
}

func (r *Route) closeReader(c *cursor) {
	if timer := r.retries[c]; timer != nil {
		timer.Stop()
		delete(r.retries, c)
	}
	if c.stages != nil {
		c.stages.stop()
	}
	if r.viewer() {
		// It will not come back to what it has not read.
		c.reader.Release(c.reader.Position())
	}
	if err := c.reader.Close(); err != nil {
		r.cfg.Logger.Warn("closing a log", "container", c.log.Container().Name, "error", err)
	}
}
