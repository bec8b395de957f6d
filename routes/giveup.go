package routes

import (
	"errors"
	"io"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// spoolFull is the reason under which lines count that were given up for want of
// space, or that damage to the spool has taken.
const spoolFull = "spool_full"

// countLost enters records that are missing before a batch. They are told only
// once, so they are settled at once.
func (r *Route) countLost(c *cursor, b *record.Batch) {
	n := record.Count{Lines: b.Lost}
	var drop record.Account
	drop.Drop(spoolFull, n)
	r.mu.Lock()
	r.takeOffLocked(c, n)
	r.enterLocked(c, b.Start.Gen, &drop)
	r.mu.Unlock()
	r.tellGivenUp(c, n.Lines)
}

// giveUp empties a batch that its log gives up, and enters it in passed.
func (r *Route) giveUp(c *cursor, b *record.Batch, passed *record.Account) {
	n := record.Count{Lines: int64(len(b.Records)), Bytes: int64(b.Bytes())}
	b.Records = b.Records[:0]
	if n.Lines > 0 {
		passed.Drop(spoolFull, n)
		r.tellGivenUp(c, n.Lines)
	}
}

// tellGivenUp logs, from time to time, that lines are given up.
func (r *Route) tellGivenUp(c *cursor, lines int64) {
	r.givenUp += lines
	if now := time.Now(); now.Sub(r.givenUpAt) >= tellEvery {
		r.cfg.Logger.Error("lines are given up: they are gone from the engine's files and there is no room to keep them, or what kept them is damaged; "+
			"raise --spool-max or see why the destination is behind. This is said once a minute at most",
			"route", r.String(), "container", c.log.Container().Name, "lines", r.givenUp)
		r.givenUp, r.givenUpAt = 0, now
	}
}

// passGivenUp moves every cursor over what its log gives up. It is for the time
// in which nothing is in flight and nothing can be sent: the space is wanted now.
func (r *Route) passGivenUp() {
	r.mu.Lock()
	var open []*cursor
	for _, c := range r.cursors {
		if c.reader != nil && !c.finished {
			open = append(open, c)
		}
	}
	r.mu.Unlock()
	var b *record.Batch
	for _, c := range open {
		if !c.reader.GivenUp(r.placeOf(c)) {
			continue
		}
		if b == nil {
			b = r.cfg.Batches.Get().(*record.Batch)
		}
		if err := r.passGivenUpOf(c, b); err != nil && !errors.Is(err, collector.ErrIdle) && !errors.Is(err, io.EOF) {
			r.retryRead(c, err)
		}
	}
	r.putBack(b)
}

func (r *Route) passGivenUpOf(c *cursor, b *record.Batch) error {
	if err := r.seek(c, r.placeOf(c)); err != nil {
		return err
	}
	for c.reader.GivenUp(r.placeOf(c)) {
		err := c.reader.Next(b)
		if err == nil && !b.GivenUp {
			break
		}
		if err != nil {
			c.astray = true
			return err
		}
		r.passOver(c, b)
		c.reader.Release(r.placeOf(c))
	}
	// What was read last may not have been passed over.
	c.astray = true
	return nil
}

// passOver enters a batch that is given up.
func (r *Route) passOver(c *cursor, b *record.Batch) {
	if b.Lost > 0 {
		r.countLost(c, b)
	}
	r.draft.reset()
	if c.stages != nil {
		r.draft.passed.Filtered = c.stages.leaveOut(b)
	}
	r.giveUp(c, b, &r.draft.passed)
	r.pass(c, b.End)
}

// placeOf returns up to where everything of a log is settled.
func (r *Route) placeOf(c *cursor) record.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.delivered
}
