package routes_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestBackoff: the pause between attempts grows to its limit, and begins anew
// after a success; the state is told once each way.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		var mu sync.Mutex
		var at []time.Time // guarded by mu, as is works
		works := false
		a := &syncAdapter{answer: func(context.Context, []string) error {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			if works {
				return nil
			}
			return errBroken
		}}
		set := func(to bool) {
			mu.Lock()
			defer mu.Unlock()
			works, at = to, nil
		}
		table := newTable(t, routes.TableConfig{Logger: j.logger()}, map[string]adapters.Adapter{uri: a})
		route := table.Routes()[0]
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		// grows checks the pauses of an outage of n attempts.
		grows := func(n int) {
			t.Helper()
			set(false)
			l.write(1)
			eventually(t, "the destination was tried often enough", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(at) >= n
			})
			mu.Lock()
			defer mu.Unlock()
			limit := 100 * time.Millisecond
			for i := 1; i < n; i++ {
				if pause := at[i].Sub(at[i-1]); pause < limit/2 || pause > limit {
					t.Fatalf("the pause before attempt %d is %v, want up to %v", i+1, pause, limit)
				}
				limit = min(2*limit, 30*time.Second)
			}
			if lag := route.Lag(); !lag.Down || lag.Problem != errBroken.Error() {
				t.Fatalf("the route says %+v", lag)
			}
		}
		grows(11)
		set(true)
		eventually(t, "it is up", func() bool { return !route.Lag().Down && route.Lag().Bytes == 0 })
		if problem := route.Lag().Problem; problem != "" {
			t.Fatalf("a route that works has the problem %q", problem)
		}
		time.Sleep(2 * time.Minute)
		grows(6)
		stop()
		if down, up := j.count("cannot be reached or has failed"), j.count("takes lines again"); down != 2 || up != 1 {
			t.Fatalf("it was told %d times that it is down, %d times that it is up:\n%s", down, up, j.String())
		}
		if n := route.Stats().Retries.Load(); n < 15 {
			t.Fatalf("%d retries are counted", n)
		}
	})
}

// TestProblemDuringAnAttempt: a route that is down says why also while it tries
// again.
func TestProblemDuringAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{syncAdapter: syncAdapter{book: newLedger()}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: h})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(1)
		h.next(t).done(errBroken)
		p := h.next(t)
		if lag := table.Routes()[0].Lag(); !lag.Down || lag.Problem != errBroken.Error() || lag.Age == 0 {
			t.Errorf("the route says %+v", lag)
		}
		p.done(nil)
		stop()
	})
}

// TestFlapping: a destination that takes a batch and fails at the next, over
// and over, is retried in good time and does not fill the log.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		n := 0
		a := &syncAdapter{answer: func(context.Context, []string) error {
			if n++; n%2 == 0 {
				return errBroken
			}
			return nil
		}}
		table := newTable(t, routes.TableConfig{Logger: j.logger()}, map[string]adapters.Adapter{uri: a})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(30000)
		time.Sleep(3 * time.Minute)
		stop()
		if n < 3000 {
			t.Fatalf("only %d batches were tried in three minutes", n)
		}
		if lines := j.count("\n"); lines > 8 {
			t.Fatalf("%d failures filled the log with %d lines:\n%s", n/2, lines, j.String())
		}
		if j.count("failures_not_logged") == 0 {
			t.Fatalf("it is not said how many failures were not logged:\n%s", j.String())
		}
	})
}

// TestSeekFails: as long as a log cannot be read again from where a delivery
// failed, nothing behind it is sent.
func TestSeekFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, book := &journal{}, newLedger()
		fail := true
		a := &syncAdapter{book: book, answer: func(context.Context, []string) error {
			if fail {
				fail = false
				return errBroken
			}
			return nil
		}}
		table := newTable(t, routes.TableConfig{Logger: j.logger()}, map[string]adapters.Adapter{uri: a})
		l := newLog(t, newContainer("c"))
		l.write(20)
		l.seekErr = errors.New("the disk is gone")
		table.Found(l)
		stop := run(t, table)
		time.Sleep(10 * time.Second)
		l.write(20)
		time.Sleep(10 * time.Second)
		if got := book.has("c"); len(got) > 0 {
			t.Fatalf("lines %v were sent past those that failed", got)
		}
		l.change(func() { l.seekErr = nil })
		eventually(t, "all has come", func() bool { return len(book.has("c")) == 40 })
		stop()
		book.check(t, map[string][]int{"c": numbers(40)}, true)
		if n := j.count("the disk is gone"); n != 1 {
			t.Fatalf("it was told %d times", n)
		}
	})
}

// TestRotatedAwayDuringOutage: when the failed records are gone, that is counted
// as a loss, and the route goes on at what is left.
func TestRotatedAwayDuringOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := newLedger()
		l := newLog(t, newContainer("c"))
		fail := true
		a := &syncAdapter{book: book, answer: func(context.Context, []string) error {
			if fail {
				fail = false
				l.mu.Lock()
				l.lost = true
				l.mu.Unlock()
				return errBroken
			}
			return nil
		}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: a})
		l.write(20)
		table.Found(l)
		stop := run(t, table)
		eventually(t, "it goes on", func() bool { return len(book.has("c")) == 20 })
		stop()
		if n := table.Routes()[0].Tally().Gaps; n != 1 {
			t.Fatalf("%d losses are counted", n)
		}
	})
}

// TestReadErrors: a log that cannot be read is tried again at a steady pace,
// however often it changes, and told of once.
func TestReadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, book := &journal{}, newLedger()
		table := newTable(t, routes.TableConfig{Logger: j.logger()}, map[string]adapters.Adapter{uri: &syncAdapter{book: book}})
		l := newLog(t, newContainer("c"))
		l.readErr = errors.New("the disk is gone")
		table.Found(l)
		stop := run(t, table)
		for range 100 {
			l.write(1)
			time.Sleep(10 * time.Millisecond)
		}
		l.mu.Lock()
		before := l.reads
		l.mu.Unlock()
		time.Sleep(time.Minute)
		l.mu.Lock()
		if n := l.reads - before; n < 50 || n > 65 {
			t.Errorf("the log was tried %d times in a minute", n)
		}
		l.readErr = nil
		l.mu.Unlock()
		eventually(t, "all has come", func() bool { return len(book.has("c")) == 100 })
		stop()
		if n := j.count("the disk is gone"); n != 1 {
			t.Fatalf("it was told %d times", n)
		}
		if table.Routes()[0].Stats().ReadErrors.Load() < 100 {
			t.Fatal("the errors are not counted")
		}
	})
}

// TestGivenUpWhileDown: what a log gives up is counted and let go of though the
// destination takes nothing, so that the space is free; the rest waits.
func TestGivenUpWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		book := newLedger()
		a := &syncAdapter{book: book, answer: func(context.Context, []string) error {
			if up.Load() {
				return nil
			}
			return errBroken
		}}
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{uri: a})
		l := newLog(t, newContainer("c"))
		table.Found(l)
		stop := run(t, table)
		l.write(60)
		route := table.Routes()[0]
		eventually(t, "the route is down", func() bool { return route.Lag().Down })
		// Long pauses between attempts: this is not to wait for one.
		time.Sleep(10 * time.Minute)
		before := route.Stats().Retries.Load()
		l.change(func() { l.floor = 30 })
		synctest.Wait()
		tally := route.Tally()
		if got := tally.DroppedFor("spool_full").Lines; got != 30 || route.Stats().Retries.Load() != before {
			t.Errorf("%d lines are given up after %d more attempts", got, route.Stats().Retries.Load()-before)
		}
		if tally.Behind != 30 {
			t.Errorf("%d lines are behind", tally.Behind)
		}
		up.Store(true)
		eventually(t, "the rest has come", func() bool { return book.total() == 30 })
		stop()
		if got := book.has("c"); got[0] != 30 || got[29] != 59 {
			t.Errorf("lines %v came", got)
		}
	})
}

// TestGivenUpBeforeSince: a line that is too old for the route is filtered and not
// dropped, also where its log gives it up.
func TestGivenUpBeforeSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		l := newLog(t, record.Container{ID: "c", Created: begun.Add(-time.Hour)})
		l.timeOf = func(n int) int64 { return begun.Add(time.Duration(n-40) * time.Minute).UnixNano() }
		l.write(40)
		l.floor = 30
		since := "fake://host:1?since=15m"
		table := newTable(t, routes.TableConfig{}, map[string]adapters.Adapter{since: &syncAdapter{book: newLedger()}})
		table.Found(l)
		stop := run(t, table)
		time.Sleep(time.Minute)
		tally := table.Routes()[0].Tally()
		if got := tally.DroppedFor("spool_full").Lines; got != 5 || tally.Filtered.Lines != 25 || tally.Delivered.Lines != 10 || !tally.Balanced {
			t.Errorf("%d lines are given up, %d filtered and %d delivered", got, tally.Filtered.Lines, tally.Delivered.Lines)
		}
		stop()
	})
}
