package agent

import (
	"context"
	"os"
	"runtime"
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
	// before is what was used at the last look.
	before time.Duration
}

const (
	// processorsPeriod is how long the process is looked at before its processors
	// become more or fewer.
	processorsPeriod = 10 * time.Second
	// Above busyShare of one processor several are used, below quietShare one: the
	// gap keeps a load between them from going back and forth.
	busyShare, quietShare = 0.7, 0.35
)

// newProcessors begins with one processor. It is nil where the user has set
// GOMAXPROCS, which then counts.
func newProcessors() *processors {
	if _, set := os.LookupEnv("GOMAXPROCS"); set {
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
	tick := time.NewTicker(processorsPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.look(processorsPeriod)
		case <-ctx.Done():
			return
		}
	}
}

// look judges by what was used since the last look, a period ago.
func (p *processors) look(period time.Duration) {
	used := p.used()
	share := float64(used-p.before) / float64(period)
	p.before = used
	if all := share > busyShare || p.all && share >= quietShare; all != p.all {
		p.all = all
		p.set(all)
	}
}

// processTime returns the CPU time of this process, its own and the kernel's for it.
func processTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
