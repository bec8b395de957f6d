package cgroup

import (
	"bytes"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// lasting are the values that stay as they were read last until somebody writes to
// the cgroup: its limits and, while there is no limit that could be met, the counts
// of meeting it. Kills for want of memory stay while there is none on the host.
type lasting struct {
	quota, period, shares, memory, swap, reservation Value

	periods, throttled, throttledTime, bursts, burstTime Value
	failures, kills                                      Value
}

// lastingOf returns the lasting values of a sample.
func lastingOf(s *Sample) lasting {
	c, m := &s.CPU, &s.Memory
	return lasting{
		quota: c.Quota, period: c.Period, shares: c.Shares, memory: m.Limit, swap: m.SwapLimit, reservation: m.Reservation,
		periods: c.Periods, throttled: c.Throttled, throttledTime: c.ThrottledTime, bursts: c.Bursts, burstTime: c.BurstTime,
		failures: m.Failures, kills: m.OOMKills,
	}
}

// putLimits puts the limits into a sample.
func (l *lasting) putLimits(s *Sample) {
	s.CPU.Quota, s.CPU.Period, s.CPU.Shares = l.quota, l.period, l.shares
	s.Memory.Limit, s.Memory.SwapLimit, s.Memory.Reservation = l.memory, l.swap, l.reservation
}

// keeper puts into a sample, whose limits are known, what a file said when it was
// read last, if it must say the same now. It reports false when it may not.
type keeper func(c *Cgroup, s *Sample) bool

// keeperOf returns the keeper of a file, nil for one that is read in every sample.
func (fs *FS) keeperOf(src *source) keeper {
	if src.controller == noController {
		// Version 2 has these counts in files that tell other things as well.
		return nil
	}
	switch src.names[0] {
	case "cpu.stat":
		return keepThrottling
	case "memory.failcnt":
		return keepFailures
	case "memory.oom_control":
		return keepKills
	}
	if policy := fs.host.policies[src.names[0]]; policy != nil {
		return policy.keepNone
	}
	return nil
}

// keepThrottling keeps what is counted when a quota runs out.
func keepThrottling(c *Cgroup, s *Sample) bool {
	if s.CPU.Quota != (Value{NoLimit, true}) {
		return false
	}
	l := &c.known
	s.CPU.Periods, s.CPU.Throttled, s.CPU.ThrottledTime, s.CPU.Bursts, s.CPU.BurstTime = l.periods, l.throttled, l.throttledTime, l.bursts, l.burstTime
	return true
}

// leastNone is less than what version 1 writes for a memory limit that is not set:
// the largest number of whole pages.
const leastNone = 1 << 62

// keepFailures keeps how often the memory limit was met.
func keepFailures(c *Cgroup, s *Sample) bool {
	if limit := s.Memory.Limit; !limit.OK || limit.N < leastNone {
		return false
	}
	s.Memory.Failures = c.known.failures
	return true
}

// keepKills keeps the number of kills if no process of the host was killed for want
// of memory since. The kernel counts a kill for the host before it does so for the
// cgroup, so that one more reading follows the one that found the host's count
// changed.
func keepKills(c *Cgroup, s *Sample) bool {
	if c.killsAt <= c.host.killed.Load() {
		c.killsAt = c.host.turn.Load()
		return false
	}
	s.Memory.OOMKills = c.known.kills
	return true
}

// hostCounts are the few files of the whole host that tell of many files of cgroups
// that nothing in them has changed.
type hostCounts struct {
	// policies are the root cgroup's files of block devices, by the first of the
	// names that the source has; immutable once made.
	policies map[string]*policy
	// turn is the number of the last reading, killed that of the one that found
	// that processes were killed for want of memory.
	turn, killed atomic.Int64

	mu     sync.Mutex // guards what follows, and the policies' descriptors
	buffer Buffer
	// vmstat is the descriptor of /proc/vmstat, or absent, and kills the number of
	// processes that it has counted.
	vmstat int
	kills  uint64
}

// policy is one of the kernel's ways to count the use of block devices.
type policy struct {
	// fd is the root cgroup's file, which names every device that is counted so.
	fd int
	// none says that there is no such device: the file is empty in every cgroup.
	none atomic.Bool
}

// keepNone keeps an empty list of devices.
func (p *policy) keepNone(_ *Cgroup, s *Sample) bool {
	if !p.none.Load() {
		return false
	}
	s.HasIO = true
	return true
}

// openHostCounts opens what there is of the files.
func (fs *FS) openHostCounts() *hostCounts {
	h := &hostCounts{vmstat: absent, policies: make(map[string]*policy)}
	// Until kills can be counted there may have been some.
	h.killed.Store(math.MaxInt64)
	for i := range fs.sources {
		src := &fs.sources[i]
		switch {
		case src.controller == memoryController && src.part == OOM:
			h.vmstat = openFirst(filepath.Join(fs.root, "proc"), "vmstat")
		case src.controller == blkioController && fs.whole:
			dir, ok := fs.v1[blkioController].dir("/")
			if !ok {
				continue
			}
			if fd := openFirst(dir, src.names...); fd != absent {
				h.policies[src.names[0]] = &policy{fd: fd}
			}
		}
	}
	return h
}

// openFirst opens the first of some files in a folder that exists, or returns
// absent.
func openFirst(dir string, names ...string) int {
	for _, name := range names {
		if fd, err := openOptional(unix.AT_FDCWD, filepath.Join(dir, name)); err == nil && fd != absent {
			return fd
		}
	}
	return absent
}

// read reads the files. What cannot be read counts as changed.
func (h *hostCounts) read() {
	h.mu.Lock()
	defer h.mu.Unlock()
	turn := h.turn.Add(1)
	if h.vmstat != absent {
		kills, ok := h.readKillsLocked()
		switch {
		case !ok:
			h.killed.Store(math.MaxInt64)
		case kills != h.kills || h.killed.Load() == math.MaxInt64:
			h.killed.Store(turn)
		}
		h.kills = kills
	}
	for _, p := range h.policies {
		if p.fd == absent {
			continue
		}
		content, err := h.buffer.read(p.fd, false)
		p.none.Store(err == nil && bytes.IndexByte(content, ':') < 0)
	}
}

// readKillsLocked returns how many of the host's processes were killed for want of
// memory. Kernels before 4.13 do not count them.
func (h *hostCounts) readKillsLocked() (uint64, bool) {
	content, err := h.buffer.read(h.vmstat, true)
	if err != nil {
		return 0, false
	}
	_, rest, found := bytes.Cut(content, []byte("\noom_kill "))
	if !found {
		return 0, false
	}
	number, _ := nextLine(rest)
	return parseUint(number)
}

// close closes the files. What they told is not known any more.
func (h *hostCounts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.killed.Store(math.MaxInt64)
	if h.vmstat != absent {
		unix.Close(h.vmstat)
		h.vmstat = absent
	}
	for _, p := range h.policies {
		p.none.Store(false)
		if p.fd != absent {
			unix.Close(p.fd)
			p.fd = absent
		}
	}
}
