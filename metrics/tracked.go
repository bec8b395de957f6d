package metrics

import (
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// tracked is what is kept of one run of a container from one scrape to the next.
type tracked struct {
	// These are guarded by the mutex of Containers.

	// container is what it was at the last scrape, nil for the root cgroup.
	container *record.Container
	name      string
	own       map[string]string
	block     *block
	// failing says that the last reading failed, and was logged.
	failing bool
	// late says that the last reading was not done in time: whoever does it has
	// the claim.
	late bool
	// killed says that the engine has seen the kernel kill a process of this run
	// for want of memory, or the run's end by it.
	killed bool
	// watched is the first process, nil where its end cannot be seen.
	watched *os.File
	// history are the last samples for cAdvisor's API, a ring of which oldest is the
	// first.
	history []apiStats
	oldest  int

	claims sync.Mutex // guards what follows, never for long
	// claimed says that somebody reads, doomed that he has to close the files
	// when he is done.
	claimed, doomed bool
	// released is closed when the claim is given back, nil when nobody waits.
	released chan struct{}
	// over says that the run has ended: the sample is the last, or there is none.
	over bool
	// path is the cgroup's path and namespace its network's inode, once known.
	path      string
	namespace uint64
	// sample is the newest, taken at the time at; fresh says that it was not
	// shown yet. It is nil at first, and never written to again before a newer
	// one takes its place.
	sample *cgroup.Sample
	at     time.Time
	fresh  bool

	// These belong to whoever has the claim.

	// group is nil while the cgroup is not open.
	group *cgroup.Cgroup
	// spare is the memory for the next sample.
	spare *cgroup.Sample
}

// claim takes the files. It reports false when another has them, or the run is
// over.
func (t *tracked) claim() bool {
	t.claims.Lock()
	defer t.claims.Unlock()
	if t.claimed || t.doomed || t.over {
		return false
	}
	t.claimed = true
	return true
}

// release gives the claim back; over says that the run has ended.
func (t *tracked) release(over bool) {
	t.claims.Lock()
	defer t.claims.Unlock()
	t.claimed = false
	if t.released != nil {
		close(t.released)
		t.released = nil
	}
	t.over = t.over || over
	if t.doomed || t.over {
		t.closeLocked()
	}
}

// closeLocked closes the files.
func (t *tracked) closeLocked() {
	if t.group != nil {
		t.group.Close()
		t.group = nil
	}
}

// publish makes the spare sample the newest, and the one before it the spare.
func (t *tracked) publish(path string, namespace uint64) {
	t.claims.Lock()
	defer t.claims.Unlock()
	t.path, t.namespace = path, namespace
	t.sample, t.spare = t.spare, t.sample
	t.at, t.fresh = time.Now(), true
}

// end takes the run for ended, without a last reading. It reports whether there
// is a sample that was not shown.
func (t *tracked) end() bool {
	t.claims.Lock()
	defer t.claims.Unlock()
	t.over = true
	if !t.claimed {
		t.closeLocked()
	}
	return t.fresh
}

// drop closes the files, at once or when whoever reads them is done.
func (t *tracked) drop() {
	if t.watched != nil {
		// Ends the wait for the process.
		t.watched.Close()
		t.watched = nil
	}
	t.claims.Lock()
	defer t.claims.Unlock()
	t.doomed = true
	if !t.claimed {
		t.closeLocked()
	}
}

// kills returns how many processes were killed in the run for want of memory, by
// a sample. The engine may have removed the cgroup before the last could be
// taken, but knows of a kill by itself.
func (t *tracked) kills(s *cgroup.Sample) uint64 {
	var n uint64
	if s != nil {
		n = s.Memory.OOMKills.N
	}
	if t.killed {
		n = max(n, 1)
	}
	return n
}

// view is what others may see of a tracked container.
type view struct {
	path      string
	namespace uint64
	sample    *cgroup.Sample
	at        time.Time
	// fresh says that the sample was not shown, over that it is the last.
	fresh, over bool
}

// look returns what is known, and with show takes the sample for shown.
func (t *tracked) look(show bool) view {
	t.claims.Lock()
	defer t.claims.Unlock()
	v := view{t.path, t.namespace, t.sample, t.at, t.fresh, t.over}
	if show {
		t.fresh = false
	}
	return v
}

// isRunOf reports whether a container is still in the run that is tracked.
func (t *tracked) isRunOf(container *record.Container) bool {
	return container.PID == t.container.PID && container.Started.Equal(t.container.Started)
}

// read takes a sample, under the claim. The cgroup is opened where it is not
// yet. A sample is only replaced by another: what the last one said is what is
// known of a cgroup that has gone.
func (t *tracked) read(fs *cgroup.FS, id string, pid int, buffer *cgroup.Buffer) error {
	if t.group == nil {
		var err error
		if pid == 0 {
			t.group, err = fs.OpenRoot()
		} else {
			t.group, err = fs.Open(pid, id)
		}
		if err != nil {
			return err
		}
	}
	if t.spare == nil {
		t.spare = new(cgroup.Sample)
	}
	err := t.group.Read(t.spare, buffer)
	if !errors.Is(err, cgroup.ErrGone) {
		t.publish(t.group.Path(), t.group.NetworkNamespace())
	}
	return err
}

// watch waits in the background for the end of the first process and reads the
// cgroup once more then: the engine removes it a moment later. A container that
// lives for less than the time between two scrapes is shown so in the next, with
// what it has used.
func (t *tracked) watch(c *Containers, id string, pid int) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		// The kernel is older than 5.10, or the process has ended.
		return
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	t.watched = file
	c.running.Go(func() {
		connection, err := file.SyscallConn()
		if err != nil {
			return
		}
		ended := false
		err = connection.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			ended = err == nil && n > 0
			return ended
		})
		if err == nil && ended {
			t.finish(c, id, pid)
		}
	})
}

// finish takes the last sample, at once or, when another is reading, after him.
func (t *tracked) finish(c *Containers, id string, pid int) {
	c.mu.Lock()
	fs := c.fs
	c.mu.Unlock()
	claimed, released := t.claimOrAwait()
	switch {
	case claimed:
		if t.group != nil && fs != nil {
			fs.Notice()
			// Whatever cannot be read any more is as it was read last.
			_ = t.read(fs, id, pid, new(cgroup.Buffer))
		}
		t.release(true)
	case released != nil:
		c.running.Go(func() {
			select {
			case <-released:
				t.finish(c, id, pid)
			case <-c.ctx.Done():
			}
		})
	}
}

// claimOrAwait takes the files as claim does or, when another has them, returns
// what is closed when he gives them back.
func (t *tracked) claimOrAwait() (claimed bool, released <-chan struct{}) {
	t.claims.Lock()
	defer t.claims.Unlock()
	switch {
	case t.doomed || t.over:
		return false, nil
	case t.claimed:
		if t.released == nil {
			t.released = make(chan struct{})
		}
		return false, t.released
	}
	t.claimed = true
	return true, nil
}
