package routes

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pause before a destination is tried again grows from the first to the
// second.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// recover brings a route back to work after a failure: it waits until nothing
// is in flight, moves every cursor back to the first record that is not
// settled, and pauses.
func (r *Route) recover(ctx context.Context) {
	r.mu.Lock()
	err := r.failure
	attempt := r.attempts
	r.attempts++
	fresh := r.down.IsZero()
	if fresh {
		r.down = time.Now()
	}
	r.mu.Unlock()
	r.stats.Retries.Add(1)
	if fresh {
		r.cfg.Logger.Error("a destination cannot be reached or has failed; its lines wait in their logs", "route", r.String(), "error", err)
	}
	if !r.waitFor(ctx, r.landed, nil) {
		return
	}
	r.rewind()
	// Half of the pause is random, so that many agents do not come at once.
	pause := min(firstRetry<<min(attempt, 20), lastRetry)
	timer := time.NewTimer(pause/2 + rand.N(pause/2))
	defer timer.Stop()
	r.waitFor(ctx, nil, timer.C)
	r.mu.Lock()
	r.failure = nil
	r.mu.Unlock()
}

// waitFor waits until condition holds, or until the timer fires, and reports
// whether it did before ctx ended.
func (r *Route) waitFor(ctx context.Context, condition func() bool, timer <-chan time.Time) bool {
	for condition == nil || !condition() {
		select {
		case <-ctx.Done():
			return false
		case <-timer:
			return true
		case <-r.wake:
		}
	}
	return true
}

// landed reports whether nothing is in flight.
func (r *Route) landed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inFlight == 0
}

// rewind moves every cursor with unsettled batches back to the first of them.
// Those that were delivered behind it are sent again, so that order is kept.
func (r *Route) rewind() {
	r.mu.Lock()
	var back []*cursor
	for _, c := range r.cursors {
		if c.first != nil {
			back = append(back, c)
		}
	}
	r.mu.Unlock()
	for _, c := range back {
		r.mu.Lock()
		to, oldest := c.first.start, c.first.oldest
		for f := c.first; f != nil; {
			next := f.next
			r.freeLocked(f)
			f = next
		}
		c.first, c.last = nil, nil
		c.delivered, c.oldest = to, oldest
		c.ended = false
		r.enlistLocked(c)
		r.mu.Unlock()
		if err := c.reader.Seek(to); err != nil {
			r.stats.ReadErrors.Add(1)
			r.cfg.Logger.Error("a log cannot be read again from where a delivery failed",
				"route", r.String(), "container", c.log.Container().Name, "error", err)
		}
	}
}

// provenLocked ends an outage: something has been delivered.
func (r *Route) provenLocked() {
	r.attempts = 0
	if !r.down.IsZero() {
		r.cfg.Logger.Info("a destination takes lines again", "route", r.String(),
			"down", time.Since(r.down).Round(time.Millisecond).String())
		r.down = time.Time{}
	}
}
