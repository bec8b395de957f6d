package agent

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// processors has Go use one processor while one is enough: it takes millions of
// lines a second. With several a line that comes by itself wakes a second thread
// to share work that is over by then, which is a third of what it costs.
type processors struct {
	// used returns the CPU time that the process has taken.
	used func() time.Duration
	// set allows all processors, or one.
	set func(all bool)
	all bool
	// before is what was used at the last look, calm for how long little was.
	before, calm time.Duration
}

const (
	// Above busyShare of one processor all are used, from the next look on. Below
	// quietShare for calmTime one is used again: a load between the two, or one that
	// comes and goes, does not go back and forth.
	busyShare, quietShare = 0.7, 0.35
	calmTime              = 10 * time.Second
	// busyPeriod is the time between two looks while the process does something,
	// restPeriod while it takes less than restShare.
	busyPeriod, restPeriod = time.Second, 10 * time.Second
	restShare              = 0.05
)

// newProcessors begins with one processor. It is nil where the user has set
// GOMAXPROCS, which then counts.
func newProcessors() *processors {
	// As Go reads it: what is no number above 0 is not set.
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		return nil
	}
	p := &processors{used: processTime, set: func(all bool) {
		if all {
			runtime.SetDefaultGOMAXPROCS()
		} else {
			runtime.GOMAXPROCS(1)
		}
	}}
	p.set(false)
	return p
}

// run looks at the process until ctx ends.
func (p *processors) run(ctx context.Context) {
	period := busyPeriod
	timer := time.NewTimer(period)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			period = p.look(period)
			timer.Reset(period)
		case <-ctx.Done():
			return
		}
	}
}

// look judges by what was used since the last look, a period ago, and returns when
// to look again.
func (p *processors) look(period time.Duration) time.Duration {
	used := p.used()
	share := float64(used-p.before) / float64(period)
	p.before = used
	if p.calm += period; share >= quietShare {
		p.calm = 0
	}
	if all := share > busyShare || p.all && p.calm < calmTime; all != p.all {
		p.all = all
		p.set(all)
	}
	if share < restShare && !p.all {
		return restPeriod
	}
	return busyPeriod
}

// processTime returns the CPU time of this process, its own and the kernel's for it.
func processTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
