package cgroup

import (
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// The bytes of a struct inotify_event before its name (inotify(7)), and how many
// times a queue is read before it counts as one that has overflowed.
const (
	noticeHeader  = 16
	noticeReading = 64
)

// notices tells which cgroups' files have been written to, by inotify: limits
// change only when somebody writes them, so that they need be read only then.
// The kernel gathers what happens; nothing runs here between two readings.
type notices struct {
	mu sync.Mutex // guards what follows
	// fd is the inotify descriptor, absent where there is none.
	fd int
	// watched are the cgroups by the watches of their folders. A cgroup that is
	// opened anew shares a watch with its old handle for a while.
	watched map[int32][]*Cgroup
}

// newNotices returns notices that work if the kernel has an inotify to spare.
func newNotices() *notices {
	n := &notices{fd: absent, watched: make(map[int32][]*Cgroup)}
	if fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC); err == nil {
		n.fd = fd
	}
	return n
}

// watch makes it known to c when a file in one of the folders is written. Where
// that cannot be had, as with too many watches, c has none and reads its limits
// every time.
func (n *notices) watch(c *Cgroup, folders []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c.written.Store(true)
	for _, folder := range folders {
		watch, err := -1, error(unix.EBADF)
		if n.fd != absent {
			watch, err = unix.InotifyAddWatch(n.fd, folder, unix.IN_MODIFY|unix.IN_ONLYDIR)
		}
		if err != nil {
			n.forgetLocked(c)
			return
		}
		n.watched[int32(watch)] = append(n.watched[int32(watch)], c)
		c.watches = append(c.watches, int32(watch))
	}
}

// forget ends what watch began.
func (n *notices) forget(c *Cgroup) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forgetLocked(c)
}

func (n *notices) forgetLocked(c *Cgroup) {
	for _, watch := range c.watches {
		others := slices.DeleteFunc(n.watched[watch], func(other *Cgroup) bool { return other == c })
		if len(others) > 0 {
			n.watched[watch] = others
			continue
		}
		delete(n.watched, watch)
		if n.fd != absent {
			// The kernel has ended it already when the folder has gone.
			_, _ = unix.InotifyRmWatch(n.fd, uint32(watch))
		}
	}
	c.watches = nil
}

// take marks the cgroups whose files were written to since the last call.
func (n *notices) take() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd == absent {
		return
	}
	var buffer [4096]byte
	for range noticeReading {
		length, err := unix.Read(n.fd, buffer[:])
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return
		}
		if err != nil || !n.markLocked(buffer[:max(length, 0)]) {
			break
		}
	}
	// What else was written is not known.
	for _, groups := range n.watched {
		for _, group := range groups {
			group.written.Store(true)
		}
	}
}

// markLocked marks the cgroups of a list of events. It reports false when events
// were lost.
func (n *notices) markLocked(events []byte) bool {
	for len(events) >= noticeHeader {
		watch := int32(binary.NativeEndian.Uint32(events))
		mask, name := binary.NativeEndian.Uint32(events[4:]), uint64(binary.NativeEndian.Uint32(events[12:]))
		if mask&unix.IN_Q_OVERFLOW != 0 || noticeHeader+name > uint64(len(events)) {
			return false
		}
		for _, group := range n.watched[watch] {
			group.written.Store(true)
		}
		events = events[noticeHeader+name:]
	}
	return true
}

// close ends all watches.
func (n *notices) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd != absent {
		unix.Close(n.fd)
		n.fd = absent
	}
}
