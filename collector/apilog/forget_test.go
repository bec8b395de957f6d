package apilog

import (
	"testing"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

func TestForgottenWhenNobodyReads(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	var saved []record.Position
	a := startAgent(t, t.TempDir(), e, func(o *Options) {
		o.Keep, o.Saved = time.Nanosecond, func(string) []record.Position { return saved }
	})
	l := a.log(web(true))
	for range 2 {
		r := a.reader(l, record.Oldest())
		wantTexts(t, r.read(1), "one")
		sweep := func() int {
			a.source.Sweep()
			time.Sleep(time.Millisecond) // Longer than it is kept.
			a.source.Sweep()
			return len(a.spool.Containers())
		}
		if sweep() != 1 {
			t.Error("a log that is read was removed")
		}
		saved = []record.Position{r.Position()}
		_ = r.Close()
		if sweep() != 1 {
			t.Error("a log with a saved position was removed")
		}
		saved = nil
		if sweep() != 0 {
			t.Error("a log that nobody reads is kept")
		}
	}
}

func TestOrphans(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	dir := t.TempDir()
	a := startAgent(t, dir, e, nil)
	wantTexts(t, a.reader(a.log(web(true)), record.Oldest()).read(1), "one")
	a.stop()
	e.change(func() { e.err, e.running = engine.ErrNotFound, false })
	a = startAgent(t, dir, e, nil)
	left := a.source.Orphans()
	if len(left) != 1 || left[0].Name != "web" || left[0].Running {
		t.Fatalf("orphans: %+v", left)
	}
	r := a.reader(a.log(left[0]), record.Oldest())
	a.source.End("web")
	wantTexts(t, r.read(2), "one")
}
