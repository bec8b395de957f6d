package routes

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tallyman/adapters"
	"tallyman/collector"
	"tallyman/collector/record"
)

// Defaults of TableConfig.
const (
	DefaultGrace = 5 * time.Second
	// saveEvery is how long after a position has moved it is saved, together with
	// all that have moved by then.
	saveEvery = 500 * time.Millisecond
	// saveAnyway is how often it is seen whether there is something to save where
	// nothing has moved: what else is kept with the positions changes rarely.
	saveAnyway = 10 * time.Second
)

// TableConfig is what a Table is made from.
type TableConfig struct {
	// Positions keeps what has been delivered.
	Positions Positions
	// Grace is how long a route that is stopped may take to deliver what is in
	// flight; 0 stands for DefaultGrace.
	Grace time.Duration
	// Hostname is the name of the agent's host, for adapters that tell it.
	Hostname string
	// Selection says which containers no route takes.
	Selection Selection
	// ContainerMetrics says that the metrics tell each container's account too.
	ContainerMetrics bool
	// LogLevels says that lines are counted by the level that they name too.
	LogLevels bool
	Logger    *slog.Logger
}

// Table holds the routes and tells each of them of every container's log.
type Table struct {
	cfg     TableConfig
	batches sync.Pool
	// due wakes Run when there is something to save.
	due chan struct{}

	// changing is held while the set of routes is changed, which may take the
	// grace period. It is taken before mu.
	changing sync.Mutex
	// group has the routes that run.
	group sync.WaitGroup

	// mu guards all below.
	mu      sync.Mutex
	logs    map[string]collector.Log
	uses    map[string]*logUse
	routes  []*Route
	viewers map[*Route]struct{}
	// running is the context of Run, nil before; stopped says that it has ended
	// and that no route may start any more.
	running context.Context
	stopped bool
	// saving is why positions could not be saved last, nil when they could, and
	// unsaved how often they could not.
	saving  error
	unsaved int64
}

// NewTable returns a table without routes.
func NewTable(cfg TableConfig) *Table {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	return &Table{
		cfg:     cfg,
		batches: sync.Pool{New: func() any { return record.NewBatch() }},
		due:     make(chan struct{}, 1),
		logs:    make(map[string]collector.Log),
		uses:    make(map[string]*logUse),
		viewers: make(map[*Route]struct{}),
	}
}

// Routes returns the routes, in the order in which they were added.
func (t *Table) Routes() []*Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.routes)
}

// Reading returns the IDs of the containers whose log a route has not read to its
// end, those that were removed among them.
func (t *Table) Reading() []string {
	var ids []string
	for _, r := range t.Routes() {
		r.mu.Lock()
		for id, c := range r.cursors {
			if !c.finished {
				ids = append(ids, id)
			}
		}
		r.mu.Unlock()
	}
	return ids
}

// Viewers returns how many streams are being served.
func (t *Table) Viewers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.viewers)
}

// SaveError returns why positions could not be saved last, nil when they could.
func (t *Table) SaveError() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.saving
}

// Found tells every route of a container's log, again after each change of the
// container.
func (t *Table) Found(log collector.Log) {
	t.mu.Lock()
	t.logs[log.Container().ID] = log
	all := slices.Clone(t.routes)
	for v := range t.viewers {
		all = append(all, v)
	}
	t.mu.Unlock()
	for _, r := range all {
		t.offer(r, log)
	}
}

func (t *Table) offer(r *Route, log collector.Log) {
	err := r.found(log)
	if err == nil {
		return
	}
	r.stats.ReadErrors.Add(1)
	if r.refuse(log.Container().ID) {
		t.cfg.Logger.Error("a container's log cannot be opened, trying again; further errors are only counted",
			"route", r.String(), "container", log.Container().Name, "error", err)
	}
}

// offerAll tells a route, which is in the table already, of all logs there are,
// and of those that the route before it has left, of removed containers among them.
func (t *Table) offerAll(r *Route, left []collector.Log) {
	t.mu.Lock()
	logs := slices.AppendSeq(left, maps.Values(t.logs))
	t.mu.Unlock()
	for _, log := range logs {
		t.offer(r, log)
		// It may have gone meanwhile, and the route been told too early.
		id := log.Container().ID
		t.mu.Lock()
		_, there := t.logs[id]
		t.mu.Unlock()
		if !there {
			r.gone(id)
		}
	}
}

// Gone says that the engine has removed a container: no further route is told
// of its log. Those that read it read it to its end.
func (t *Table) Gone(id string) {
	t.mu.Lock()
	delete(t.logs, id)
	delete(t.uses, id)
	all := slices.AppendSeq(slices.Clone(t.routes), maps.Keys(t.viewers))
	t.mu.Unlock()
	for _, r := range all {
		r.gone(id)
	}
}

// Run delivers until ctx ends, and returns when every route has delivered what
// was in flight, within the grace period, and its positions are saved.
func (t *Table) Run(ctx context.Context) {
	t.mu.Lock()
	t.running = ctx
	for _, r := range t.routes {
		t.startLocked(r)
	}
	t.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		t.mu.Lock()
		t.stopped = true
		t.mu.Unlock()
		t.group.Wait()
	}()
	timer := time.NewTimer(saveEvery)
	defer timer.Stop()
	soon := true
	// Positions are saved also while routes stop: one that takes long must not
	// cost the others what they have delivered.
	for {
		select {
		case <-t.due:
			if !soon {
				soon = true
				timer.Reset(saveEvery)
			}
		case <-timer.C:
			t.Save()
			soon = t.SaveError() != nil
			if soon {
				timer.Reset(saveEvery)
			} else {
				timer.Reset(saveAnyway)
			}
		case <-ended:
			t.save()
			return
		}
	}
}

// saveSoon has Run save.
func (t *Table) saveSoon() {
	select {
	case t.due <- struct{}{}:
	default:
	}
}

// startLocked runs a route if the table runs.
func (t *Table) startLocked(r *Route) {
	if t.running == nil {
		return
	}
	ctx, cancel := context.WithCancel(t.running)
	r.cancel, r.ended = cancel, make(chan struct{})
	t.group.Go(func() {
		defer close(r.ended)
		defer cancel()
		r.run(ctx)
	})
}

// Save saves the positions of all routes.
func (t *Table) Save() {
	now := time.Now()
	for _, r := range t.Routes() {
		r.save(now)
	}
	t.save()
}

// slowSave is after how long it is told that a save has not ended.
const slowSave = 10 * time.Second

var errSlowSave = fmt.Errorf("the disk of the state folder has not answered for %s", slowSave)

func (t *Table) save() {
	over := false // guarded by mu
	// take takes in what comes of the save, and tells what is new of it. After the
	// last there is nothing more to take in.
	take := func(err error, last bool) {
		t.mu.Lock()
		if over {
			t.mu.Unlock()
			return
		}
		over = last
		was := t.saving
		if t.saving = err; err != nil {
			t.unsaved++
		}
		t.mu.Unlock()
		switch {
		case err != nil && was == nil:
			t.cfg.Logger.Error("positions cannot be saved and are kept in memory: after a crash lines will be repeated", "error", err)
		case err == nil && was != nil:
			t.cfg.Logger.Info("positions are saved again")
		}
	}
	slow := time.AfterFunc(slowSave, func() { take(errSlowSave, false) })
	defer slow.Stop()
	take(t.cfg.Positions.Save(), true)
}

// Stream delivers the logs that a filter wants, from now on, to an adapter until
// ctx ends. No position is kept. It returns when the adapter is closed.
func (t *Table) Stream(ctx context.Context, title string, f Filter, a adapters.Adapter) {
	r := newRoute(routeConfig{
		Identity: title, Title: title, Filter: f, Selection: t.cfg.Selection, Adapter: a,
		Grace: time.Second, Batches: &t.batches, Stats: new(Stats), Logger: t.cfg.Logger,
	})
	t.mu.Lock()
	t.viewers[r] = struct{}{}
	t.mu.Unlock()
	t.offerAll(r, nil)
	r.run(ctx)
	t.mu.Lock()
	delete(t.viewers, r)
	t.mu.Unlock()
}
