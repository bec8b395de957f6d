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

// tellEvery is how often at most it is logged that a destination has failed. One
// that works for moments only would fill the log.
const tellEvery = time.Minute

// failLocked stops the route: nothing is sent behind a batch that is to be sent
// again, not even what Send has begun with.
func (r *Route) failLocked(err error) {
	if r.failure != nil {
		return
	}
	r.failure = err
	if r.interrupt != nil {
		r.interrupt()
	}
}

// recover brings a route back to work after a failure: it waits until nothing
// is in flight, moves every cursor back to the first record that is not
// settled, and pauses.
func (r *Route) recover(ctx, sending context.Context) {
	r.stats.Retries.Add(1)
	r.tellDown()
	// What an adapter has only gathered would never be settled otherwise.
	r.cfg.Adapter.Flush(sending)
	if !r.waitFor(ctx, r.landed, nil) {
		return
	}
	// All failures are known now; an adapter that has had one since the Flush
	// above would refuse the next batch once for its sake.
	r.cfg.Adapter.Flush(sending)
	attempt := r.rewind()
	// Half of the pause is random, so that many agents do not come at once.
	pause := min(firstRetry<<min(attempt, 20), lastRetry)
	timer := time.NewTimer(pause/2 + rand.N(pause/2))
	defer timer.Stop()
	r.waitFor(ctx, func() bool { r.passGivenUp(); return false }, timer.C)
	r.mu.Lock()
	r.failure = nil
	r.mu.Unlock()
}

// tellDown notes the failure, and logs it if it is news.
func (r *Route) tellDown() {
	r.mu.Lock()
	now := time.Now()
	err := r.failure
	if r.problem = err; r.down.IsZero() {
		r.down = now
	}
	tell := !r.told && (r.toldAt.IsZero() || now.Sub(r.toldAt) >= tellEvery)
	untold := r.untold
	switch {
	case tell:
		r.told, r.toldAt, r.untold = true, now, 0
	case !r.told:
		r.untold++
	}
	r.mu.Unlock()
	if !tell {
		return
	}
	attrs := []any{"route", r.String(), "error", err}
	if untold > 0 {
		attrs = append(attrs, "failures_not_logged", untold)
	}
	r.cfg.Logger.Error("a destination cannot be reached or has failed; its lines wait in their logs", attrs...)
}

// waitFor waits until condition holds, or until the timer fires, and reports
// whether it did before ctx ended.
func (r *Route) waitFor(ctx context.Context, condition func() bool, timer <-chan time.Time) bool {
	for !condition() {
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

// rewind moves every cursor with unsettled batches back to the first record that
// is not settled, and returns how many attempts have failed before this one.
func (r *Route) rewind() (attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.cursors {
		if c.first == nil {
			continue
		}
		r.takeBackLocked(c)
		c.ended, c.astray = false, true
		r.enlistLocked(c)
	}
	attempt = r.attempts
	r.attempts++
	return attempt
}

// provenLocked ends an outage: something has been delivered.
func (r *Route) provenLocked() {
	r.attempts = 0
	if r.down.IsZero() {
		return
	}
	if r.told {
		r.cfg.Logger.Info("a destination takes lines again", "route", r.String(),
			"down", time.Since(r.down).Round(time.Millisecond).String())
	}
	r.down, r.told, r.problem = time.Time{}, false, nil
}
