package collector_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/collector/engine"
)

// TestEngineAway: an engine that does not answer is asked again, less and less
// often, and the status says what is missing, as the log does once.
func TestEngineAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		e.add("c")
		e.away = errAway
		b := start(t, e, nil)
		if s := b.Status(); s.Connected || s.Problem == "" {
			t.Fatalf("the status is %+v", s)
		}
		time.Sleep(10 * time.Minute)
		if s := b.Status(); s.Connected || !strings.Contains(s.Problem, errAway.Error()) {
			t.Fatalf("the status is %+v", s)
		}
		e.mu.Lock()
		asked := len(e.calls)
		e.mu.Unlock()
		if asked < 40 || asked > 100 {
			t.Fatalf("it was asked %d times in ten minutes", asked)
		}
		e.setAway(nil)
		b.until("it is there", func() bool { return b.Status().Connected && b.wasTold("found name-c") })
		b.stop()
		if s := b.Status(); s.Problem != "" || s.Engine.Name != "host" {
			t.Fatalf("the status is %+v", s)
		}
		if b.logged("cannot be reached") != 1 || b.logged("following the container engine") != 1 {
			t.Fatalf("the log says\n%s", b.journal.String())
		}
	})
}

// TestReconnect: after a broken stream the events go on where they were, what
// came meanwhile is found, and what went is forgotten.
func TestReconnect(t *testing.T) {
	f := func(what string, seen bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			e := newEngine()
			e.add("stays", "goes")
			begun := time.Now()
			b := listed(t, e, nil)
			want := begun
			if seen {
				time.Sleep(time.Hour)
				want = time.Now()
				e.tell(engine.ActionHealth, "stays")
				b.until("the event is seen", func() bool { return b.count("found name-stays") > 1 })
			}
			e.setAway(errAway)
			e.stream().broken <- errors.New("cut on purpose")
			b.until("the status says it", func() bool { return strings.Contains(b.Status().Problem, "cut on purpose") })
			e.add("came")
			e.remove("goes")
			time.Sleep(time.Minute)
			e.setAway(nil)
			b.until("all is as it is", func() bool { return b.wasTold("found name-came", "gone goes") && b.Status().Connected })
			b.stop()
			if since := e.stream().since; !since.Equal(want) {
				t.Errorf("%s: the events are asked for since %v, want %v", what, since, want)
			}
			if s := b.Status(); s.Total != 2 || s.Read != 2 {
				t.Errorf("%s: the status is %+v", what, s)
			}
		})
	}
	f("after an event", true)
	f("before any event", false)
}

// TestInspectFails: an engine that cannot be asked about its containers is told
// of once, and they are found when it can.
func TestInspectFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		var broken atomic.Bool
		broken.Store(true)
		e.onInspect = func(context.Context, string) error {
			if broken.Load() {
				return errAway
			}
			return nil
		}
		e.add(ids(50)...)
		b := listed(t, e, nil)
		time.Sleep(10 * time.Minute)
		if n := b.logged("could not be inspected"); n != 1 {
			t.Fatalf("it was logged %d times", n)
		}
		broken.Store(false)
		b.until("all are found", func() bool { return b.Status().Read == 50 })
		broken.Store(true)
		time.Sleep(2 * time.Minute)
		b.stop()
		if n := b.logged("could not be inspected"); n != 2 {
			t.Fatalf("it was logged %d times", n)
		}
	})
}
