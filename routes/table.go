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
	saveEvery    = time.Second
)

// TableConfig is what a Table is made from.
type TableConfig struct {
	// Positions keeps what has been delivered.
	Positions Positions
	// Grace is how long a route that is stopped may take to deliver what is in
	// flight; 0 stands for DefaultGrace.
	Grace  time.Duration
	Logger *slog.Logger
}

// Table holds the routes and tells each of them of every container's log.
type Table struct {
	cfg     TableConfig
	batches sync.Pool

	// mu guards all below.
	mu      sync.Mutex
	logs    map[string]collector.Log
	routes  []*Route
	viewers map[*Route]struct{}
	// saving is why positions could not be saved last, nil when they could.
	saving error
}

// NewTable returns a table without routes.
func NewTable(cfg TableConfig) *Table {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	return &Table{
		cfg:     cfg,
		batches: sync.Pool{New: func() any { return record.NewBatch() }},
		logs:    make(map[string]collector.Log),
		viewers: make(map[*Route]struct{}),
	}
}

// Add makes a route. It begins when Run does.
func (t *Table) Add(d Definition) error {
	config := d.Config
	config.Logger = t.cfg.Logger.With("route", d.String())
	adapter, err := d.description.New(config)
	if err != nil {
		return fmt.Errorf("route %q: %w", d.String(), err)
	}
	identity := d.Identity()
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.routes, func(r *Route) bool { return r.cfg.Identity == identity }) {
		// It has never been used, so that closing it cannot fail.
		_ = adapter.Close(closedContext())
		return fmt.Errorf("route %q: another route has the same adapter, address and filters; "+
			"give one of them a name with ?name=", d.String())
	}
	t.routes = append(t.routes, newRoute(routeConfig{
		Identity: identity, Title: d.String(), Filter: d.Filter, Backlog: d.Backlog,
		Adapter: adapter, Positions: t.cfg.Positions, Grace: t.cfg.Grace,
		Batches: &t.batches, Logger: t.cfg.Logger,
	}))
	return nil
}

// Routes returns the routes, in the order in which they were added.
func (t *Table) Routes() []*Route {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.routes)
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

// Gone says that the engine has removed a container: no further route is told
// of its log. Those that read it read it to its end.
func (t *Table) Gone(id string) {
	t.mu.Lock()
	delete(t.logs, id)
	all := slices.AppendSeq(slices.Clone(t.routes), maps.Keys(t.viewers))
	t.mu.Unlock()
	for _, r := range all {
		r.gone(id)
	}
}

// Run delivers until ctx ends, and returns when every route has delivered what
// was in flight, within the grace period, and its positions are saved.
func (t *Table) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, r := range t.Routes() {
		group.Go(func() { r.run(ctx) })
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		group.Wait()
		<-ctx.Done()
	}()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	// Positions are saved also while routes stop: one that takes long must not
	// cost the others what they have delivered.
	for {
		select {
		case <-tick.C:
			t.Save()
		case <-ended:
			t.save()
			return
		}
	}
}

// Save saves the positions of all routes.
func (t *Table) Save() {
	now := time.Now()
	for _, r := range t.Routes() {
		r.save(now)
	}
	t.save()
}

func (t *Table) save() {
	err := t.cfg.Positions.Save()
	t.mu.Lock()
	was := t.saving
	t.saving = err
	t.mu.Unlock()
	switch {
	case err != nil && was == nil:
		t.cfg.Logger.Error("positions cannot be saved and are kept in memory: after a crash lines will be repeated", "error", err)
	case err == nil && was != nil:
		t.cfg.Logger.Info("positions are saved again")
	}
}

// Stream delivers the logs that a filter wants, from now on, to an adapter until
// ctx ends. No position is kept. It returns when the adapter is closed.
func (t *Table) Stream(ctx context.Context, title string, f Filter, a adapters.Adapter) {
	r := newRoute(routeConfig{
		Identity: title, Title: title, Filter: f, Adapter: a,
		Grace: time.Second, Batches: &t.batches, Logger: t.cfg.Logger,
	})
	t.mu.Lock()
	t.viewers[r] = struct{}{}
	logs := make([]collector.Log, 0, len(t.logs))
	for _, log := range t.logs {
		logs = append(logs, log)
	}
	t.mu.Unlock()
	for _, log := range logs {
		t.offer(r, log)
	}
	r.run(ctx)
	t.mu.Lock()
	delete(t.viewers, r)
	t.mu.Unlock()
}
