package apilog

import (
	"fmt"
	"testing"
	"time"

	"tallyman/collector/record"
)

func TestNoHistory(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	e.write(t0+5, record.Stderr, "two")
	dir := t.TempDir()
	noHistory := func(o *Options) { o.History = func(*record.Container) int { return 0 } }
	a := startAgent(t, dir, e, noHistory)
	_ = a.reader(a.log(web(true)), record.Oldest())
	for !a.begun() {
		time.Sleep(time.Millisecond)
	}
	a.stop()
	// From the first meeting on nothing is left out, whoever is there to read.
	e.write(t0+9, record.Stdout, "three")
	a = startAgent(t, dir, e, noHistory)
	r := a.reader(a.log(web(true)), record.Oldest())
	wantTexts(t, r.read(1), "three")
}

// TestSomeHistory: of the past only as much is copied as some reader begins with.
func TestSomeHistory(t *testing.T) {
	e := newFakeEngine()
	e.strict = true
	for i := range int64(9) {
		// The streams overtake each other.
		e.write(t0+i^1, record.Stream(i%2), fmt.Sprint(i))
	}
	a := startAgent(t, t.TempDir(), e, func(o *Options) { o.History = func(*record.Container) int { return 4 } })
	log := a.log(web(true))
	last := a.reader(log, record.BeforeEnd(2))
	wantTexts(t, a.reader(log, record.BeforeEnd(4)).read(4), "5", "6", "7", "8")
	e.write(t0+100, record.Stdout, "new")
	wantTexts(t, last.read(3), "7", "8", "new")
	// What is not older than the oldest of them comes with them.
	wantTexts(t, a.reader(log, record.Oldest()).read(6), "4", "5", "6", "7", "8", "new")
}

// TestEndOfDisorder: the end of a log whose last records are not in the order of
// their times is behind the last.
func TestEndOfDisorder(t *testing.T) {
	e := newFakeEngine()
	for i, at := range []int64{0, 5, 9, 7} {
		e.write(t0+at*1e6, record.Stream(i%2), fmt.Sprint(at))
	}
	a := startAgent(t, t.TempDir(), e, nil)
	log := a.log(web(true))
	end, last := a.reader(log, record.End()), a.reader(log, record.BeforeEnd(2))
	wantTexts(t, last.read(2), "9", "7")
	e.write(t0+100e6, record.Stdout, "new")
	wantTexts(t, end.read(1), "new")
	wantTexts(t, last.read(1), "new")
}

func (a *agent) begun() bool {
	l, err := a.spool.Log("web")
	if err != nil {
		a.t.Fatal(err)
	}
	return l.Begun()
}
