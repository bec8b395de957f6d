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
	case errors.Is(err, io.EOF):
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
		if b.More {
			r.mu.Lock()
			r.enlistLocked(c)
			r.mu.Unlock()
		}
		r.send(ctx, c, b)
	}
}

// seek moves a reader back to where deliveries failed. As long as that does not
// work it must not read on: the records between would be lost.
func (r *Route) seek(c *cursor, to record.Position) error {
	err := c.reader.Seek(to)
	var lost *collector.LostError
	if errors.As(err, &lost) {
		r.countLost(c.log.Container())
		r.mu.Lock()
		c.delivered = c.reader.Position()
		r.mu.Unlock()
		err = nil
	}
	c.astray = err != nil
	return err
}

// retryRead has a log read again a while after an error.
func (r *Route) retryRead(c *cursor, err error) {
	r.stats.ReadErrors.Add(1)
	if !c.told {
		c.told = true
		r.cfg.Logger.Error("a log cannot be read, trying again; further errors are only counted",
			"route", r.String(), "container", c.log.Container().Name, "error", err)
	}
	// One timer a cursor, however often a change of the log has it read.
	if c.retry == nil {
		c.retry = time.AfterFunc(readRetry, c.changed)
	} else {
		c.retry.Reset(readRetry)
	}
}

// send sends what the filter wants of a batch.
func (r *Route) send(ctx context.Context, c *cursor, b *record.Batch) {
	r.kept = r.kept[:0]
	filtered := int64(0)
	if r.some {
		filtered = r.filter(b)
	}
	if len(b.Records) == 0 {
		r.pass(c, b.End, filtered)
		return
	}
	f := r.launch(c, b, r.kept, filtered)
	r.cfg.Adapter.Send(ctx, b, f.done)
}

// filter takes the records of unwanted streams out of b and counts them.
func (r *Route) filter(b *record.Batch) int64 {
	n := 0
	for i := range b.Records {
		if r.wanted[b.Records[i].Stream] {
			b.Records[n] = b.Records[i]
			n++
			r.kept = append(r.kept, uint32(i))
		}
	}
	filtered := int64(len(b.Records) - n)
	b.Records = b.Records[:n]
	return filtered
}

// detach forgets a container that was removed and all of whose log is settled.
func (r *Route) detach(c *cursor) {
	r.mu.Lock()
	c.finished = true
	if c.gone {
		delete(r.cursors, c.id)
	}
	r.mu.Unlock()
	r.closeReader(c)
	if r.cfg.Positions != nil {
		r.cfg.Positions.Delete(r.cfg.Identity, c.id)
	}
}

func (r *Route) closeReader(c *cursor) {
	if c.retry != nil {
		c.retry.Stop()
	}
	if err := c.reader.Close(); err != nil {
		r.cfg.Logger.Warn("closing a log", "container", c.log.Container().Name, "error", err)
	}
}
