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
	// Name is the name that containers choose the route by, empty for none.
	Name      string
	Filter    Filter
	Lines     LineOptions
	Selection Selection
	Backlog   bool
	Since     Since
	Tail      Tail
	Adapter   adapters.Adapter
	// Positions is nil for a route whose place is not kept, such as a viewer's.
	Positions Positions
	// Unsaved is called when there is something for save to do. It must not block,
	// for the route is locked. Nil for a viewer.
	Unsaved func()
	// Grace is how long a route that is stopped may take to deliver what is in
	// flight.
	Grace time.Duration
	// Batches holds the read buffers that all routes share: a route has one only
	// while it has something to read.
	Batches *sync.Pool
	// Use returns what counts the lines of a container's log for all routes. It
	// is nil for a viewer, which may look at old ones.
	Use func(id string) *logUse
	// Stats is where the route counts.
	Stats  *Stats
	Logger *slog.Logger
}

// Route delivers the logs that a filter wants to one destination.
type Route struct {
	cfg   routeConfig
	first time.Time
	wake  chan struct{}
	stats *Stats
	// definition is what a route of the table was made from. The table's mutex
	// guards cancel and ended, which are nil until the route runs.
	definition Definition
	cancel     context.CancelFunc
	ended      chan struct{}

	// plan is what the route does with lines; it is immutable.
	plan plan
	// draft is the manifest of the flight that is being made. Used by the route's
	// own goroutine.
	draft manifest
	desk  desk
	// retries wake the cursors whose log could not be read. Used by the route's own
	// goroutine.
	retries map[*cursor]*time.Timer

	// givenUp counts lines given up since that was last logged, at givenUpAt.
	// Used by the route's own goroutine.
	givenUp   int64
	givenUpAt time.Time

	// mu guards all below.
	mu       sync.Mutex
	cursors  map[string]*cursor
	moved    []*cursor // those that save has to look at
	list     *cursor   // those to be read, first come first served
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
	// total, flying and resent are the account of all containers since the
	// route was made, past has those that are gone. imbalanced says that an
	// audit has failed, and audited is the sum of what the cursors have in flight
	// that have not moved since the last.
	total           record.Account
	flying, audited record.Count
	resent          record.Count
	past            []ContainerTally
	imbalanced      bool
	// refused has the containers whose log could not be opened.
	refused map[string]struct{}
	closed  bool
	// handOver is called when everything is settled and saved and the logs are
	// still held, so that a route that follows this one finds all of them: it gets
	// those that were not read to their end, since nobody else tells any more of
	// containers that were removed.
	handOver func(left []collector.Log)
}

func newRoute(cfg routeConfig) *Route {
	r := &Route{
		cfg:     cfg,
		stats:   cfg.Stats,
		first:   time.Now(),
		wake:    make(chan struct{}, 1),
		cursors: make(map[string]*cursor),
		refused: make(map[string]struct{}),
		retries: make(map[*cursor]*time.Timer),
	}
	r.plan = newPlan(&cfg.Filter, &cfg.Lines)
	if cfg.Positions != nil {
		r.first = cfg.Positions.Meet(cfg.Identity, cfg.Title, r.first)
	}
	if from := cfg.Since.from(r.first); !from.IsZero() {
		r.plan.notBefore = from.UnixNano()
	}
	return r
}

// String returns the route's title.
func (r *Route) String() string { return r.cfg.Title }

// Identity returns the name under which the route's positions are kept.
func (r *Route) Identity() string { return r.cfg.Identity }

// Stats returns the live counters.
func (r *Route) Stats() *Stats { return r.stats }

// found takes a container's log into the route if the filter wants it. The
// log's files are held from then on, whatever the destination does.
func (r *Route) found(log collector.Log) error {
	container := log.Container()
	r.mu.Lock()
	c := r.cursors[container.ID]
	// A container that the filter wanted and that was renamed stays: its lines
	// go on where they went before.
	if c != nil || r.closed || !r.wants(container) {
		r.mu.Unlock()
		return nil
	}
	c = &cursor{route: r, log: log}
	r.cursors[container.ID] = c
	r.mu.Unlock()
	if r.cfg.Use != nil {
		c.use = r.cfg.Use(container.ID)
	}
	r.prepare(c, container)

	from, account := r.start(container)
	reader, err := log.Reader(from, c.changed)
	var lost *collector.LostError
	isLost := errors.As(err, &lost)
	if err != nil && !isLost {
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
	c.ledger.account = account
	if isLost {
		r.gapLocked(c)
	}
	r.touchLocked(c)
	r.enlistLocked(c)
	r.mu.Unlock()
	r.signal()
	return nil
}

// gapLocked counts and tells that a position could not be found again.
func (r *Route) gapLocked(c *cursor) {
	container := c.log.Container()
	r.enterLocked(c, c.delivered.Gen, &record.Account{Gaps: 1})
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

// start returns where the route begins in a container's log, with the account so
// far: where it left off; else at the first byte of a container that was made
// after the route was, and at the end of one that was there before.
func (r *Route) start(c *record.Container) (record.Position, record.Account) {
	if r.cfg.Positions != nil {
		if at, account, ok := r.cfg.Positions.Get(r.cfg.Identity, c.ID); ok {
			return at, account
		}
	}
	return r.Beginning(c), record.Account{}
}

// Beginning returns where the route begins in a container's log when it first
// meets it.
func (r *Route) Beginning(c *record.Container) record.Position {
	// Without the monotonic clocks, which do not show that the host's was set back.
	now, first := time.Now().Round(0), r.first.Round(0)
	switch {
	case c.Created.IsZero() || c.Created.After(first) || first.After(now):
		// The age of a container that vanished before the engine could be asked is
		// not known, nor whether one is older than a route that has come in a time
		// that is still to be: repeating is better than losing.
		return record.Oldest()
	case r.cfg.Backlog || r.plan.notBefore != 0:
		return r.cfg.Tail.from()
	default:
		return record.End()
	}
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
		r.desk.trim()
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
	r.cursors, r.moved, r.list, r.listEnd = nil, nil, nil, nil
	handOver := r.handOver
	r.mu.Unlock()
	r.unsaved()
	if handOver != nil {
		left := make([]collector.Log, len(open))
		for i, c := range open {
			left[i] = c.log
		}
		handOver(left)
	}
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
	r.auditLocked()
	for i, c := range r.moved {
		r.moved[i], c.moved = nil, false
		if r.cfg.Positions == nil || c.reader == nil || c.finished {
			continue
		}
		container := c.log.Container()
		r.cfg.Positions.Set(r.cfg.Identity, container.ID, container.Name, c.delivered, &c.ledger.account, now)
	}
	r.moved = r.moved[:0]
}

// touchLocked has save look at a cursor: its position has changed, or its account
// is about to.
func (r *Route) touchLocked(c *cursor) {
	if c.moved {
		return
	}
	c.moved = true
	r.audited.Sub(c.ledger.inFlight)
	r.moved = append(r.moved, c)
	if len(r.moved) == 1 {
		r.unsaved()
	}
}

// unsaved says that there is something to save.
func (r *Route) unsaved() {
	if r.cfg.Unsaved != nil {
		r.cfg.Unsaved()
	}
}
