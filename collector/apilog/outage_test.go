package apilog

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// TestInactivity: a stream that the engine has forgotten is opened anew, and
// what is read of it has every line once.
func TestInactivity(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	a := startAgent(t, t.TempDir(), e, func(o *Options) { o.Inactivity = 10 * time.Millisecond })
	r := a.reader(a.log(web(true)), record.Oldest())
	wantTexts(t, r.read(1), "one")
	e.change(func() { e.forgetful = true })
	e.write(t0+1, record.Stdout, "two")
	wantTexts(t, r.read(1), "two")
	if a.source.stats.Errors.Load() > 0 {
		t.Error("it counts as an error")
	}
}

// TestRefusedWithPauses: an engine that refuses, or ends each answer at once, is
// not asked again and again without a pause.
func TestRefusedWithPauses(t *testing.T) {
	f := func(what string, fail func(*fakeEngine)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			e := newFakeEngine()
			e.write(t0, record.Stdout, "one")
			e.cutAfter = func() int { fail(e); return len(encode(&e.pieces[0], false)) }
			a := startAgent(t, t.TempDir(), e, nil)
			r := a.reader(a.log(web(true)), record.Oldest())
			wantTexts(t, r.read(1), "one")
			e.write(t0+1, record.Stdout, "two")
			e.mu.Lock()
			before := e.opened
			e.mu.Unlock()
			time.Sleep(time.Minute)
			e.mu.Lock()
			asked := e.opened - before
			e.mu.Unlock()
			if asked == 0 || asked > 30 {
				t.Errorf("%s: it was asked %d times in a minute", what, asked)
			}
			a.stop()
		})
	}
	f("refused", func(e *fakeEngine) { e.err = errCut })
	f("cut", func(e *fakeEngine) { e.cutAfter = func() int { return 0 } })
}

// TestALongAnswerIsNotCut: the log of a container that has stopped, or that stops
// meanwhile, is read at once however long it takes, and however often the
// container is listed.
func TestALongAnswerIsNotCut(t *testing.T) {
	for _, running := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := newFakeEngine()
			const lines = 60
			for i := range int64(lines) {
				e.write(t0+i, record.Stdout, fmt.Sprint(i))
			}
			e.pace = time.Second
			a := startAgent(t, t.TempDir(), e, nil)
			r := a.reader(a.log(web(running)), record.Oldest())
			r.read(10)
			e.change(func() { e.running = false })
			for range lines - 10 {
				a.log(web(false))
				r.read(1)
			}
			time.Sleep(time.Minute)
			e.mu.Lock()
			opened := e.opened
			e.mu.Unlock()
			// Once for the beginning, once for all of it, and of one that ran once
			// for what came at the end.
			want := 2
			if running {
				want++
			}
			if n := a.source.Stats().Errors.Load(); n != 0 || opened != want {
				t.Errorf("running %v: the engine was asked %d times, %d errors", running, opened, n)
			}
			a.stop()
		})
	}
}

// TestAnEngineThatHangs: an answer that is not followed and of which nothing comes
// is given up, though nobody tells of the container again.
func TestAnEngineThatHangs(t *testing.T) {
	f := func(running bool, mute func(engine.LogOptions) bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			e := newFakeEngine()
			e.write(t0, record.Stdout, "one")
			e.running, e.mute = running, mute
			a := startAgent(t, t.TempDir(), e, nil)
			r := a.reader(a.log(web(running)), record.Oldest())
			time.Sleep(time.Minute)
			e.change(func() { e.mute = nil })
			time.Sleep(2 * restGrace)
			if err := r.Next(r.b); err != nil {
				t.Errorf("running %v: %v", running, err)
			}
			a.stop()
		})
	}
	f(true, func(o engine.LogOptions) bool { return o.Last > 0 })
	f(false, func(o engine.LogOptions) bool { return o.Last == 0 })
}

func TestUnreadable(t *testing.T) {
	e := newFakeEngine()
	e.err = fmt.Errorf("asking: %w", engine.ErrUnreadable)
	a := startAgent(t, t.TempDir(), e, nil)
	for _, driver := range []string{"none", "syslog"} {
		c := &record.Container{ID: driver, LogDriver: driver}
		for range 2 {
			_, err := a.source.Log(c)
			if err == nil || !strings.Contains(err.Error(), driver) || !strings.Contains(err.Error(), "--log-driver=json-file") {
				t.Errorf("%s: %v", driver, err)
			}
		}
	}
	if e.opened != 2 {
		t.Errorf("the engine was asked %d times, want once a container", e.opened)
	}
	if _, err := a.source.Log(&record.Container{ID: "x"}); err == nil {
		t.Error("a container of unknown driver was taken")
	}
}

// What is rotated away while nobody reads is noticed.
func TestGap(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	dir := t.TempDir()
	a := startAgent(t, dir, e, nil)
	wantTexts(t, a.reader(a.log(web(true)), record.Oldest()).read(1), "one")
	a.stop()
	e.change(func() { e.pieces = nil })
	e.write(t0+9e9, record.Stdout, "nine")
	a = startAgent(t, dir, e, nil)
	wantTexts(t, a.reader(a.log(web(true)), record.Oldest()).read(2), "one", "nine")
	if n := a.source.Stats().Gaps.Load(); n != 1 {
		t.Errorf("%d gaps were counted, want 1", n)
	}
}
