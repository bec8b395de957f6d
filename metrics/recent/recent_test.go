package recent

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is a time so many seconds after the first reading.
func at(seconds float64) time.Time {
	return time.Unix(1795225145, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// TestRingKeepsItsWindow feeds a ring by the second, with a pause in between.
func TestRingKeepsItsWindow(t *testing.T) {
	r := ring{window: &Window{"test", 10 * time.Second, time.Second}}
	for second := range 25 {
		// One processor for half of the time, and a kilobyte a second.
		r.add(counters{at: at(float64(second)), cpu: uint64(second) * 5e8, memory: 7 << 20, rx: uint64(second) * 1000})
	}
	points := r.list(at(24))
	if len(points) != 10 {
		t.Fatalf("%d points are kept, want 10", len(points))
	}
	for i, p := range points {
		if want := at(float64(15 + i)); !p.Time.Equal(want) {
			t.Errorf("point %d is of %v, want %v", i, p.Time, want)
		}
		if p.CPUPercent != 50 || p.MemoryBytes != 7<<20 || p.NetworkRx != 1000 || p.NetworkTx != 0 {
			t.Errorf("point %d is %+v", i, p)
		}
	}
	if late := r.list(at(30)); len(late) != 5 {
		t.Errorf("after six seconds without a reading %d points are told, want 5", len(late))
	}
	r.add(counters{at: at(24.5), cpu: 20e9})
	if again := r.list(at(24)); len(again) != 10 || !again[9].Time.Equal(at(24)) {
		t.Errorf("a reading that comes early made a point")
	}
}

// TestRingMeansOverItsInterval holds that a slow ring tells of all the time
// between its points.
func TestRingMeansOverItsInterval(t *testing.T) {
	r := ring{window: &Window{"test", time.Minute, 10 * time.Second}}
	for second := range 21 {
		used := uint64(0)
		if second > 5 {
			used = 2e9 // Two seconds of a processor, at once.
		}
		r.add(counters{at: at(float64(second)), cpu: used})
	}
	points := r.list(at(20))
	if len(points) != 2 || points[0].CPUPercent < 20 || points[0].CPUPercent > 23 || points[1].CPUPercent != 0 {
		t.Errorf("the points are %+v, want about 20 %% and none", points)
	}
}

func TestCountersThatBeginAnew(t *testing.T) {
	before, now := counters{at: at(0), cpu: 5e9, rx: 100}, counters{at: at(1), cpu: 1e9, rx: 50}
	if p := now.since(&before); p.CPUPercent != 0 || p.NetworkRx != 0 {
		t.Errorf("counters that went back give %+v", p)
	}
}

// TestRingOfOneThatRests: what does not change takes no room, and is told point
// by point all the same; a pause is not filled in.
func TestRingOfOneThatRests(t *testing.T) {
	r := ring{window: &Window{"test", time.Hour, 10 * time.Second}}
	const day = 24 * 360
	for n := range day {
		r.add(counters{at: at(float64(10 * n)), cpu: 7, memory: 1 << 20})
		if n%1000 == 0 && len(r.runs) > 3 {
			t.Fatalf("after %d readings there are %d runs", n, len(r.runs))
		}
	}
	end := float64(10 * (day - 1))
	points := r.list(at(end))
	if len(points) != 360 {
		t.Fatalf("%d points are told, want 360", len(points))
	}
	for i, p := range points {
		if want := at(end - float64(10*(359-i))); p.Time.Sub(want).Abs() > 20*time.Millisecond || p.MemoryBytes != 1<<20 {
			t.Fatalf("point %d is %+v, want one of %v", i, p, want)
		}
	}
	for n := range 3 {
		r.add(counters{at: at(end + 600 + float64(10*n)), cpu: 7, memory: 1 << 20})
	}
	points = r.list(at(end + 620))
	if n := len(points); points[n-1].Time.Sub(points[n-3].Time) > 21*time.Second || points[n-3].Time.Sub(points[n-4].Time) < 590*time.Second {
		t.Errorf("after a pause of ten minutes the last points are %v", points[n-4:])
	}
	if late := r.list(at(end + 600*24*3600)); len(late) != 0 {
		t.Errorf("after 600 days %d points are told", len(late))
	}
}

// TestRingOfOneThatChanges: it never has more points than its window holds, nor
// more than were not too old when the newest came.
func TestRingOfOneThatChanges(t *testing.T) {
	r := ring{window: &Window{"test", 5 * time.Minute, time.Second}}
	for n := range 1000 {
		r.add(counters{at: at(float64(10 * n)), memory: uint64(n)})
	}
	if len(r.runs) > 32 {
		t.Errorf("%d points are kept of which 31 are told", len(r.runs))
	}
	for n := range 1000 {
		r.add(counters{at: at(10000 + float64(n)), memory: uint64(n)})
	}
	points := r.list(at(10999))
	if len(points) != 300 || len(r.runs) > 300 {
		t.Fatalf("%d points are told of %d runs", len(points), len(r.runs))
	}
	for i, p := range points {
		if p.MemoryBytes != float64(700+i) {
			t.Fatalf("point %d has %v", i, p.MemoryBytes)
		}
	}
}
