package apilog

import (
	"strings"
	"testing"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

func TestFollow(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	e.write(t0+5, record.Stderr, "two")
	a := startAgent(t, t.TempDir(), e, nil)
	l := a.log(web(true))
	r, end := a.reader(l, record.Oldest()), a.reader(l, record.End())
	wantTexts(t, r.read(2), "one", "two")
	e.write(t0+7, record.Stdout, "three")
	e.write(t0+8, record.Stdout, "")
	got := r.read(2)
	wantTexts(t, got, "three", "")
	if got[0].time != t0+7 || got[0].stream != record.Stdout {
		t.Errorf("got %+v", got[0])
	}
	// What was there at first is not for a reader that starts at the end.
	wantTexts(t, end.read(2), "three", "")
	// Stopped, restarted, removed.
	e.change(func() { e.running = false })
	a.log(web(false))
	e.change(func() { e.running = true })
	again := web(true)
	a.log(again)
	e.write(t0+20, record.Stdout, "four")
	wantTexts(t, r.read(1), "four")
	e.change(func() { e.running, e.err = false, engine.ErrNotFound })
	a.source.End("web")
	wantTexts(t, r.read(1))
	wantTexts(t, end.read(2), "four")
}

// TestNothingIsTornByALateEvent: a container has been started again and has begun
// a line, and nobody has told of that yet. The line comes whole all the same, and
// one that is really without an end comes when the engine confirms that.
func TestNothingIsTornByALateEvent(t *testing.T) {
	e := newFakeEngine()
	e.finished = web(false).Finished
	half := strings.Repeat("h", partSize)
	add := func(p piece) { e.change(func() { e.pieces = append(e.pieces, p) }) }
	add(piece{time: t0, stream: record.Stdout, text: []byte(half)})
	a := startAgent(t, t.TempDir(), e, nil)
	r := a.reader(a.log(web(false)), record.Oldest())
	asked := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.inspected > 0
	}
	for deadline := time.Now().Add(patience); !asked(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the engine was not asked whether the container still rests")
		}
	}
	add(piece{time: t0, stream: record.Stdout, text: []byte("alf"), whole: true})
	a.log(web(true))
	wantTexts(t, r.read(1), half+"alf")

	add(piece{time: t0 + 9, stream: record.Stderr, text: []byte(half)})
	e.change(func() { e.running, e.finished = false, e.finished.Add(time.Second) })
	stopped := web(false)
	stopped.Finished = e.finished
	a.log(stopped)
	wantTexts(t, r.read(1), half)
}
