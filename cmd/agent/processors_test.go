package agent

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// All processors are used while one would be nearly full, and one again when it
// would be half empty; between the two nothing changes.
func TestProcessorsByLoad(t *testing.T) {
	var used time.Duration
	var set []bool
	p := &processors{used: func() time.Duration { return used }, set: func(all bool) { set = append(set, all) }}
	f := func(share float64, want ...bool) {
		t.Helper()
		set = nil
		used += time.Duration(share * float64(processorsPeriod))
		p.look(processorsPeriod)
		if len(set) != len(want) || len(want) > 0 && set[0] != want[0] {
			t.Errorf("after a share of %v all processors are set to %v, want %v", share, set, want)
		}
	}
	f(0.01)
	f(0.5)
	f(0.99, true)
	f(1.8)
	f(0.5)
	f(0.3, false)
	f(0.5)
	f(0.71, true)
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
