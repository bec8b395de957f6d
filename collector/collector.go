package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// Config is what a Collector is made from.
type Config struct {
	Engine engine.Engine
	// Open is called when the engine has answered, and again from time to time
	// as long as it fails.
	Open Opener
	// Found is called with each container's log when it is first known, again
	// after each change of the container, and with each list. Calls for one
	// container are made one after another.
	Found func(Log)
	// Gone is called when a container has been removed. Its log may still be
	// read to its end.
	Gone func(id string)
	// Happened is called with each of the engine's events, in their order. It must
	// not block. Nil for none.
	Happened func(engine.Event)
	// Reconcile is how often the list of containers is compared with what the
	// events have told; 0 stands for a minute. A container that runs and is listed
	// as it is known is inspected again with every tenth list.
	Reconcile time.Duration
	Logger    *slog.Logger
}

// Collector keeps the list of an engine's containers and opens their logs.
type Collector struct {
	cfg   Config
	queue *refreshQueue
	// adopted says that adopt has been done; used by Run's goroutine.
	adopted bool
	// listed is closed after the first list has been worked off.
	listed chan struct{}

	// mu guards all below.
	mu         sync.Mutex
	source     Source // nil until it could be opened
	sourceErr  error
	containers map[string]*record.Container
	logs       map[string]Log
	unreadable map[string]Unreadable
	// gone has when each container was removed that was removed not long ago:
	// what is still told of it afterwards does not make it come back.
	gone map[string]time.Time
	// unchanged has those that wait in the queue only because they were listed, as
	// they are known.
	unchanged map[string]struct{}
	// uninspected has the containers that could not be inspected last time.
	uninspected map[string]struct{}
	connected   bool
	problem     string
	info        engine.Info
}

// New returns a Collector that does nothing until Run.
func New(cfg Config) *Collector {
	if cfg.Reconcile == 0 {
		cfg.Reconcile = time.Minute
	}
	return &Collector{
		cfg:         cfg,
		queue:       newRefreshQueue(),
		listed:      make(chan struct{}),
		containers:  make(map[string]*record.Container),
		logs:        make(map[string]Log),
		unreadable:  make(map[string]Unreadable),
		gone:        make(map[string]time.Time),
		unchanged:   make(map[string]struct{}),
		uninspected: make(map[string]struct{}),
		problem:     "the engine has not answered yet",
	}
}

// Listed is closed when the containers that were there at the start are known.
func (c *Collector) Listed() <-chan struct{} { return c.listed }

// Containers returns all containers that are known, in the order of their IDs.
func (c *Collector) Containers() []*record.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*record.Container, 0, len(c.containers))
	for _, id := range slices.Sorted(maps.Keys(c.containers)) {
		list = append(list, c.containers[id])
	}
	return list
}

// Log returns the log of a container, nil where it is not known or cannot be
// read.
func (c *Collector) Log(id string) Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logs[id]
}

// The pause before the engine is asked again grows from the first to the second.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 15 * time.Second
)

// rememberGone is how long it is remembered that a container was removed: longer
// than the engine's events can lag behind.
const rememberGone = 10 * time.Minute

// inspectAgain is with which list after it was inspected a container is inspected
// again that is listed as it is known: a restart of which no event has told does
// not show in the list.
const inspectAgain = 10

// refreshers is how many containers are inspected at once.
const refreshers = 4

// Run follows the engine until ctx ends, through any outage. It returns when
// all that it started has ended.
func (c *Collector) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	for range refreshers {
		group.Go(func() { c.queue.work(ctx, c.refresh) })
	}
	var since time.Time
	pause := firstPause
	for {
		begun := time.Now()
		err := c.session(ctx, &group, &since)
		if ctx.Err() != nil {
			return
		}
		c.disconnected(err)
		if time.Since(begun) > lastPause {
			pause = firstPause
		}
		// Half of the pause is random, so that many agents do not ask at once.
		wait := pause/2 + rand.N(pause/2)
		pause = min(2*pause, lastPause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// session follows one connection to the engine. since is the time of the last
// event that was seen, from which the next session goes on.
func (c *Collector) session(run context.Context, group *sync.WaitGroup, since *time.Time) error {
	ctx, cancel := context.WithCancelCause(run)
	info, err := c.cfg.Engine.Info(ctx)
	if err != nil {
		cancel(nil)
		return fmt.Errorf("asking the engine what it is: %w", err)
	}
	c.openSource(run, group, info)
	// Events first, then the list: a container that starts in between is in one
	// of them or in both.
	begun := time.Now()
	events, ended := c.cfg.Engine.Events(ctx, *since)
	if since.IsZero() {
		// Should the stream break before it has told anything.
		*since = begun
	}
	var taking sync.WaitGroup
	// Events are taken at once, also while the list is worked off: the engine
	// drops those that wait for too long.
	taking.Go(func() {
		for e := range events {
			*since = e.Time
			c.queue.add(e.ID, &e)
			if c.cfg.Happened != nil {
				c.cfg.Happened(e)
			}
		}
		cancel(fmt.Errorf("following the engine's events: %w", <-ended))
	})
	defer taking.Wait()
	defer cancel(nil)
	if err := c.list(ctx, true); err != nil {
		return err
	}
	c.setConnected(info)
	tick := time.NewTicker(c.cfg.Reconcile)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			c.openSource(run, group, info)
			if err := c.list(ctx, false); err != nil {
				return err
			}
			if s := c.currentSource(); s != nil {
				s.Sweep()
			}
		}
	}
}

// openSource opens the source of logs unless it is open. It outlives the
// session: files go on growing while the engine's API is away.
func (c *Collector) openSource(run context.Context, group *sync.WaitGroup, info engine.Info) {
	if c.currentSource() != nil {
		return
	}
	source, err := c.cfg.Open(info)
	c.mu.Lock()
	told := c.sourceErr != nil
	c.source, c.sourceErr = source, err
	c.mu.Unlock()
	if err != nil {
		if !told {
			c.cfg.Logger.Error("no log can be read", "error", err)
		}
		return
	}
	if told {
		c.cfg.Logger.Info("logs can be read now")
	}
	group.Go(func() { source.Run(run) })
}

func (c *Collector) currentSource() Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.source
}

func (c *Collector) setConnected(info engine.Info) {
	c.mu.Lock()
	was := c.connected
	c.connected, c.problem, c.info = true, "", info
	c.mu.Unlock()
	if !was {
		c.cfg.Logger.Info("following the container engine", "engine", info.Name, "version", info.Version)
	}
	select {
	case <-c.listed:
	default:
		close(c.listed)
	}
}

func (c *Collector) disconnected(err error) {
	c.mu.Lock()
	was, problem := c.connected, c.problem
	c.connected, c.problem = false, err.Error()
	c.mu.Unlock()
	if was || problem != err.Error() {
		c.cfg.Logger.Error("the container engine cannot be reached, trying again", "error", err)
	}
}

// list has every container that the engine lists inspected, or unless all is set
// those of which the list does not show that they are as they were, and forgets
// those that it does not. It returns when that has been done.
func (c *Collector) list(ctx context.Context, all bool) error {
	entries, err := c.cfg.Engine.List(ctx)
	if ctx.Err() != nil {
		// That the events have ended says more than that the list was cut short.
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("listing the engine's containers: %w", err)
	}
	present := make(map[string]bool, len(entries))
	c.mu.Lock()
	clear(c.unchanged)
	for i := range entries {
		if !all && c.knownLocked(&entries[i]) {
			c.unchanged[entries[i].ID] = struct{}{}
		}
	}
	c.mu.Unlock()
	for _, e := range entries {
		present[e.ID] = true
		c.queue.add(e.ID, nil)
	}
	c.mu.Lock()
	var gone []string
	for id := range c.containers {
		if !present[id] {
			gone = append(gone, id)
		}
	}
	maps.DeleteFunc(c.uninspected, func(id string, _ struct{}) bool { return !present[id] })
	maps.DeleteFunc(c.gone, func(_ string, at time.Time) bool { return time.Since(at) > rememberGone })
	c.mu.Unlock()
	for _, id := range gone {
		// It may have been made after the list: then inspecting it says so.
		c.queue.add(id, nil)
	}
	if err := c.queue.wait(ctx); err != nil {
		return err
	}
	c.adopt()
	return nil
}

// knownLocked reports whether a container runs, is read, and is listed as it is
// known from not long ago.
func (c *Collector) knownLocked(e *engine.Entry) bool {
	known := c.containers[e.ID]
	return known != nil && c.logs[e.ID] != nil && known.Status == "running" && e.State == known.Status && e.Name == known.Name &&
		time.Since(known.AsOf) < inspectAgain*c.cfg.Reconcile
}

// adopt takes in the removed containers of whose log something is left. It does
// so once: what is removed from now on is known.
func (c *Collector) adopt() {
	source := c.currentSource()
	if source == nil || c.adopted {
		return
	}
	c.adopted = true
	for _, container := range source.Orphans() {
		if known, gone := c.knows(container.ID); !known && !gone {
			c.found(container)
			c.removed(container.ID)
		}
	}
}

// refresh finds out what a container is now. e is the last event that told of
// it, nil when it was listed.
func (c *Collector) refresh(ctx context.Context, id string, e *engine.Event) {
	if log := c.unchangedLog(id); log != nil && e == nil {
		c.cfg.Found(log)
		return
	}
	container, err := c.cfg.Engine.Inspect(ctx, id)
	switch {
	case err == nil:
		c.inspected(id)
		c.found(container)
	case errors.Is(err, engine.ErrNotFound):
		c.inspected(id)
		c.vanished(id, e)
	case ctx.Err() == nil:
		c.cannotInspect(id, err)
	}
}

// unchangedLog returns the log of a container that waited because it was listed
// as it is known, else nil.
func (c *Collector) unchangedLog(id string) Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.unchanged[id]; !ok {
		return nil
	}
	delete(c.unchanged, id)
	return c.logs[id]
}

// vanished takes in that the engine does not know a container.
func (c *Collector) vanished(id string, e *engine.Event) {
	known, gone := c.knows(id)
	switch {
	case gone:
		return
	case known:
	case e != nil:
		// It vanished before it could be asked for. Its files may be open all the
		// same, and the event tells its name.
		c.take(engine.FromEvent(*e), false)
	default:
		// It was listed and has gone: the event of its removal is yet to come.
		return
	}
	c.removed(id)
}

// cannotInspect notes that a container could not be inspected. When the engine
// is in trouble that holds for many, and the first says it all.
func (c *Collector) cannotInspect(id string, err error) {
	c.mu.Lock()
	first := len(c.uninspected) == 0
	c.uninspected[id] = struct{}{}
	c.mu.Unlock()
	if first {
		c.cfg.Logger.Warn("a container could not be inspected, it is looked at again with the next list; "+
			"until it can be, further ones are not logged", "id", id, "error", err)
	}
}

func (c *Collector) inspected(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.uninspected, id)
}

// knows reports whether a container is in the list, and whether it was removed
// from it not long ago.
func (c *Collector) knows(id string) (known, gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known = c.containers[id]
	_, gone = c.gone[id]
	return known, gone
}

// found takes in what a container is now.
func (c *Collector) found(container *record.Container) { c.take(container, true) }

// take takes in a container. With tell it is said when its log cannot be read:
// of one that has gone, without a file of ours, nothing more can be had, nor
// told what it was.
func (c *Collector) take(container *record.Container, tell bool) {
	c.mu.Lock()
	source, err := c.source, c.sourceErr
	c.containers[container.ID] = container
	delete(c.gone, container.ID)
	c.mu.Unlock()
	var log Log
	if source != nil {
		log, err = source.Log(container)
	}
	if err != nil {
		if tell {
			c.cannotRead(container, err)
		}
		return
	}
	c.mu.Lock()
	delete(c.unreadable, container.ID)
	c.logs[container.ID] = log
	c.mu.Unlock()
	c.cfg.Found(log)
}

func (c *Collector) cannotRead(container *record.Container, err error) {
	u := Unreadable{ID: container.ID, Name: container.Name, Driver: container.LogDriver, Reason: err.Error()}
	c.mu.Lock()
	was, told := c.unreadable[container.ID]
	c.unreadable[container.ID] = u
	ownReason := c.sourceErr == nil
	c.mu.Unlock()
	if ownReason && (!told || was.Reason != u.Reason) {
		c.cfg.Logger.Warn("a container's log cannot be read", "container", u.Name, "driver", u.Driver, "reason", u.Reason)
	}
}

func (c *Collector) removed(id string) {
	c.mu.Lock()
	source := c.source
	delete(c.containers, id)
	delete(c.logs, id)
	delete(c.unreadable, id)
	c.gone[id] = time.Now()
	c.mu.Unlock()
	c.cfg.Gone(id)
	if source != nil {
		source.End(id)
	}
}
