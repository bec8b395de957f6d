package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// stalled is how long one file may keep the reader before another reader takes
// over the rest.
const stalled = 100 * time.Millisecond

// engineReaders is how many containers the engine is asked for at the same time:
// an answer takes it up to a second, of which it works for a few milliseconds.
const engineReaders = 100

// job is one container to read.
type job struct {
	known *tracked
	id    string
	pid   int
}

// round is the reading of all containers in one scrape.
type round struct {
	jobs []job
	// next is the first job that nobody has begun.
	next atomic.Int64
	// all is closed when every job is done.
	all chan struct{}

	mu sync.Mutex // guards what follows
	// done are the numbers of the jobs that are done, with what came of them.
	done []outcome
}

// outcome is what came of a job.
type outcome struct {
	job int
	err error
	// unseen is why the engine was asked, nil where it was not.
	unseen error
}

// begin returns the number of a job that nobody has begun, or false.
func (r *round) begin() (int, bool) {
	at := int(r.next.Add(1)) - 1
	return at, at < len(r.jobs)
}

// finish takes in what came of a job. Whoever waits for the round is woken by the
// last one only.
func (r *round) finish(result outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done = append(r.done, result); len(r.done) == len(r.jobs) {
		close(r.all)
	}
}

// outcomes returns what has come so far.
func (r *round) outcomes() []outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

var errLate = errors.New("its files could not be read in time")

// sampleLocked reads the machine and every container. What the kernel does not
// give before the deadline is left out; whoever waits for it goes on alone and
// hands it in later.
func (c *Containers) sampleLocked() {
	r := &round{jobs: make([]job, 0, len(c.tracked)+1), all: make(chan struct{})}
	add := func(known *tracked, id string, pid int) {
		switch {
		case known.look(false).over:
		case known.claim():
			r.jobs = append(r.jobs, job{known, id, pid})
		case known.late:
			c.failLocked(known, errLate)
		}
	}
	if c.machine != nil {
		add(c.machine, "", 0)
	}
	for id, known := range c.tracked {
		add(known, id, known.container.PID)
	}
	if len(r.jobs) == 0 {
		return
	}
	r.done = make([]outcome, 0, len(r.jobs))
	fs, down := c.fs, c.down
	if fs != nil {
		fs.Notice()
	}
	asks := make(chan struct{}, 1)
	read := func() {
		buffer := c.buffers.Get().(*cgroup.Buffer)
		defer c.buffers.Put(buffer)
		for at, ok := r.begin(); ok; at, ok = r.begin() {
			result := outcome{job: at, err: down}
			job := r.jobs[at]
			if fs != nil {
				result.err = c.readCgroup(fs, job, buffer)
			}
			if c.isUnseen(job, result.err) {
				select {
				case asks <- struct{}{}:
				default:
				}
				result.unseen = result.err
				result.err = c.askEngine(job, result.unseen)
			}
			job.known.release(errors.Is(result.err, cgroup.ErrGone))
			r.finish(result)
		}
	}
	c.running.Go(read)
	deadline := time.NewTimer(c.deadline)
	defer deadline.Stop()
	stall := time.NewTicker(stalled)
	defer stall.Stop()
	before, asked := 0, (<-chan struct{})(asks)
	for waiting := true; waiting; {
		select {
		case <-r.all:
			waiting = false
		case <-asked:
			asked = nil
			for range min(engineReaders, len(r.jobs)) - 1 {
				c.running.Go(read)
			}
		case <-stall.C:
			now := len(r.outcomes())
			if now == before {
				c.running.Go(read)
			}
			before = now
		case <-deadline.C:
			waiting = false
		}
	}
	// Those that nobody has begun are given back.
	for at := int(r.next.Swap(int64(len(r.jobs)))); at < len(r.jobs); at++ {
		r.jobs[at].known.release(false)
	}
	late := make([]bool, len(r.jobs))
	for at := range late {
		late[at] = true
	}
	var unseen error
	for _, result := range r.outcomes() {
		late[result.job] = false
		c.settleLocked(r.jobs[result.job].known, result.err)
		if result.unseen != nil && result.err == nil {
			unseen = result.unseen
		}
	}
	if unseen != nil && !c.asked {
		c.logger.Warn("containers' cgroups cannot be seen: the engine is asked for each such container in every scrape, which is slow and tells less", "error", unseen)
	}
	c.asked = unseen != nil
	for at, job := range r.jobs {
		if late[at] {
			job.known.late = true
			c.failLocked(job.known, errLate)
		}
	}
}

// settleLocked takes in what came of reading one container.
func (c *Containers) settleLocked(known *tracked, err error) {
	known.late = false
	if err != nil {
		c.failLocked(known, err)
		return
	}
	known.failing = false
}

// readCgroup reads one container from the kernel.
func (c *Containers) readCgroup(fs *cgroup.FS, job job, buffer *cgroup.Buffer) error {
	err := job.known.read(fs, job.id, job.pid, buffer)
	if job.known.group != nil && job.pid != 0 {
		c.seen.Store(true)
	}
	return err
}

// isUnseen reports whether the engine has to be asked for a container, for what
// came of reading its cgroup. One that was not found may have ended meanwhile, or
// may be where the agent does not see it, as all are when it has process IDs of
// its own. As long as none was ever found, only the engine can tell.
func (c *Containers) isUnseen(job job, err error) bool {
	if err == nil || c.stats == nil || job.pid == 0 || job.known.group != nil {
		return false
	}
	return !errors.Is(err, cgroup.ErrGone) || !c.seen.Load()
}

// askEngine reads one container from the engine. Unseen is why it is asked.
func (c *Containers) askEngine(job job, unseen error) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.deadline)
	defer cancel()
	content, err := c.stats(ctx, job.id)
	if err == nil {
		err = job.known.fromEngine(content, job.id)
	}
	switch {
	case err == nil || errors.Is(err, cgroup.ErrGone):
		return err
	case errors.Is(unseen, cgroup.ErrGone):
		// That is no reason here, and must not be taken for one.
		return fmt.Errorf("asking the engine: %w", err)
	}
	return fmt.Errorf("asking the engine: %w", errors.Join(err, unseen))
}

// Track opens what there is of a container that has been started, so that it is
// known also when it ends before the next scrape. It does nothing while nobody
// scrapes.
func (c *Containers) Track(container *record.Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fs == nil || time.Since(c.scraped) > inUse || !container.Running || container.PID == 0 {
		return
	}
	if known := c.tracked[container.ID]; known != nil && !known.isRunOf(container) {
		c.forgetLocked(container.ID)
	}
	known := c.followLocked(container.ID, container)
	if known.look(false).path != "" || !known.claim() {
		return
	}
	fs := c.fs
	c.running.Go(func() {
		err := c.readCgroup(fs, job{known, container.ID, container.PID}, new(cgroup.Buffer))
		known.release(errors.Is(err, cgroup.ErrGone) && c.seen.Load())
	})
}

// Forget takes the last sample of a container that has stopped, if there is
// still one to take, and closes its files: they would keep its network alive.
func (c *Containers) Forget(id string) {
	c.mu.Lock()
	known := c.tracked[id]
	c.mu.Unlock()
	if known != nil {
		known.finish(c, id, 0)
	}
}
