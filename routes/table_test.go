package routes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestStart: where a route begins in a log that has five lines.
func TestStart(t *testing.T) {
	// made is when the container was made, counted from when the route first met
	// the host; never stands for a container whose age is not known.
	const never = time.Duration(1 << 62)
	f := func(what, uri string, made time.Duration, kept *record.Position, want []int, lost int64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			first := time.Now()
			p, book := newPositions(), newLedger()
			p.Meet("fake://host:1", "", first)
			// The agent starts anew long after.
			time.Sleep(time.Hour)
			if kept != nil {
				p.Set("fake://host:1", "c", "", *kept, &record.Account{}, first)
			}
			c := record.Container{ID: "c", Created: first.Add(made)}
			if made == never {
				c.Created = time.Time{}
			}
			l := newLog(t, c)
			l.write(5)
			l.mu.Lock()
			l.lost = lost > 0
			l.mu.Unlock()
			table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
			table.Found(l)
			stop := run(t, table)
			l.write(1)
			eventually(t, "the last line has come", func() bool { return slices.Contains(book.has("c"), 5) })
			stop()
			if !slices.Equal(book.has("c"), want) {
				t.Errorf("%s: lines %v came, want %v", what, book.has("c"), want)
			}
			if n := table.Routes()[0].Tally().Gaps; n != lost {
				t.Errorf("%s: %d losses are counted", what, n)
			}
		})
	}
	at := func(n int) *record.Position {
		p := place(n)
		return &p
	}
	oldest := record.Oldest()
	f("an old container", uri, -time.Minute, nil, []int{5}, 0)
	f("one as old as the route", uri, 0, nil, []int{5}, 0)
	f("a container that is newer than the route and older than the agent", uri, time.Minute, nil, numbers(6), 0)
	f("one of unknown age", uri, never, nil, numbers(6), 0)
	f("an old container, with the backlog", uri+"?backlog=true", -time.Minute, nil, numbers(6), 0)
	f("a position", uri, -time.Minute, at(3), []int{3, 4, 5}, 0)
	f("a position in a new container", uri, time.Minute, at(3), []int{3, 4, 5}, 0)
	f("a position at the oldest", uri, -time.Minute, &oldest, numbers(6), 0)
	f("a position that was rotated away", uri, time.Minute, at(3), numbers(6), 1)
}

// TestStartBeforeTheFirstLine: a container that has written nothing so far
// keeps its place all the same, so that what it writes while the agent is away
// is delivered.
func TestStartBeforeTheFirstLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, book := newPositions(), newLedger()
		l := newLog(t, record.Container{ID: "c", Created: time.Now().Add(-time.Hour)})
		for life := range 2 {
			table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
			table.Found(l)
			stop := run(t, table)
			if life == 1 {
				eventually(t, "the lines have come", func() bool { return len(book.has("c")) == 7 })
			}
			stop()
			l.write(7)
		}
	})
}

// TestRenamed: a container that a route has goes on after a new name that its
// filter does not want; one that gets a wanted name joins.
func TestRenamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newLedger()
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri + "?filter.name=web*": &syncAdapter{book: book}})
		rename := func(l *fakeLog, name string) {
			c := *l.Container()
			c.Name = name
			l.container.Store(&c)
			table.Found(l)
		}
		was, becomes := newLog(t, newContainer("was")), newLog(t, newContainer("becomes"))
		stop := run(t, table)
		rename(was, "web-1")
		rename(becomes, "db")
		was.write(3)
		becomes.write(3)
		eventually(t, "the wanted lines have come", func() bool { return len(book.has("was")) == 3 })
		rename(was, "db-2")
		rename(becomes, "web-2")
		was.write(3)
		eventually(t, "both are read", func() bool { return len(book.has("was")) == 6 && len(book.has("becomes")) == 3 })
		stop()
		if was.opened != 1 {
			t.Fatalf("the log was opened %d times", was.opened)
		}
	})
}

// TestRemoved: the log of a removed container is read to its end, its position
// is forgotten then and not before, and it is not taken for a new one.
func TestRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPositions()
		h := &holder{syncAdapter: syncAdapter{book: newLedger()}}
		table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(5)
		h.next(t).done(nil)
		l.write(5)
		batch := h.next(t)
		l.end()
		time.Sleep(3 * time.Second)
		if _, ok := p.saved(uri)["c"]; !ok {
			t.Fatal("the position is forgotten though a batch is in flight")
		}
		batch.done(nil)
		eventually(t, "the position is forgotten", func() bool { return len(p.saved(uri)) == 0 })
		if l.open() != 0 || table.Routes()[0].Lag().Containers != 0 {
			t.Fatal("the log is still open")
		}
		// The engine may tell of it once more before it tells of its removal.
		table.Found(l)
		table.Gone("c")
		if l.opened != 1 {
			t.Fatal("the log was opened again")
		}
		time.Sleep(3 * time.Second)
		stop()
		if len(p.saved(uri)) != 0 {
			t.Fatal("the position has come back")
		}
	})
}

// TestCannotBeOpened: a log that cannot be opened is tried again when it is
// found again, and told of once.
func TestCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, book := &journal{}, newLedger()
		table := newTable(t, routes.TableConfig{Logger: j.logger()}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
		l := newLog(t, newContainer("c"))
		l.openErr = errors.New("no permission")
		for range 10 {
			table.Found(l)
		}
		if n := j.count("no permission"); n != 1 {
			t.Fatalf("it was told %d times", n)
		}
		l.openErr = nil
		table.Found(l)
		stop := run(t, table)
		l.write(1)
		eventually(t, "the line has come", func() bool { return len(book.has("c")) == 1 })
		stop()
		if n := table.Routes()[0].Stats().ReadErrors.Load(); n != 10 {
			t.Fatalf("%d errors are counted", n)
		}
	})
}

// TestFoundWhileStopping: logs that are found while the table stops, or after
// it, are not left open.
func TestFoundWhileStopping(t *testing.T) {
	for range 100 {
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: &syncAdapter{}})
		var logs []*fakeLog
		for i := range 20 {
			logs = append(logs, newLog(t, newContainer(fmt.Sprint(i))))
		}
		stop := run(t, table)
		var group sync.WaitGroup
		for _, l := range logs {
			group.Go(func() { table.Found(l) })
		}
		stop()
		group.Wait()
		for _, l := range logs {
			if l.open() != 0 {
				t.Fatal("a reader is left open")
			}
		}
	}
}

// TestStream: a viewer sees what comes from now on of the containers it wants,
// and leaves nothing behind.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, book := newPositions(), newLedger()
		table := newTable(t, routes.TableConfig{Positions: p}, nil)
		l, other := newLog(t, newContainer("c")), newLog(t, newContainer("other"))
		old := record.Container{ID: "c", Created: time.Now().Add(-time.Hour)}
		l.container.Store(&old)
		l.write(5)
		table.Found(l)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		a := &syncAdapter{book: book}
		go func() {
			defer close(ended)
			table.Stream(ctx, "viewer", routes.Filter{ID: "c"}, a)
		}()
		eventually(t, "the viewer reads", func() bool { return l.open() == 1 })
		l.write(3)
		table.Found(other)
		other.write(1)
		eventually(t, "the lines have come", func() bool { return len(book.has("c")) == 3 })
		if table.Viewers() != 1 {
			t.Fatalf("there are %d viewers", table.Viewers())
		}
		cancel()
		<-ended
		if !slices.Equal(book.has("c"), []int{5, 6, 7}) || book.total() != 3 {
			t.Fatalf("the viewer has seen %v", book.arrived)
		}
		if table.Viewers() != 0 || l.open() != 0 || !a.closed || p.sets != 0 {
			t.Fatal("the viewer has left something behind")
		}
	})
}

// TestManyStreams opens and closes a thousand viewers while lines come.
func TestManyStreams(t *testing.T) {
	table := newTable(t, routes.TableConfig{}, nil)
	l := newLog(t, newContainer("c"))
	table.Found(l)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				book, ended := newLedger(), make(chan struct{})
				go func() {
					defer close(ended)
					table.Stream(ctx, "viewer", routes.Filter{}, &syncAdapter{book: book})
				}()
				eventually(t, "a line has come", func() bool { l.write(1); return book.total() > 0 })
				cancel()
				<-ended
			}
		})
	}
	group.Wait()
	if l.open() != 0 || table.Viewers() != 0 {
		t.Fatalf("%d readers and %d viewers are left", l.open(), table.Viewers())
	}
}

// TestAdd: two routes of one identity are refused, and those there are stay.
func TestAdd(t *testing.T) {
	table := routes.NewTable(routes.TableConfig{Positions: newPositions(), Logger: (&journal{}).logger()})
	var made []*syncAdapter
	catalog := routes.Catalog{Adapters: []adapters.Description{{
		Name: "fake", Options: []adapters.Option{{Name: "broken"}},
		New: func(c adapters.Config) (adapters.Adapter, error) {
			if c.Options["broken"] != "" {
				return nil, errBroken
			}
			made = append(made, &syncAdapter{})
			return made[len(made)-1], nil
		},
	}}}
	f := func(uri, want string) {
		t.Helper()
		d, err := catalog.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := table.Add(d); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Fatalf("adding %q says %q, want %q", uri, got, want)
		}
	}
	f("fake://h:1", "")
	f("fake://h:1?name=other", "")
	f("fake://h:1", `route "fake://h:1": another route has the same name, or the same adapter, address and filters; give one of them a name with ?name=`)
	f("fake://h:2?broken=yes", `route "fake://h:2?broken=yes": broken on purpose`)
	if len(table.Routes()) != 2 || len(made) != 2 || made[0].closed || made[1].closed {
		t.Fatal("the wrong adapters are closed")
	}
}
