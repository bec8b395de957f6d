package jsonfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watch has one watch on the folder of the containers' folders and one on each
// container's folder.
type watch struct {
	*notices
	root int

	mu   sync.Mutex
	logs map[int]*Log // by watch descriptor; guarded by mu
}

func newWatch() (*watch, error) {
	n, err := newNotices()
	if err != nil {
		return nil, err
	}
	return &watch{notices: n, root: -1, logs: make(map[int]*Log)}, nil
}

// add watches a folder. It fails when the watch is closed.
func (w *watch) add(dir string, mask uint32) (wd int, err error) {
	var failed error
	err = w.control(func(fd int) { wd, failed = unix.InotifyAddWatch(fd, dir, mask) })
	if err == nil && failed != nil {
		err = os.NewSyscallError("inotify_add_watch", failed)
	}
	return wd, err
}

func (w *watch) addRoot(dir string) error {
	wd, err := w.add(dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	if err != nil {
		return err
	}
	w.root = wd
	return nil
}

// logEvents are those of a container's folder that are always watched: with a
// reader there is IN_MODIFY besides.
const logEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_ONLYDIR

// addLog watches the folder of a log that nobody reads.
func (w *watch) addLog(l *Log) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wd, err := w.add(l.dir(), logEvents)
	if err != nil {
		return -1, err
	}
	w.logs[wd] = l
	return wd, nil
}

// writes has the writing to a log told, or not, of which the folder is watched
// already: what nobody reads would wake the agent for nothing.
func (w *watch) writes(l *Log, tell bool) {
	mask := uint32(logEvents)
	if tell {
		mask |= unix.IN_MODIFY
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// The kernel gives the descriptor that the folder has. A folder that is gone
	// is not written to.
	_, _ = w.add(l.dir(), mask)
}

func (w *watch) remove(wd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.logs, wd)
	// The kernel has removed it already when the folder is gone.
	_ = w.control(func(fd int) { _, _ = unix.InotifyRmWatch(fd, uint32(wd)) })
}

func (w *watch) log(wd int) *Log {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs[wd]
}

// change is what a look at the events of one log asks for.
type change struct{ look, data, end bool }

// runWatch reads events until the watch is closed. After it has woken the
// readers it gathers for maxDelay, so that the cost of waking does not grow
// with the rate of the lines, while the first line after a pause is told at once.
func (r *Root) runWatch() {
	err := r.follow()
	// No log is watched any more that is opened from now on.
	r.watch.release()
	if !errors.Is(err, os.ErrClosed) {
		r.logger.Error("watching the logs ended, so they are polled", "error", err)
		r.unwatchAll()
	}
}

// follow is runWatch up to an error.
func (r *Root) follow() error {
	changes := make(map[*Log]change)
	var woken time.Time
	busy := false
	for {
		var events []byte
		if !busy {
			var err error
			if events, err = r.watch.wait(); err != nil {
				return err
			}
		}
		wait := r.maxDelay - time.Since(woken)
		if wait > 0 {
			if err := r.watch.rest(wait); err != nil {
				return err
			}
		}
		// What came in the rest belongs to the events that began it.
		more := !busy && wait > 0
		if busy {
			events = r.watch.more()
		}
		// Where there was something to gather there will be more: to wait for the
		// first of it would be to be woken twice.
		busy = len(events) > 0 && (busy || wait > 0)
		if len(events) == 0 {
			continue
		}
		// All that has come is taken, for the kernel's queue is short: a rotation
		// must not wait behind the writes of containers that flood.
		r.collect(events, changes)
		for more || !r.watch.all() {
			more = false
			r.collect(r.watch.more(), changes)
		}
		for l, c := range changes {
			r.apply(l, c)
		}
		clear(changes)
		woken = time.Now()
	}
}

// collect folds the events in buf into changes.
func (r *Root) collect(buf []byte, changes map[*Log]change) {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int(int32(binary.NativeEndian.Uint32(buf)))
		mask := binary.NativeEndian.Uint32(buf[4:])
		size := min(int(binary.NativeEndian.Uint32(buf[12:])), len(buf)-unix.SizeofInotifyEvent)
		name := buf[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+size]
		buf = buf[unix.SizeofInotifyEvent+size:]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			r.overflow(changes)
		case wd == r.watch.root:
			r.rootEvent(mask, string(name), changes)
		default:
			l := r.watch.log(wd)
			if l == nil {
				continue
			}
			c := changes[l]
			switch {
			case mask&(unix.IN_DELETE_SELF|unix.IN_IGNORED) != 0:
				c.end = true
			case !bytes.HasPrefix(name, []byte(filepath.Base(l.path))):
				continue
			case mask&unix.IN_MODIFY != 0:
				c.data = true
			default:
				c.look = true
			}
			changes[l] = c
		}
	}
}

// rootEvent follows the coming and going of containers' folders: a new one is
// opened before its container has written anything.
func (r *Root) rootEvent(mask uint32, name string, changes map[*Log]change) {
	if len(name) != idLen || mask&unix.IN_ISDIR == 0 {
		return
	}
	if mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
		r.open(name, true)
		return
	}
	r.mu.Lock()
	e := r.logs[name]
	r.mu.Unlock()
	if e != nil {
		c := changes[e.log]
		c.end = true
		changes[e.log] = c
	}
}

// idLen is the length of a container's ID.
const idLen = 64

// overflow looks at everything: the kernel has dropped events.
func (r *Root) overflow(changes map[*Log]change) {
	r.stats.Overflows.Add(1)
	r.mu.Lock()
	for _, e := range r.logs {
		c := changes[e.log]
		c.look, c.data = true, true
		if _, err := os.Stat(e.log.dir()); errors.Is(err, os.ErrNotExist) {
			c.end = true
		}
		changes[e.log] = c
	}
	r.mu.Unlock()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.stats.ReadErrors.Add(1)
		return
	}
	for _, entry := range entries {
		if entry.IsDir() && len(entry.Name()) == idLen {
			r.open(entry.Name(), true) // If it is not known it has come since.
		}
	}
}

func (r *Root) apply(l *Log, c change) {
	if c.look {
		l.look()
	}
	if c.end {
		l.End()
	} else if c.data {
		l.notify()
	}
}

// unwatchAll makes the poll look at every log often.
func (r *Root) unwatchAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.logs {
		e.wd = -1
	}
}
