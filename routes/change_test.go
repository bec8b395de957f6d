package routes_test

import (
	"context"
	"fmt"
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

// factory makes fake adapters and remembers them.
type factory struct {
	book *ledger
	mu   sync.Mutex
	made []*syncAdapter
	// answer is that of adapters made from now on.
	answer func(ctx context.Context, lines []string) error
}

func (f *factory) catalog() *routes.Catalog {
	return &routes.Catalog{Adapters: []adapters.Description{{
		Name: "fake",
		Options: []adapters.Option{
			{Name: "broken"}, {Name: "colour"}, {Name: "token", Secret: true},
		},
		Target: func(string) adapters.Target { return adapters.Target{User: true, Path: true} },
		New: func(c adapters.Config) (adapters.Adapter, error) {
			if c.Options["broken"] != "" {
				return nil, errBroken
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			a := &syncAdapter{book: f.book, answer: f.answer}
			f.made = append(f.made, a)
			return a, nil
		},
	}}}
}

func (f *factory) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, a := range f.made {
		a.mu.Lock()
		if !a.closed {
			n++
		}
		a.mu.Unlock()
	}
	return n
}

func parseAll(t *testing.T, c *routes.Catalog, uris ...string) []routes.Definition {
	t.Helper()
	var list []routes.Definition
	for _, uri := range uris {
		d, err := c.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

func apply(t *testing.T, table *routes.Table, c *routes.Catalog, uris ...string) {
	t.Helper()
	if err := table.Apply(parseAll(t, c, uris...)); err != nil {
		t.Fatal(err)
	}
}

func titles(table *routes.Table) []string {
	var list []string
	for _, r := range table.Routes() {
		list = append(list, r.String())
	}
	return list
}

// TestApply: routes come and go while the table runs. What does not change goes
// on untouched, what changes goes on at its position, and an error changes
// nothing.
func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{book: newLedger()}
		c, p := f.catalog(), newPositions()
		table := newTable(t, routes.TableConfig{Positions: p}, nil)
		l := newLog(t, newContainer("c"))
		table.Found(l)
		l.write(25)
		stop := run(t, table)
		apply(t, table, c, "fake://a:1")
		eventually(t, "a route that is added reads logs that were found before", func() bool { return len(f.book.has("c")) == 25 })
		first := table.Routes()[0]

		apply(t, table, c, "fake://b:1?filter.name=none", "fake://a:1")
		if table.Routes()[1] != first || f.open() != 2 {
			t.Fatal("a route that has not changed was made anew")
		}
		err := table.Apply(parseAll(t, c, "fake://a:1?colour=red", "fake://b:1?broken=yes"))
		if err == nil || !slices.Equal(titles(table), []string{"fake://b:1?filter.name=none", "fake://a:1"}) || f.open() != 2 {
			t.Fatalf("after an error (%v) there are %q, and %d adapters", err, titles(table), f.open())
		}
		apply(t, table, c, "fake://a:1?colour=red", "fake://b:1?filter.name=none")
		l.write(10)
		eventually(t, "the changed route goes on", func() bool { return len(f.book.has("c")) >= 35 })
		if !slices.Equal(f.book.has("c"), numbers(35)) {
			t.Fatalf("lines %v came", f.book.has("c"))
		}
		apply(t, table, c, "fake://b:1?filter.name=none")
		if f.open() != 1 || l.open() != 0 {
			t.Fatalf("%d adapters and %d readers are open after the removal", f.open(), l.open())
		}
		l.write(10)
		if at := p.saved("fake://a:1")["c"]; at != place(35) {
			t.Fatalf("the position of the removed route is %v", at)
		}
		apply(t, table, c, "fake://a:1")
		eventually(t, "a route that comes back goes on where it was", func() bool { return len(f.book.has("c")) == 45 })
		stop()
		if !slices.Equal(f.book.has("c"), numbers(45)) || f.open() != 0 || l.open() != 0 {
			t.Fatalf("lines %v came; %d adapters and %d readers are open", f.book.has("c"), f.open(), l.open())
		}
		if err := table.Apply(nil); err != routes.ErrStopped {
			t.Fatalf("changing a table that has ended says %v", err)
		}
	})
}

// TestApplyTakesOverRemovedContainers: what a removed container has left, and its
// route could not deliver, goes on with the route that follows.
func TestApplyTakesOverRemovedContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{book: newLedger()}
		f.answer = func(context.Context, []string) error { return errBroken }
		c, p := f.catalog(), newPositions()
		table := newTable(t, routes.TableConfig{Positions: p}, nil)
		stop := run(t, table)
		apply(t, table, c, "fake://a:1")
		l := newLog(t, newContainer("c"))
		table.Found(l)
		l.write(25)
		l.end()
		table.Gone("c")
		time.Sleep(time.Minute)
		f.answer = nil
		apply(t, table, c, "fake://a:1?colour=red")
		time.Sleep(time.Minute)
		if got := f.book.has("c"); !slices.Equal(got, numbers(25)) || l.open() != 0 {
			t.Errorf("lines %v came, %d readers are open", got, l.open())
		}
		if left := p.saved("fake://a:1"); len(left) != 0 {
			t.Errorf("positions %v are left", left)
		}
		stop()
	})
}

// TestApplyDelivers: a route that is removed delivers what is in flight, within
// the grace period.
func TestApplyDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{book: newLedger()}
		f.answer = func(ctx context.Context, _ []string) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c := f.catalog()
		table := newTable(t, routes.TableConfig{}, nil)
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		apply(t, table, c, "fake://a:1")
		l.write(10)
		synctest.Wait()
		apply(t, table, c)
		if !slices.Equal(f.book.has("c"), numbers(10)) {
			t.Fatalf("lines %v came before the route ended", f.book.has("c"))
		}
		f.answer = func(ctx context.Context, _ []string) error { <-ctx.Done(); return ctx.Err() }
		apply(t, table, c, "fake://a:1")
		l.write(10)
		synctest.Wait()
		begun := time.Now()
		apply(t, table, c)
		if took := time.Since(begun); took != routes.DefaultGrace {
			t.Fatalf("a route that hangs has taken %v to end", took)
		}
		stop()
	})
}

// TestApplyWhileLinesCome changes a route again and again under load: every line
// arrives once, in order.
func TestApplyWhileLinesCome(t *testing.T) {
	f := &factory{book: newLedger()}
	c := f.catalog()
	table := newTable(t, routes.TableConfig{}, nil)
	stop := run(t, table)
	logs := []*fakeLog{newLog(t, newContainer("x")), newLog(t, newContainer("y"))}
	const rounds, each = 60, 20
	var group sync.WaitGroup
	for _, l := range logs {
		group.Go(func() {
			table.Found(l)
			for range rounds {
				l.write(each)
				table.Found(l)
			}
		})
	}
	for i := range rounds {
		apply(t, table, c, fmt.Sprintf("fake://a:1?colour=%d", i))
	}
	group.Wait()
	for _, l := range logs {
		eventually(t, "all lines have come", func() bool { return len(f.book.has(l.id())) >= rounds*each })
	}
	stop()
	for _, l := range logs {
		if !slices.Equal(f.book.has(l.id()), numbers(rounds*each)) || l.open() != 0 {
			t.Fatalf("%d lines of %d came, or not in order; %d readers are open", len(f.book.has(l.id())), rounds*each, l.open())
		}
	}
	if f.open() != 0 {
		t.Fatalf("%d adapters are open", f.open())
	}
}

// TestApplyWhileStopping: a change that is made while the table ends leaves
// nothing open.
func TestApplyWhileStopping(t *testing.T) {
	for range 50 {
		f := &factory{book: newLedger()}
		c := f.catalog()
		table := newTable(t, routes.TableConfig{}, nil)
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		var group sync.WaitGroup
		group.Go(func() {
			for i := range 10 {
				// It may be too late.
				_ = table.Apply(parseAll(t, c, fmt.Sprintf("fake://a:1?colour=%d", i)))
			}
		})
		stop()
		group.Wait()
		if f.open() != 0 || l.open() != 0 {
			t.Fatalf("%d adapters and %d readers are left open", f.open(), l.open())
		}
	}
}

// TestSince: a route begins so long before it was first met, and a restart does
// not move that.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book, p := newLedger(), newPositions()
		begun := time.Now()
		l := newLog(t, record.Container{ID: "c", Created: begun.Add(-24 * time.Hour)})
		l.timeOf = func(n int) int64 { return begun.Add(time.Duration(n-40) * time.Minute).UnixNano() }
		l.write(40)
		uri := "fake://host:1?since=15m"
		for life := range 2 {
			table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
			table.Found(l)
			stop := run(t, table)
			eventually(t, "the lines have come", func() bool { return len(book.has("c")) == 15+5*life })
			tally := table.Routes()[0].Tally()
			if want := int64(25 - 25*life); tally.Filtered.Lines != want || !tally.Balanced {
				t.Fatalf("%d lines are filtered, want %d; balanced: %v", tally.Filtered.Lines, want, tally.Balanced)
			}
			stop()
			time.Sleep(time.Hour)
			l.write(5)
		}
		if got := book.has("c"); !slices.Equal(got, numbers(45)[25:]) {
			t.Fatalf("lines %v came", got)
		}
	})
	f := func(text string) {
		t.Helper()
		if s, err := routes.ParseSince(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("%q is read as %q, %v", text, s, err)
		}
	}
	f("")
	f("-1h")
	f("yesterday")
	f("5")
	f("1969-01-01T00:00:00Z")
}

// TestClockSetBack: while the clock is behind the time at which a route was first
// met, nothing shows that a container is not a new one.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(ahead time.Duration, want int) {
			t.Helper()
			book, p := newLedger(), newPositions()
			p.Meet(uri, "", time.Now().Add(ahead))
			table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
			l := newLog(t, record.Container{ID: "c", Created: time.Now().Add(-time.Minute)})
			l.write(10)
			table.Found(l)
			stop := run(t, table)
			time.Sleep(time.Second)
			stop()
			if got := len(book.has("c")); got != want {
				t.Errorf("first met %v ago: %d lines came, want %d", -ahead, got, want)
			}
		}
		f(-time.Hour, 10)
		f(-time.Second, 0)
		f(time.Hour, 10)
	})
}

// TestTail: a route begins so many lines before the end of a log that is older
// than itself, and nowhere else. An option of its own asks for the backlog too, the
// default of all routes only bounds it.
func TestTail(t *testing.T) {
	f := func(options, fallback string, backlog bool, want int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			book := newLedger()
			c := (&factory{book: book}).catalog()
			c.Backlog = backlog
			var err error
			if c.Tail, err = routes.ParseTail(fallback); err != nil {
				t.Fatal(err)
			}
			table := newTable(t, routes.TableConfig{}, nil)
			for _, d := range parseAll(t, c, "fake://a:1"+options) {
				if err := table.Add(d); err != nil {
					t.Fatal(err)
				}
			}
			for id, age := range map[string]time.Duration{"old": -time.Hour, "new": time.Hour} {
				l := newLog(t, record.Container{ID: id, Created: time.Now().Add(age)})
				now := time.Now().UnixNano()
				l.timeOf = func(int) int64 { return now }
				l.write(40)
				table.Found(l)
			}
			stop := run(t, table)
			time.Sleep(time.Minute)
			stop()
			if got := book.has("old"); !slices.Equal(got, numbers(40)[40-want:]) {
				t.Errorf("%q with TAIL=%s, BACKLOG=%v: lines %v came, want %d", options, fallback, backlog, got, want)
			}
			if got := book.has("new"); len(got) != 40 {
				t.Errorf("%q: of a new container lines %v came", options, got)
			}
		})
	}
	f("", "all", false, 0)
	f("", "7", false, 0)
	f("", "7", true, 7)
	f("", "100", true, 40)
	f("", "0", true, 0)
	f("", "-1", true, 40)
	f("?backlog=true", "7", false, 7)
	f("?backlog=false", "7", true, 0)
	f("?tail=5", "7", false, 5)
	f("?tail=all", "7", false, 40)
	f("?tail=5&since=1h", "all", false, 5)
	f("?tail=5&backlog=false", "all", true, 0)
	for _, text := range []string{"", "5.5", "some", "5000000000"} {
		if _, err := routes.ParseTail(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
