package routes

import (
	"cmp"
	"slices"
	"time"

	"tallyman/collector/record"
)

// Bounds of what is kept of the past.
const (
	// keptGenerations is how many files of a log have an account of their own.
	keptGenerations = 4
	// keptEnded is how many containers that are gone a route remembers.
	keptEnded = 512
)

// Tally is a route's account: what became of every line that it has read.
type Tally struct {
	// Route is its title, Identity the name of its positions.
	Route    string `json:"route"`
	Identity string `json:"identity"`
	// Account is of all containers since the agent's start.
	record.Account
	// InFlight is what was read and is not settled.
	InFlight record.Count `json:"in_flight"`
	// Resent is what was taken back from a destination that failed, and sent
	// again.
	Resent record.Count `json:"resent"`
	// Behind is how many bytes of log files are not settled.
	Behind int64 `json:"behind_bytes"`
	// Down says that the destination fails, Problem why.
	Down    bool   `json:"down"`
	Problem string `json:"problem,omitempty"`
	// Balanced says that the accounts agree: all that was read is filtered,
	// delivered, dropped or in flight.
	Balanced bool `json:"balanced"`
	// Containers are those whose log the route reads, and the last of those that
	// are gone, in the order of their names.
	Containers []ContainerTally `json:"containers"`
}

// ContainerTally is a route's account of one container's log.
type ContainerTally struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Account is since the route first met the container, through restarts of
	// the agent.
	record.Account
	InFlight record.Count `json:"in_flight"`
	Resent   record.Count `json:"resent"`
	Behind   int64        `json:"behind_bytes"`
	// Position is up to where everything is settled.
	Position record.Position `json:"position"`
	// Complete says that all there is of the log has been read and settled, and
	// nothing of it was dropped or lost.
	Complete bool `json:"complete"`
	// Ended is when all of a removed container's log was settled, zero before.
	Ended time.Time `json:"ended,omitzero"`
	// Generations are the last files of the log, oldest first. What belongs to
	// earlier ones is in the account above alone.
	Generations []GenerationTally `json:"generations,omitempty"`
}

// GenerationTally is what of an account belongs to one file of a log.
type GenerationTally struct {
	Generation record.Generation `json:"generation"`
	record.Account
}

// ledger is a cursor's account. The route's mutex guards it.
type ledger struct {
	account  record.Account
	inFlight record.Count
	resent   record.Count
	// newest is the last generation in which something was settled, with those
	// before it.
	newest *page
}

// page has the account as it was before anything was settled in a generation.
type page struct {
	gen    record.Generation
	before record.Account
	older  *page
}

// turnTo makes gen the generation to which the next entries belong.
func (l *ledger) turnTo(gen record.Generation) {
	if last := l.newest; last != nil && last.gen.Inode == gen.Inode && (last.gen.Sum == gen.Sum || last.gen.Len == 0) {
		// It goes by its inode alone until it has a record.
		last.gen = gen
		return
	}
	before := l.account.Clone()
	before.Read = before.Settled()
	l.newest = &page{gen, before, l.newest}
	oldest := l.newest
	for n := 1; oldest.older != nil && n < keptGenerations; n++ {
		oldest = oldest.older
	}
	oldest.older = nil
}

// generations returns the accounts of the last files.
func (l *ledger) generations() []GenerationTally {
	list := make([]GenerationTally, 0, keptGenerations)
	after := &l.account
	for p := l.newest; p != nil; p = p.older {
		list = append(list, GenerationTally{Generation: p.gen, Account: after.Since(&p.before)})
		after = &p.before
	}
	slices.Reverse(list)
	return list
}

// takeOffLocked enters what was read.
func (r *Route) takeOffLocked(c *cursor, n record.Count) {
	r.touchLocked(c)
	c.ledger.account.Read.Add(n)
	c.ledger.inFlight.Add(n)
	r.total.Read.Add(n)
	r.flying.Add(n)
}

// enterLocked enters what became of lines that were in flight.
func (r *Route) enterLocked(c *cursor, gen record.Generation, settled *record.Account) {
	n := settled.Settled()
	if n == (record.Count{}) && settled.Gaps == 0 {
		return
	}
	r.touchLocked(c)
	c.ledger.turnTo(gen)
	c.ledger.account.Add(settled)
	c.ledger.inFlight.Sub(n)
	r.total.Add(settled)
	r.flying.Sub(n)
}

// recallLocked takes back what is in flight of a batch: it will be read again.
func (r *Route) recallLocked(f *flight) {
	n := f.passed.Settled()
	n.Add(f.sent)
	n.Add(f.held)
	c := f.cursor
	r.touchLocked(c)
	c.ledger.account.Read.Sub(n)
	c.ledger.inFlight.Sub(n)
	c.ledger.resent.Add(f.sent)
	r.total.Read.Sub(n)
	r.flying.Sub(n)
	r.resent.Add(f.sent)
}

// endLocked moves the account of a container that is gone to the past.
func (r *Route) endLocked(c *cursor, now time.Time) {
	if len(r.past) == keptEnded {
		r.past = slices.Delete(r.past, 0, 1)
	}
	t := r.tallyLocked(c)
	t.Ended, t.Complete = now, intact(&t.Account)
	r.past = append(r.past, t)
}

func (r *Route) tallyLocked(c *cursor) ContainerTally {
	container := c.log.Container()
	return ContainerTally{
		ID: container.ID, Name: container.Name,
		Account: c.ledger.account.Clone(), InFlight: c.ledger.inFlight, Resent: c.ledger.resent,
		Position: c.delivered, Generations: c.ledger.generations(),
	}
}

// intact reports whether nothing was given up or lost.
func intact(a *record.Account) bool { return len(a.Dropped) == 0 && a.Gaps == 0 }

// Tally returns the route's account as it is now. It asks the file system for
// the size of each log.
func (r *Route) Tally() Tally {
	r.mu.Lock()
	t := r.totalsLocked()
	t.Containers = slices.Clone(r.past)
	var open []*cursor
	for _, c := range r.cursors {
		if c.reader != nil && !c.finished {
			open = append(open, c)
		}
	}
	r.mu.Unlock()
	for _, c := range open {
		behind := r.behind(c)
		r.mu.Lock()
		one := r.tallyLocked(c)
		finished := c.finished
		r.mu.Unlock()
		if finished {
			continue // It has moved to the past meanwhile.
		}
		one.Behind = behind
		one.Complete = behind == 0 && one.InFlight.Lines == 0 && intact(&one.Account)
		t.Behind += behind
		t.Containers = append(t.Containers, one)
	}
	slices.SortStableFunc(t.Containers, func(a, b ContainerTally) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return t
}

// totals is Tally without the containers.
func (r *Route) totals() Tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totalsLocked()
}

func (r *Route) totalsLocked() Tally {
	t := Tally{
		Route: r.String(), Identity: r.cfg.Identity,
		Account: r.total.Clone(), InFlight: r.flying, Resent: r.resent,
		Down: !r.down.IsZero(), Balanced: r.balancedLocked(),
	}
	if r.problem != nil {
		t.Problem = r.problem.Error()
	}
	return t
}

// balancedLocked reports whether the accounts agree with what is in flight.
func (r *Route) balancedLocked() bool {
	var flying record.Count
	for _, c := range r.cursors {
		if !c.ledger.account.Balanced(c.ledger.inFlight) {
			return false
		}
		flying.Add(c.ledger.inFlight)
	}
	return flying == r.flying && r.total.Balanced(r.flying)
}

// auditLocked says once that the accounts do not agree. It looks at those of the
// cursors that have moved since the last audit, and at the sums.
func (r *Route) auditLocked() {
	balanced := r.total.Balanced(r.flying)
	for _, c := range r.moved {
		balanced = balanced && c.ledger.account.Balanced(c.ledger.inFlight)
		r.audited.Add(c.ledger.inFlight)
	}
	if r.imbalanced || balanced && r.audited == r.flying {
		return
	}
	r.imbalanced = true
	r.cfg.Logger.Error("the tally does not agree with itself: lines were lost or counted twice by a mistake in the agent; please report this",
		"route", r.String(), "read", r.total.Read, "settled", r.total.Settled(), "in_flight", r.flying)
}
