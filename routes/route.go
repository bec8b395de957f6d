package routes

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tallyman/adapters"
	"tallyman/collector"
	"tallyman/collector/record"
)

// routeConfig is what a Route is made from.
type routeConfig struct {
	// Identity is the name of its positions, Title what people are shown.
	Identity, Title string
	Filter          Filter
	Backlog         bool
	Adapter         adapters.Adapter
	// Positions is nil for a route whose place is not kept, such as a viewer's.
	Positions Positions
	// Grace is how long a route that is stopped may take to deliver what is in
	// flight.
	Grace time.Duration
	// Batches holds the read buffers that all routes share: a route has one only
	// while it has something to read.
	Batches *sync.Pool
	Logger  *slog.Logger
}

// Route delivers the logs that a filter wants to one destination.
type Route struct {
	cfg   routeConfig
	first time.Time
	wake  chan struct{}
	stats Stats

	wanted [record.Streams]bool
	some   bool     // only some streams are wanted
	kept   []uint32 // scratch of the route's goroutine

	// mu guards all below.
	mu       sync.Mutex
	cursors  map[string]*cursor
	list     *cursor // those to be read, first come first served
	listEnd  *cursor
	free     *flight
	inFlight int
	// failure is why a batch has to be sent again; nothing is sent until then.
	// interrupt ends the context of Send and Flush when it is set.
	failure   error
	interrupt context.CancelFunc
	// down is since when the destination has failed, zero while it works, and
	// problem the last failure. attempts counts those without any success.
	down     time.Time
	problem  error
	attempts int
	// told says that the outage was logged, toldAt when one was last; untold
	// counts the failures since that were not.
	told   bool
	toldAt time.Time
	untold int
	// refused has the containers whose log could not be opened.
	refused map[string]struct{}
	closed  bool
}

func newRoute(cfg routeConfig) *Route {
	r := &Route{
		cfg:     cfg,
		first:   time.Now(),
		wake:    make(chan struct{}, 1),
		cursors: make(map[string]*cursor),
		refused: make(map[string]struct{}),
	}
	r.wanted, r.some = cfg.Filter.streams()
	if cfg.Positions != nil {
		r.first = cfg.Positions.Meet(cfg.Identity, cfg.Title, r.first)
	}
	return r
}

// String returns the route's title.
func (r *Route) String() string { return r.cfg.Title }

// Identity returns the name under which the route's positions are kept.
func (r *Route) Identity() string { return r.cfg.Identity }

// Stats returns the live counters.
func (r *Route) Stats() *Stats { return &r.stats }

// found takes a container's log into the route if the filter wants it. The
// log's files are held from then on, whatever the destination does.
func (r *Route) found(log collector.Log) error {
	container := log.Container()
	r.mu.Lock()
	c := r.cursors[container.ID]
	// A container that the filter wanted and that was renamed stays: its lines
	// go on where they went before.
	if c != nil || r.closed || !r.cfg.Filter.MatchContainer(container) {
		r.mu.Unlock()
		return nil
	}
	c = &cursor{route: r, log: log, id: container.ID}
	r.cursors[container.ID] = c
	r.mu.Unlock()

	from := r.start(container)
	reader, err := log.Reader(from, c.changed)
	var lost *collector.LostError
	if errors.As(err, &lost) {
		r.countLost(container)
	} else if err != nil {
		r.mu.Lock()
		delete(r.cursors, container.ID)
		r.mu.Unlock()
		return err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return reader.Close()
	}
	delete(r.refused, container.ID)
	c.reader = reader
	c.delivered = reader.Position()
	r.enlistLocked(c)
	r.mu.Unlock()
	r.signal()
	return nil
}

// countLost counts and tells that a position could not be found again.
func (r *Route) countLost(container *record.Container) {
	r.stats.LostGenerations.Add(1)
	r.cfg.Logger.Error("lines were lost: a log was rotated away while nobody read it; going on at the oldest that is left",
		"route", r.String(), "container", container.Name, "id", container.ShortID())
}

// refuse notes that a container's log could not be opened, and reports whether
// that is news.
func (r *Route) refuse(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.refused[id]
	r.refused[id] = struct{}{}
	return !known
}

// gone says that the engine has removed a container and that found will not be
// called for it again.
func (r *Route) gone(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.refused, id)
	c := r.cursors[id]
	if c == nil {
		return
	}
	c.gone = true
	if c.finished {
		delete(r.cursors, id)
	}
}

// start returns where the route begins in a container's log: where it left off;
// else at the first byte of a container that was made after the route was, and
// at the end of one that was there before.
func (r *Route) start(c *record.Container) record.Position {
	if r.cfg.Positions != nil {
		if at, ok := r.cfg.Positions.Get(r.cfg.Identity, c.ID); ok {
			return at
		}
	}
	if r.WantsPast(c) {
		return record.Oldest()
	}
	return record.End()
}

// WantsPast reports whether the route, when it first meets a container, begins
// at its oldest line.
func (r *Route) WantsPast(c *record.Container) bool {
	// The age of a container that vanished before the engine could be asked is
	// not known: repeating is better than losing.
	return r.cfg.Backlog || c.Created.IsZero() || c.Created.After(r.first)
}

// downGrace is the grace period of a route whose destination fails already:
// most likely it would be spent in vain.
const downGrace = 250 * time.Millisecond

// run delivers until ctx ends, then gives what is in flight the grace period
// and closes the adapter and the readers.
func (r *Route) run(ctx context.Context) {
	// What is being sent when ctx ends may still be delivered within the grace.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(r.grace(), cancel)
		context.AfterFunc(sending, func() { timer.Stop() })
	})
	defer stop()
	attempt := r.newAttempt(sending)
	var b *record.Batch
	for ctx.Err() == nil {
		if r.failed() {
			b = r.putBack(b)
			r.recover(ctx, sending)
			attempt = r.newAttempt(sending)
			continue
		}
		c := r.delist()
		if c == nil {
			r.cfg.Adapter.Flush(attempt)
			b = r.putBack(b)
			if r.hasWork() {
				continue
			}
			select {
			case <-r.wake:
			case <-ctx.Done():
			}
			continue
		}
		if b == nil {
			b = r.cfg.Batches.Get().(*record.Batch)
		}
		r.turn(attempt, c, b)
	}
	r.putBack(b)
	r.close(sending)
}

// grace returns how long the route may take to stop now.
func (r *Route) grace() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil || !r.down.IsZero() {
		return min(r.cfg.Grace, downGrace)
	}
	return r.cfg.Grace
}

// newAttempt returns the context of Send and Flush until the next failure.
func (r *Route) newAttempt(sending context.Context) context.Context {
	attempt, cancel := context.WithCancel(sending)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupt = cancel
	return attempt
}

// putBack returns the read buffer to those that all routes share.
func (r *Route) putBack(b *record.Batch) *record.Batch {
	if b != nil {
		b.Reset()
		r.cfg.Batches.Put(b)
	}
	return nil
}

func (r *Route) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure != nil
}

func (r *Route) hasWork() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list != nil || r.failure != nil
}

// close delivers what is in flight until ctx ends and lets go of everything.
func (r *Route) close(ctx context.Context) {
	if err := r.cfg.Adapter.Close(ctx); err != nil {
		r.cfg.Logger.Warn("closing a route", "route", r.String(), "error", err)
	}
	r.mu.Lock()
	var open []*cursor
	for _, c := range r.cursors {
		if c.first != nil {
			r.takeBackLocked(c)
		}
		if c.reader != nil && !c.finished {
			open = append(open, c)
		}
	}
	r.saveLocked(time.Now())
	r.closed = true
	r.cursors, r.list, r.listEnd = nil, nil, nil
	r.mu.Unlock()
	for _, c := range open {
		r.closeReader(c)
	}
}

// save hands the positions that have moved to those that are kept on disk.
func (r *Route) save(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saveLocked(now)
}

func (r *Route) saveLocked(now time.Time) {
	if r.cfg.Positions == nil {
		return
	}
	for id, c := range r.cursors {
		if c.reader == nil || c.finished || c.stored && c.delivered == c.saved {
			continue
		}
		c.saved, c.stored = c.delivered, true
		r.cfg.Positions.Set(r.cfg.Identity, id, c.log.Container().Name, c.delivered, now)
	}
}
