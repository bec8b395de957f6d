package agent

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// All processors are used when one is nearly full, and one again when little was used
// for a while.
func TestProcessorsByLoad(t *testing.T) {
	var used time.Duration
	var set []bool
	p := &processors{used: func() time.Duration { return used }, set: func(all bool) { set = append(set, all) }}
	period := restPeriod
	f := func(share float64, next time.Duration, want ...bool) {
		t.Helper()
		set = nil
		used += time.Duration(share * float64(period))
		if period = p.look(period); period != next || !slices.Equal(set, want) {
			t.Errorf("after a share of %v all processors are set to %v, want %v; the next look is in %v, want %v", share, set, want, period, next)
		}
	}
	f(0.01, restPeriod)
	f(0.2, busyPeriod)
	f(0.5, busyPeriod)
	f(0.71, busyPeriod, true)
	f(1.8, busyPeriod)
	for range 20 {
		f(0.5, busyPeriod)
		f(0.01, busyPeriod)
	}
	for range 8 {
		f(0.3, busyPeriod)
	}
	f(0.3, busyPeriod, false)
	f(0.04, restPeriod)
	f(0.99, busyPeriod, true)
}

// An agent begins with one processor, unless its user says how many.
func TestOneProcessor(t *testing.T) {
	f := func(want float64, env ...string) {
		t.Helper()
		p := startAgent(t, t.TempDir(), env)
		if got, ok := p.metric("go_sched_gomaxprocs_threads"); !ok || got != want {
			t.Errorf("with %q it uses %v processors, want %v", env, got, want)
		}
	}
	f(1)
	f(1, "GOMAXPROCS=")
	f(3, "GOMAXPROCS=3")
}

// What is changed is what Go uses.
func TestProcessorsAreSet(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // It is put back at the end.
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	runtime.SetDefaultGOMAXPROCS()
	many := runtime.GOMAXPROCS(0)
	p := newProcessors()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Fatalf("it begins with %d processors", n)
	}
	p.before = -time.Hour
	if p.look(time.Second); runtime.GOMAXPROCS(0) != many {
		t.Errorf("under load it has %d processors, want %d", runtime.GOMAXPROCS(0), many)
	}
}
