// Package recent keeps in memory what containers have used of late, for people
// who look: five minutes by the second, an hour by ten seconds, and a day by the
// minute. Every second is sampled only while somebody looks.
package recent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// Window is for how long points are kept, and how far they are apart.
type Window struct {
	Name             string
	Length, Interval time.Duration
}

func (w Window) points() int { return int(w.Length / w.Interval) }

// windows are those that are kept, the shortest first.
var windows = [...]Window{
	{"5m", 5 * time.Minute, time.Second},
	{"1h", time.Hour, 10 * time.Second},
	{"24h", 24 * time.Hour, time.Minute},
}

// Windows returns the windows that are kept, the shortest first.
func Windows() []Window { return slices.Clone(windows[:]) }

// The pauses between samples: while somebody looks, which he does for watched
// after he has asked, and else.
const (
	watchedEvery = time.Second
	quietEvery   = 10 * time.Second
	watched      = 15 * time.Second
)

// A container whose processor time has not moved for restsAfter rests: it is read
// in full every fullEvery, and between only asked whether that still holds. What
// it has written last is on disk by then, and counted.
const (
	restsAfter = time.Minute
	fullEvery  = time.Minute
)

// The pause until a cgroup is tried again that cannot be opened doubles from the
// first to the second. Most of these will never be: they are not of this host.
const (
	firstRetry = quietEvery
	lastRetry  = 10 * time.Minute
)

// parts are what is read of each cgroup.
const parts = cgroup.Limits | cgroup.Brief | cgroup.Network

// Options configure a Sampler.
type Options struct {
	// Containers returns the containers that exist now.
	Containers func() []*record.Container
	// Root is the host's root folder, "/" when empty.
	Root string
	// Logger is told once when no cgroup can be read. Nil for none.
	Logger *slog.Logger
}

// Sampler samples the running containers. Its methods may be called from any
// goroutine.
type Sampler struct {
	options Options
	// wake tells Run that somebody looks.
	wake chan struct{}

	mu sync.Mutex // guards what follows
	// looked is when somebody last looked.
	looked  time.Time
	entries map[string]*entry
	fs      *cgroup.FS
	told    bool
	buffer  cgroup.Buffer
	// scratch is what was read last, of whichever container.
	scratch cgroup.Sample
	// round counts the samples.
	round uint64
}

// Now is what a container uses now, with counters since it was started.
type Now struct {
	Point
	MemoryLimit uint64 // 0 for none
	Pids        uint64
	// The counters are in bytes.
	NetworkRxTotal, NetworkTxTotal, DiskReadTotal, DiskWriteTotal uint64
}

// entry is one run of a container.
type entry struct {
	container *record.Container
	group     *cgroup.Cgroup // nil when it cannot be read
	// retry is when the cgroup may be opened again after that has failed, and
	// pause how long it was until then.
	retry time.Time
	pause time.Duration
	// newest and before are the last two readings, full is when one was last of
	// everything, and moved when the processor time last moved, as far as is known:
	// when the container was started.
	newest, before counters
	full, moved    time.Time
	rings          [len(windows)]ring
	// round is that in which the container was last seen to exist.
	round uint64
}

// New returns a Sampler that does nothing until Run.
func New(o Options) *Sampler {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sampler{options: o, wake: make(chan struct{}, 1), entries: make(map[string]*entry)}
}

// Run samples until ctx ends, and closes all files then.
func (s *Sampler) Run(ctx context.Context) {
	defer s.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			// What was due in ten seconds is due in one.
			timer.Reset(max(0, watchedEvery-time.Since(last)))
			continue
		case <-timer.C:
		}
		last = time.Now()
		s.sample(last)
		timer.Reset(max(0, s.pause()-time.Since(last)))
	}
}

// pause returns how long it is to the next sample.
func (s *Sampler) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < watched {
		return watchedEvery
	}
	return quietEvery
}

// look notes that somebody looks.
func (s *Sampler) lookLocked() {
	quiet := time.Since(s.looked) >= watched
	s.looked = time.Now()
	if quiet {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Now returns what a container uses now. It is false for a container that does
// not run or has been read less than twice. Asking keeps the sampling by the
// second going.
func (s *Sampler) Now(id string) (Now, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookLocked()
	e := s.entries[id]
	if e == nil || e.group == nil || e.before.at.IsZero() {
		return Now{}, false
	}
	c := &e.newest
	return Now{
		Point: c.since(&e.before), MemoryLimit: c.limit, Pids: c.pids,
		NetworkRxTotal: c.rx, NetworkTxTotal: c.tx, DiskReadTotal: c.read, DiskWriteTotal: c.written,
	}, true
}

// Points returns what a container has used, oldest first. A window that is not
// one of Windows has none.
func (s *Sampler) Points(id, window string) []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookLocked()
	if e := s.entries[id]; e != nil {
		for i := range e.rings {
			if e.rings[i].window.Name == window {
				return e.rings[i].list(time.Now())
			}
		}
	}
	return []Point{}
}

// Stopped closes the files of a container that has stopped: they would keep its
// network alive. What it has used is kept for as long as it exists.
func (s *Sampler) Stopped(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		e.stop()
	}
}

func (e *entry) stop() {
	if e.group != nil {
		e.group.Close()
		e.group = nil
	}
}

func (s *Sampler) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		e.stop()
	}
}

// sample reads every running container.
func (s *Sampler) sample(now time.Time) {
	list := s.options.Containers()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fs == nil {
		fs, err := cgroup.NewFS(s.options.Root, parts)
		if err != nil {
			if !s.told {
				s.options.Logger.Warn("the use of resources cannot be shown", "error", err)
			}
			s.told = true
			return
		}
		s.fs = fs
	}
	s.fs.Notice()
	s.round++
	for _, c := range list {
		s.sampleOneLocked(c, now)
	}
	for id, e := range s.entries {
		if e.round != s.round {
			e.stop()
			delete(s.entries, id)
		}
	}
}

func (s *Sampler) sampleOneLocked(c *record.Container, now time.Time) {
	e := s.entries[c.ID]
	if e == nil {
		e = &entry{}
		for i := range windows {
			e.rings[i].window = &windows[i]
		}
		s.entries[c.ID] = e
	}
	e.round = s.round
	if e.container == nil || e.container.PID != c.PID || !e.container.Started.Equal(c.Started) {
		e.restart()
	}
	e.container = c
	if !c.Running || c.PID == 0 {
		e.stop()
		return
	}
	if e.group == nil && !s.openLocked(e, now) {
		return
	}
	next, err := s.readLocked(e, now)
	if errors.Is(err, cgroup.ErrGone) {
		e.stop()
		return
	}
	// One file that cannot be read leaves its own values out.
	e.before, e.newest = e.newest, next
	for i := range e.rings {
		e.rings[i].add(e.newest)
	}
}

// openLocked opens a container's cgroup, unless that has failed not long ago.
func (s *Sampler) openLocked(e *entry, now time.Time) bool {
	if now.Before(e.retry) {
		return false
	}
	group, err := s.fs.Open(e.container.PID, e.container.ID)
	if err != nil {
		// It ends just now, or its cgroup is not this host's.
		e.pause = min(max(2*e.pause, firstRetry), lastRetry)
		e.retry = now.Add(e.pause)
		return false
	}
	e.group, e.moved = group, e.container.Started
	return true
}

// readLocked takes a reading of a container.
func (s *Sampler) readLocked(e *entry, now time.Time) (counters, error) {
	if now.Sub(e.moved) >= restsAfter && now.Sub(e.full) < fullEvery && now.Sub(s.looked) >= watched {
		err := e.group.ReadProcessor(&s.scratch, &s.buffer)
		if used := s.scratch.CPU.Usage; err != nil || used.OK && used.N == e.newest.cpu {
			same := e.newest
			same.at = now
			return same, err
		}
	}
	err := e.group.Read(&s.scratch, &s.buffer)
	next := countersOf(&s.scratch, now)
	e.full = now
	if next.cpu != e.newest.cpu && !e.newest.at.IsZero() || !s.scratch.CPU.Usage.OK {
		e.moved = now
	}
	return next, err
}

// restart begins a new run: its counters begin at nothing.
func (e *entry) restart() {
	e.stop()
	e.newest, e.before = counters{}, counters{}
	e.full = time.Time{}
	e.retry, e.pause = time.Time{}, 0
	for i := range e.rings {
		e.rings[i].last = counters{}
	}
}
