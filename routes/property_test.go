package routes_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// newTable returns a table with one route to each adapter, named by uris.
func newTable(t *testing.T, cfg routes.TableConfig, made map[string]adapters.Adapter) *routes.Table {
	t.Helper()
	if cfg.Positions == nil {
		cfg.Positions = newPositions()
	}
	if cfg.Logger == nil {
		cfg.Logger = (&journal{}).logger()
	}
	table := routes.NewTable(cfg)
	for _, uri := range slices.Sorted(maps.Keys(made)) {
		catalog := routes.Catalog{Adapters: []adapters.Description{{
			Name: "fake", New: func(adapters.Config) (adapters.Adapter, error) { return made[uri], nil },
		}}}
		d, err := catalog.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// run runs a table until the returned function is called, which waits for it.
func run(t *testing.T, table *routes.Table) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { table.Run(ctx) })
	return func() { cancel(); group.Wait() }
}

// world is one run of the property test: logs that grow at random, and a
// destination that fails at random.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	uri     string
	sources []record.Stream
	// joins says that lines that end with a plus sign go on with the one before,
	// drops that those that end with an exclamation mark are left out. loose says
	// that nobody can tell beforehand which lines are.
	joins, drops, loose bool
	book                *ledger
	positions           *positions

	// mu guards the next two. done has the logs that were read to their end.
	mu   sync.Mutex
	logs []*fakeLog
	done map[string]bool

	// counted are the counters of the tables that have ended.
	lines, dropped, filtered int64
	// ended are the accounts of the containers that are gone.
	ended map[string]routes.ContainerTally
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), uri: "fake://host:1",
		sources: []record.Stream{record.Stdout, record.Stderr}, book: newLedger(), positions: newPositions(),
		done: make(map[string]bool), ended: make(map[string]routes.ContainerTally),
	}
	switch w.rng.IntN(3) {
	case 0:
		w.uri, w.sources = w.uri+"?filter.sources=stdout", w.sources[:1]
	case 1:
		w.uri, w.sources = w.uri+"?filter.sources=stderr", w.sources[1:]
	}
	var options string
	switch w.rng.IntN(5) {
	case 0:
		w.drops, options = true, "filter.exclude=!$"
	case 1:
		w.joins, options = true, "multiline=%5B%2B%5D$&multiline.mode=nonfirst"
	case 2:
		w.joins, w.drops, w.loose = true, true, true
		options = "multiline=%5B%2B%5D$&multiline.mode=nonfirst&filter.exclude=!$&sample=0.8&rate=150/h&ansi=strip"
	case 3:
		w.loose, options = true, "sample=1/2&rate=50/h"
	}
	if options != "" {
		w.uri += map[bool]string{false: "?", true: "&"}[strings.Contains(w.uri, "?")] + options
	}
	if w.joins {
		w.book.allow(1 << 30) // What lies behind a message that is open comes again.
	}
	w.positions.before = w.checkPosition
	w.positions.gone = w.checkGone
	return w
}

func (w *world) addLog() *fakeLog {
	l := newLog(w.t, record.Container{ID: fmt.Sprintf("c%d", len(w.logs)), Created: time.Now().Add(time.Hour)})
	l.block = 1 + w.rng.IntN(30)
	l.onGiveUp = w.book.refuse
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, l)
	return l
}

// grow writes some lines of both streams, and damage, to a log.
func (w *world) grow(l *fakeLog) {
	l.change(func() {
		for range 1 + w.rng.IntN(40) {
			e := entry{text: line(l.id(), len(l.entries)), junk: w.rng.IntN(20) == 0}
			if w.rng.IntN(3) == 0 {
				e.stream = record.Stderr
			}
			switch w.rng.IntN(4) {
			case 0:
				e.text += " !"
			case 1, 2:
				e.text += " +"
			}
			l.entries = append(l.entries, e)
		}
	})
}

func (w *world) isDone(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[id]
}

func (w *world) allSettled() bool {
	for _, l := range w.logs {
		settled := w.book.settledSet(l.id())
		for _, n := range w.wanted(l, 1<<30) {
			if !settled[n] {
				return false
			}
		}
	}
	return true
}

// session is one life of the agent. It ends in the middle of things, or when
// all has arrived.
func (w *world) session(seed uint64, toTheEnd bool) {
	a := newFlaky(w.t, w.book, seed)
	table := newTable(w.t, routes.TableConfig{Positions: w.positions}, map[string]adapters.Adapter{w.uri: a})
	for _, l := range w.logs {
		if w.isDone(l.id()) {
			continue
		}
		if table.Found(l); l.finished() {
			table.Gone(l.id())
		}
	}
	stop := run(w.t, table)
	for range 60 {
		switch l := w.logs[w.rng.IntN(len(w.logs))]; w.rng.IntN(30) {
		case 0:
			table.Found(w.addLog())
		case 1:
			l.end()
			table.Gone(l.id())
		case 2:
			// The oldest lines are given up, delivered or not.
			l.change(func() { l.floor = w.rng.IntN(len(l.entries) + 1) })
		case 3:
			time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
		default:
			if !l.finished() {
				w.grow(l)
			}
			time.Sleep(time.Duration(w.rng.IntN(100)) * time.Millisecond)
		}
	}
	if toTheEnd {
		a.heal()
		if !w.loose {
			eventually(w.t, "all has arrived", w.allSettled)
		}
		eventually(w.t, "nothing lags", func() bool { return table.Routes()[0].Lag().Bytes == 0 })
		for _, l := range w.logs {
			l.end()
			table.Gone(l.id())
		}
		eventually(w.t, "every account is closed", func() bool {
			return !slices.ContainsFunc(table.Routes()[0].Tally().Containers,
				func(c routes.ContainerTally) bool { return c.Ended.IsZero() })
		})
		eventually(w.t, "every position is deleted", func() bool { return len(w.positions.saved(table.Routes()[0].Identity())) == 0 })
	}
	stop()
	tally := table.Routes()[0].Tally()
	if !tally.Balanced || tally.InFlight.Lines != 0 {
		w.t.Errorf("the tally is not balanced: %+v", tally)
	}
	w.lines += tally.Delivered.Lines
	w.filtered += tally.Filtered.Lines
	for _, d := range tally.Dropped {
		w.dropped += d.Lines
	}
	for _, c := range tally.Containers {
		if !c.Ended.IsZero() {
			w.ended[c.ID] = c
		}
	}
	for _, l := range w.logs {
		if l.open() != 0 {
			w.t.Errorf("%d readers of %s stay open", l.open(), l.id())
		}
	}
}

func (l *fakeLog) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// TestProperty: whatever fails, whenever the agent is stopped, every wanted line
// arrives, in order, none is passed over in the positions that are kept, and
// the counters count each line once.
func TestProperty(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range 3 {
				w.addLog()
			}
			// Where each batch is answered for itself, they arrive in any order.
			ordered := true
			for life := range uint64(4) {
				probe := rand.New(rand.NewPCG(seed*10+life, 7))
				ordered = ordered && probe.IntN(3) != 0
				w.session(seed*10+life, life == 3)
			}
			wanted := make(map[string][]int)
			all, junk, total := 0, 0, 0
			for _, l := range w.logs {
				wanted[l.id()] = w.wanted(l, 1<<30)
				all += len(wanted[l.id()])
				total += len(l.entries)
				for _, e := range l.entries {
					if e.junk {
						junk++
					}
				}
			}
			if ordered && !w.loose {
				for _, l := range w.logs {
					w.checkOrder(l)
				}
			}
			if !w.loose {
				w.book.check(t, wanted, ordered && !w.joins)
				if int64(all) != w.lines+w.dropped {
					t.Errorf("%d lines are counted as delivered and %d as dropped, there were %d", w.lines, w.dropped, all)
				}
				if int64(total-junk-all) != w.filtered {
					t.Errorf("%d lines are counted as filtered, there were %d", w.filtered, total-junk-all)
				}
			}
			w.checkMessages()
			for _, l := range w.logs {
				w.checkAccount(l)
			}
			if t.Failed() {
				t.Fatalf("with seed %d, %s", seed, w.uri)
			}
		})
	}
}
