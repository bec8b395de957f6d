package collector_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// listed starts a Collector and waits for its first list.
func listed(t *testing.T, e *fakeEngine, prepare func(*bench)) *bench {
	t.Helper()
	b := start(t, e, prepare)
	b.until("the list is known", func() bool {
		select {
		case <-b.Listed():
			return true
		default:
			return false
		}
	})
	return b
}

// TestEventsBeforeList: a container that starts while the list is made is found
// though the list does not have it.
func TestEventsBeforeList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("old")
		e.onList = func() {
			e.onList = nil
			e.add("new")
			e.tell(engine.ActionStart, "new")
		}
		b := listed(t, e, nil)
		b.until("both are found", func() bool { return b.wasTold("found name-old", "found name-new") })
		b.stop()
		if at := slices.Index(e.calls, "events"); at < 0 || at > slices.Index(e.calls, "list") {
			t.Fatalf("the engine was asked in the order %v", e.calls)
		}
		if got := b.Containers(); len(got) != 2 || got[0].ID != "new" || got[1].ID != "old" {
			t.Fatalf("the list has %d containers", len(got))
		}
	})
}

// TestBurst: a thousand containers at once, each inspected slowly and told of
// three times, are all found, at most twice each.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.onInspect = func(context.Context, string) error { time.Sleep(5 * time.Millisecond); return nil }
		b := listed(t, e, nil)
		all := ids(1000)
		e.add(all...)
		for _, id := range all {
			e.stream().events <- engine.Event{Time: time.Now(), Action: engine.ActionCreate, ID: id}
		}
		for _, id := range all {
			e.tell(engine.ActionStart, id)
		}
		b.until("all are found", func() bool { return b.Status().Read == len(all) })
		b.stop()
		for _, id := range all {
			if n := b.count("found name-" + id); n < 1 || n > 2 {
				t.Fatalf("%s was found %d times", id, n)
			}
		}
		if s := b.Status(); s.Total != 1000 || s.Running != 1000 || len(s.Unreadable) != 0 {
			t.Fatalf("the status is %+v", s)
		}
	})
}

// TestEventsDuringTheList: events are taken while a long list is worked off,
// and a list is worked off while events never cease.
func TestEventsDuringTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add(ids(100)...)
		var hang atomic.Bool
		hang.Store(true)
		e.onInspect = func(ctx context.Context, _ string) error {
			for hang.Load() && ctx.Err() == nil {
				time.Sleep(time.Second)
			}
			time.Sleep(100 * time.Millisecond)
			return nil
		}
		b := start(t, e, nil)
		b.until("the list is being worked off", func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.inspecting == 4
		})
		for range 1500 {
			e.tell(engine.ActionHealth, "id0000")
		}
		b.until("the events are taken", func() bool { return len(e.stream().events) == 0 })
		hang.Store(false)
		// From now on there is always one more container to look at.
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i = (i + 1) % 100 {
				select {
				case <-b.Listed():
					return
				case <-time.After(10 * time.Millisecond):
					e.tell(engine.ActionHealth, ids(100)[i])
				}
			}
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Error("the list is never worked off")
			return
		}
		b.until("all are found", func() bool { return b.Status().Read == 100 })
		b.stop()
	})
}

// TestVanished: a container that is gone before it can be asked for is found
// from its event, once, and told to be gone, and that is no error.
func TestVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		// Of one that has gone and left nothing there is nothing to be said.
		b := listed(t, e, func(b *bench) { b.source.refuses["gone"] = "no file" })
		e.tell(engine.ActionDestroy, "gone")
		b.until("it is gone", func() bool { return b.wasTold("gone gone") })
		e.tell(engine.ActionDestroy, "short")
		b.until("it was there and is gone", func() bool { return b.wasTold("found told-short", "gone short") })
		// What comes late does not bring it back.
		e.tell(engine.ActionDie, "short")
		e.add("other")
		e.tell(engine.ActionStart, "other")
		b.until("the other is found", func() bool { return b.wasTold("found name-other") })
		b.stop()
		if b.count("found told-short") != 1 || b.count("gone short") != 1 {
			t.Fatalf("told was %v", b.told)
		}
		if !slices.Equal(b.source.ended, []string{"gone", "short"}) {
			t.Fatalf("the source has ended %v", b.source.ended)
		}
		if b.logged("level=WARN")+b.logged("level=ERROR") != 0 {
			t.Fatalf("the log says\n%s", b.journal.String())
		}
		if s := b.Status(); s.Total != 1 || s.Read != 1 {
			t.Fatalf("the status is %+v", s)
		}
	})
}

// TestVanishedAfterTheList: a container that is in the list, gone before it can
// be asked for, and told of only then is found all the same.
func TestVanishedAfterTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("short")
		e.onList = func() { e.onList = nil; e.remove("short") }
		// Of one that has gone and left nothing there is nothing to be said.
		b := listed(t, e, func(b *bench) { b.source.refuses["gone"] = "no file" })
		e.tell(engine.ActionDestroy, "gone")
		b.until("it is gone", func() bool { return b.wasTold("gone gone") })
		e.tell(engine.ActionDestroy, "short")
		b.until("it was there and is gone", func() bool { return b.wasTold("found told-short", "gone short") })
		b.stop()
	})
}

// TestBackAgain: a container that the engine denied for a moment comes back, and
// can go again.
func TestBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("c")
		b := listed(t, e, nil)
		e.remove("c")
		e.tell(engine.ActionDie, "c")
		b.until("it is gone", func() bool { return b.wasTold("gone c") })
		e.add("c")
		e.tell(engine.ActionStart, "c")
		b.until("it is back", func() bool { return b.count("found name-c") == 2 })
		e.remove("c")
		e.tell(engine.ActionDestroy, "c")
		b.until("it is gone again", func() bool { return b.count("gone c") == 2 })
		b.stop()
		if s := b.Status(); s.Total != 0 || s.Read != 0 {
			t.Fatalf("the status is %+v", s)
		}
	})
}

// TestReconcile: what no event has told of is noticed with the next list.
func TestReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("goes")
		b := listed(t, e, nil)
		e.add("came")
		e.remove("goes")
		begun := time.Now()
		b.until("all is as it is", func() bool { return b.wasTold("found name-came", "gone goes") })
		if took := time.Since(begun); took > 61*time.Second {
			t.Fatalf("it took %v", took)
		}
		time.Sleep(time.Minute)
		b.stop()
		if b.source.sweeps != 2 {
			t.Fatalf("the source was swept %d times", b.source.sweeps)
		}
	})
}

// TestUnchanged: a container that runs and is listed as it is known is inspected
// with every tenth list only, and told of with each.
func TestUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("runs", "rests", "bad")
		set := func(id, status, name string) {
			e.do(func() {
				c := *e.containers[id]
				c.Status, c.Name = status, name
				e.containers[id] = &c
			})
		}
		set("runs", "running", "name-runs")
		set("rests", "exited", "name-rests")
		set("bad", "running", "name-bad")
		inspected := make(map[string]int)
		e.onInspect = func(_ context.Context, id string) error {
			e.do(func() { inspected[id]++ })
			return nil
		}
		b := listed(t, e, func(b *bench) { b.source.refuses["bad"] = "no file" })
		f := func(what string, minutes int, runs, rests, bad int) {
			t.Helper()
			time.Sleep(time.Duration(minutes) * time.Minute)
			synctest.Wait()
			e.do(func() {
				if inspected["runs"] != runs || inspected["rests"] != rests || inspected["bad"] != bad {
					t.Errorf("%s: the containers were inspected %v times, want %d, %d and %d", what, inspected, runs, rests, bad)
				}
				clear(inspected)
			})
		}
		time.Sleep(time.Second)
		f("at the start", 0, 1, 1, 1)
		f("while nothing changes", 9, 0, 9, 9)
		f("with the tenth list", 1, 1, 1, 1)
		set("runs", "running", "renamed")
		f("renamed", 1, 1, 1, 1)
		set("runs", "paused", "renamed")
		f("paused", 2, 2, 2, 2)
		set("runs", "running", "renamed")
		f("again as before", 2, 1, 2, 2)
		e.tell(engine.ActionStart, "runs")
		f("an event", 0, 1, 0, 0)
		b.stop()
	})
}

// TestUnreadable: a container whose log cannot be read is listed with the
// reason, logged once, and found when it can be.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("bad", "good")
		b := listed(t, e, func(b *bench) { b.source.refuses["bad"] = "no file" })
		time.Sleep(10 * time.Minute)
		want := []collector.Unreadable{{ID: "bad", Name: "name-bad", Reason: "no file"}}
		if s := b.Status(); !slices.Equal(s.Unreadable, want) || s.Read != 1 || s.Total != 2 {
			t.Fatalf("the status is %+v", s)
		}
		if n := b.logged("no file"); n != 1 {
			t.Fatalf("it was logged %d times", n)
		}
		b.source.mu.Lock()
		delete(b.source.refuses, "bad")
		b.source.mu.Unlock()
		b.until("it is found", func() bool { return b.wasTold("found name-bad") })
		b.stop()
		if s := b.Status(); len(s.Unreadable) != 0 || s.Read != 2 {
			t.Fatalf("the status is %+v", s)
		}
	})
}

// TestSourceLater: a source that cannot be opened at first is tried again, and
// then every container is given to it.
func TestSourceLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add(ids(20)...)
		b := listed(t, e, func(b *bench) { b.openErr = errors.New("no folder") })
		time.Sleep(5 * time.Minute)
		if s := b.Status(); !s.Connected || len(s.Unreadable) != 20 || s.Unreadable[0].Reason != "no folder" {
			t.Fatalf("the status is %+v", s)
		}
		b.note("", func() { b.openErr = nil })
		b.until("all are found", func() bool { return b.Status().Read == 20 })
		b.stop()
		if s := b.Status(); len(s.Unreadable) != 0 {
			t.Fatalf("the status is %+v", s)
		}
		if b.logged("no folder") != 1 || b.logged("logs can be read now") != 1 {
			t.Fatalf("the log says\n%s", b.journal.String())
		}
	})
}

// TestOneAtATime: a container is looked at by one worker at a time, and once
// more when something happens to it meanwhile.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("c")
		b := listed(t, e, nil)
		var busy, looks atomic.Int32
		e.do(func() {
			e.onInspect = func(context.Context, string) error {
				if busy.Add(1) > 1 {
					t.Error("two workers look at once")
				}
				looks.Add(1)
				time.Sleep(time.Second)
				busy.Add(-1)
				return nil
			}
		})
		for range 5 {
			e.tell(engine.ActionHealth, "c")
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		b.stop()
		if n := looks.Load(); n != 2 {
			t.Fatalf("it was looked at %d times", n)
		}
	})
}

// TestOrphans: a removed container of whose log something is left is found and
// gone, once; one that the engine still has is not gone.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("here")
		b := listed(t, e, func(b *bench) {
			b.source.orphans = []*record.Container{{ID: "here", Name: "here"}, {ID: "left", Name: "left"}}
		})
		b.until("it was found and is gone", func() bool { return b.wasTold("found left", "gone left") })
		time.Sleep(10 * time.Minute)
		b.stop()
		if b.count("found left") != 1 || b.count("gone left") != 1 || b.count("gone here") != 0 {
			t.Fatalf("told was %v", b.told)
		}
	})
}

// TestStop: a Collector stops at once while inspections hang, and while the
// engine is away.
func TestStop(t *testing.T) {
	f := func(what string, prepare func(*fakeEngine)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			e := newEngine()
			e.add(ids(20)...)
			prepare(e)
			b := start(t, e, nil)
			time.Sleep(time.Minute)
			begun := time.Now()
			b.stop()
			if took := time.Since(begun); took > 0 {
				t.Errorf("%s: stopping took %v", what, took)
			}
		})
	}
	f("idle", func(*fakeEngine) {})
	f("inspecting", func(e *fakeEngine) {
		e.onInspect = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	})
	f("away", func(e *fakeEngine) { e.away = errAway })
}
