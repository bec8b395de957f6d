package routes

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"tallyman/adapters"
	"tallyman/collector"
)

// ErrStopped says that the table has ended.
var ErrStopped = errors.New("the agent is stopping")

// Add adds a route. One that is added before Run begins with it.
func (t *Table) Add(d Definition) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.apply(append(t.definitions(), d))
}

// Apply makes the routes those of definitions. A route whose definition has not
// changed goes on untouched. One that has gone, or has changed, delivers what is
// in flight within the grace period, and its positions are kept under its
// identity, where the route that follows it begins. An error leaves all as it
// was. Apply returns when the old routes have ended.
func (t *Table) Apply(definitions []Definition) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	return t.apply(definitions)
}

// definitions returns those of the routes there are.
func (t *Table) definitions() []Definition {
	var list []Definition
	for _, r := range t.Routes() {
		list = append(list, r.definition)
	}
	return list
}

// apply is Apply for a caller that holds changing.
func (t *Table) apply(definitions []Definition) error {
	old := make(map[string]*Route)
	for _, r := range t.Routes() {
		old[r.Identity()] = r
	}
	steps, err := t.prepare(definitions, old)
	if err != nil {
		return err
	}
	var next []*Route
	for i := range steps {
		if steps[i].kept {
			delete(old, steps[i].route.Identity())
		}
		next = append(next, steps[i].route)
	}
	t.mu.Lock()
	if t.stopped {
		t.mu.Unlock()
		steps.discard()
		return ErrStopped
	}
	t.routes = slices.DeleteFunc(slices.Clone(t.routes), func(r *Route) bool { return old[r.Identity()] == r })
	t.mu.Unlock()
	var follows = make(map[string]*Route)
	for _, step := range steps {
		switch {
		case step.kept:
		case old[step.route.Identity()] != nil:
			follows[step.route.Identity()] = step.route
		default:
			t.install(step.route, nil)
		}
	}
	for identity, r := range old {
		t.retire(r, follows[identity])
	}
	for _, r := range old {
		if r.ended != nil {
			<-r.ended
		}
	}
	t.mu.Lock()
	t.routes = next
	t.mu.Unlock()
	return nil
}

// steps are what the routes will be: those that are kept, and new ones that have
// not begun.
type steps []step

type step struct {
	route *Route
	kept  bool
}

// discard closes what is new.
func (p steps) discard() {
	for _, s := range p {
		if !s.kept {
			// It has never been used, so that closing it cannot fail.
			_ = s.route.cfg.Adapter.Close(closedContext())
		}
	}
}

// prepare makes the routes of definitions that are not among old.
func (t *Table) prepare(definitions []Definition, old map[string]*Route) (steps, error) {
	var p steps
	seen := make(map[string]bool)
	for i := range definitions {
		d := &definitions[i]
		identity := d.Identity()
		if seen[identity] {
			p.discard()
			return nil, fmt.Errorf("route %q: another route has the same name, or the same adapter, address and filters; "+
				"give one of them a name with ?name=", d.String())
		}
		seen[identity] = true
		if r := old[identity]; r != nil && r.definition.equal(d) {
			p = append(p, step{r, true})
			continue
		}
		r, err := t.make(d)
		if err != nil {
			p.discard()
			return nil, fmt.Errorf("route %q: %w", d.String(), err)
		}
		p = append(p, step{route: r})
	}
	return p, nil
}

// make makes a route that has not begun.
func (t *Table) make(d *Definition) (*Route, error) {
	config := d.Config
	stats := new(Stats)
	config.Logger = t.cfg.Logger.With("route", d.String())
	config.Hostname, config.Count = t.cfg.Hostname, stats.count
	adapter, err := d.description.New(config)
	if err != nil {
		return nil, err
	}
	r := newRoute(routeConfig{
		Identity: d.Identity(), Title: d.String(), Name: d.Name, Filter: d.Filter, Lines: d.Lines,
		Selection: t.cfg.Selection, Backlog: d.Backlog, Since: d.Since, Tail: d.Tail,
		Adapter: adapter, Positions: t.cfg.Positions, Unsaved: t.saveSoon, Grace: t.cfg.Grace,
		Batches: &t.batches, Use: t.use, Stats: stats, Logger: t.cfg.Logger,
	})
	r.definition = *d
	return r, nil
}

// install takes a new route into the table and tells it of all logs, and of those
// that the route before it has left.
func (t *Table) install(r *Route, left []collector.Log) {
	t.mu.Lock()
	if t.stopped {
		t.mu.Unlock()
		// It has never been used, so that closing it cannot fail.
		_ = r.cfg.Adapter.Close(closedContext())
		return
	}
	t.routes = append(t.routes, r)
	t.startLocked(r)
	t.mu.Unlock()
	t.saveSoon()
	t.offerAll(r, left)
}

// retire begins to end a route. The one that follows it, if any, takes over when
// its positions are final.
func (t *Table) retire(r, follows *Route) {
	if follows != nil {
		r.mu.Lock()
		r.handOver = func(left []collector.Log) { t.install(follows, left) }
		late := r.closed
		r.mu.Unlock()
		if late {
			// It has ended with the table meanwhile, and called nobody.
			t.install(follows, nil)
		}
	}
	t.mu.Lock()
	cancel := r.cancel
	t.mu.Unlock()
	if cancel == nil {
		r.close(closedContext())
		return
	}
	cancel()
}

// equal reports whether two definitions make the same route: whether they are
// written alike, and the environment has made the same of them.
func (d *Definition) equal(other *Definition) bool {
	return reflect.DeepEqual(d.spec, other.spec) && d.Backlog == other.Backlog && d.Tail == other.Tail &&
		d.Lines.String() == other.Lines.String() && reflect.DeepEqual(d.settings(), other.settings())
}

// settings returns what the adapter is made from, without what belongs to one
// route.
func (d *Definition) settings() adapters.Config {
	c := d.Config
	c.Logger, c.Count = nil, nil
	return c
}
