package routes_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyman/collector/record"
)

// ledger is what a destination has: every line with its source and number, in
// the order in which it came.
type ledger struct {
	mu sync.Mutex
	// arrived has the numbers by container, as they came; given those that were
	// refused for good.
	arrived map[string][]int
	given   map[string]map[int]bool
	// joined are the messages of more than one line, as they came.
	joined [][]string
	// allowed is how many repeats the failures so far excuse.
	allowed int
}

// split returns the lines of messages, but for what the agent says itself.
func split(messages []string) []string {
	var list []string
	for _, text := range messages {
		if !strings.HasPrefix(text, "tallyman: ") {
			list = append(list, strings.Split(text, "\n")...)
		}
	}
	return list
}

func newLedger() *ledger {
	return &ledger{arrived: make(map[string][]int), given: make(map[string]map[int]bool)}
}

func (l *ledger) take(messages []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range messages {
		if list := strings.Split(text, "\n"); len(list) > 1 {
			l.joined = append(l.joined, list)
		}
	}
	for _, text := range split(messages) {
		id, n := parseLine(text)
		l.arrived[id] = append(l.arrived[id], n)
	}
}

func (l *ledger) refuse(messages []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range split(messages) {
		id, n := parseLine(text)
		if l.given[id] == nil {
			l.given[id] = make(map[int]bool)
		}
		l.given[id][n] = true
	}
}

func (l *ledger) allow(repeats int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.allowed += repeats
}

// has returns the numbers that have arrived of a container.
func (l *ledger) has(id string) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.arrived[id])
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, list := range l.arrived {
		n += len(list)
	}
	return n
}

// settledSet returns what has arrived of a container or was refused.
func (l *ledger) settledSet(id string) map[int]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := make(map[int]bool, len(l.arrived[id]))
	maps.Copy(set, l.given[id])
	for _, n := range l.arrived[id] {
		set[n] = true
	}
	return set
}

// check fails the test unless all wanted lines have arrived or were refused, and
// no more than allowed came again. With ordered, no line may come for the first
// time before those before it.
func (l *ledger) check(t *testing.T, wanted map[string][]int, ordered bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	repeats := 0
	for id, list := range l.arrived {
		seen := make(map[int]bool, len(list))
		var order []int
		for _, n := range list {
			if seen[n] {
				repeats++
				continue
			}
			seen[n] = true
			order = append(order, n)
		}
		if ordered && !slices.IsSorted(order) {
			t.Errorf("the lines of %s came in the order %v", id, list)
		}
		for n := range seen {
			if _, ok := slices.BinarySearch(wanted[id], n); !ok {
				t.Errorf("line %d of %s came and was not wanted", n, id)
			}
		}
	}
	for id, list := range wanted {
		for _, n := range list {
			if !slices.Contains(l.arrived[id], n) && !l.given[id][n] {
				t.Errorf("line %d of %s is lost", n, id)
			}
		}
	}
	if repeats > l.allowed {
		t.Errorf("%d lines were repeated, no more than %d were in flight when something failed", repeats, l.allowed)
	}
}

// kept is what is kept of a route and a container.
type kept struct {
	at      record.Position
	account record.Account
}

// positions is a Positions in memory. before, when set, is asked about every
// position that is kept.
type positions struct {
	mu     sync.Mutex
	first  map[string]time.Time
	at     map[string]map[string]kept
	sets   int
	saves  int
	err    error
	before func(id string, at record.Position)
	gone   func(id string)
}

func newPositions() *positions {
	return &positions{first: make(map[string]time.Time), at: make(map[string]map[string]kept)}
}

func (p *positions) Meet(identity, _ string, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.first[identity]; !ok {
		p.first[identity] = now
		p.at[identity] = make(map[string]kept)
	}
	return p.first[identity]
}

func (p *positions) Get(route, id string) (record.Position, record.Account, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.at[route][id]
	account := k.account.Clone()
	account.Read = account.Settled()
	return k.at, account, ok
}

func (p *positions) Set(route, id, _ string, at record.Position, account *record.Account, _ time.Time) {
	if p.before != nil {
		p.before(id, at)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[route][id] = kept{at, account.Clone()}
	p.sets++
}

func (p *positions) Delete(route, id string) {
	if p.gone != nil {
		p.gone(id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at[route], id)
}

func (p *positions) Save() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.saves++
	return p.err
}

// saved returns the positions of a route.
func (p *positions) saved(route string) map[string]record.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	saved := make(map[string]record.Position, len(p.at[route]))
	for id, k := range p.at[route] {
		saved[id] = k.at
	}
	return saved
}
