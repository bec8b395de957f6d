package routes_test

import (
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

// TestSavesWhatMoves: a position that has moved is saved within a second, alone;
// while none moves nearly nothing is done.
func TestSavesWhatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, book := newPositions(), newLedger()
		table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
		quiet := newLog(t, record.Container{ID: "quiet", Created: time.Now().Add(time.Hour)})
		busy := newLog(t, record.Container{ID: "busy", Created: time.Now().Add(time.Hour)})
		table.Found(quiet)
		table.Found(busy)
		stop := run(t, table)
		defer stop()
		count := func() (sets, saves int) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.sets, p.saves
		}
		time.Sleep(time.Second)
		sets, saves := count()
		if sets != 2 {
			t.Fatalf("%d positions were set at the start, want 2", sets)
		}
		time.Sleep(time.Hour)
		if now, saved := count(); now != sets || saved-saves > 400 {
			t.Errorf("in a quiet hour %d positions were set and %d times was saved", now-sets, saved-saves)
		}
		for n := range 3 {
			busy.write(1)
			time.Sleep(time.Second)
			if !slices.Contains(book.has("busy"), n) {
				t.Fatalf("line %d has not come", n)
			}
			if now, _ := count(); now != sets+n+1 {
				t.Errorf("after line %d %d positions were set, want %d", n, now-sets, n+1)
			}
			if at, _, _ := p.Get("fake://host:1", "busy"); at != place(n+1) {
				t.Errorf("after line %d the position %v is kept", n, at)
			}
		}
	})
}

// TestSlowSave: a disk that does not answer is told of, once, while lines are delivered
// all the same, and so is its end.
func TestSlowSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, book, j := &stuckPositions{positions: newPositions(), stuck: make(chan struct{})}, newLedger(), &journal{}
		table := newTable(t, routes.TableConfig{Positions: p, Logger: j.logger()}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		defer stop()
		release := sync.OnceFunc(func() { close(p.stuck) })
		defer release()
		time.Sleep(10 * time.Second)
		if err := table.SaveError(); err != nil {
			t.Fatalf("said too early: %v", err)
		}
		for n := range 3 {
			l.write(1)
			time.Sleep(time.Minute)
			if !slices.Contains(book.has("c"), n) {
				t.Fatalf("line %d has not come", n)
			}
		}
		if err := table.SaveError(); err == nil || !strings.Contains(err.Error(), "has not answered for 10s") {
			t.Fatalf("the table says %v", err)
		}
		release()
		time.Sleep(time.Second)
		if err := table.SaveError(); err != nil {
			t.Fatalf("still said: %v", err)
		}
		if slow, again := j.count("cannot be saved"), j.count("are saved again"); slow != 1 || again != 1 {
			t.Fatalf("told %d times that positions cannot be saved, %d times that they are again:\n%s", slow, again, j.String())
		}
	})
}

// stuckPositions cannot be saved before stuck is closed.
type stuckPositions struct {
	*positions
	stuck chan struct{}
}

func (p *stuckPositions) Save() error {
	<-p.stuck
	return p.positions.Save()
}
