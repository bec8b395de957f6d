package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Processes is what is known of a cgroup's processes and of the network
// namespace of the first of them.
type Processes struct {
	// Count is how many processes there are, Descriptors and Sockets how many
	// files and sockets they have open.
	Count, Descriptors, Sockets Value
	// OpenFiles is the first process's soft limit of open files, or NoLimit.
	OpenFiles Value
	// RunTime and WaitTime are the nanoseconds that tasks ran and waited for a
	// processor, Slices how often they ran. Processes that have ended are in it
	// as they were last seen.
	RunTime, WaitTime, Slices Value
	// Referenced is the bytes of memory touched since they were made.
	Referenced Value
	// TCP, TCP6 are the sockets by state, UDP and UDP6 the sockets and queues.
	TCP, TCP6 TCPStates
	UDP, UDP6 UDPState
	// TCPExtra are the counters of TCP, by the kernel's names.
	TCPExtra []Counter
}

// Counter is a number with the kernel's name of it.
type Counter struct {
	Name string
	N    int64
}

// members asks the processes of a cgroup.
type members struct {
	// first is the folder of the first process; proc that of all, and tree the
	// cgroup's own, both empty for the root cgroup.
	first      process
	proc, tree string
	// scheduled is what was last seen of each process, by its number.
	scheduled map[int]schedule
	// ended is the sum over those that have ended.
	ended schedule
}

// schedule is the content of /proc/PID/schedstat.
type schedule struct{ run, wait, slices uint64 }

// openMembers keeps the folder of the first process open.
func (f *FS) openMembers(first process, paths map[string]string) (*members, error) {
	dir, err := unix.FcntlInt(uintptr(first.dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", first.path, err)
	}
	m := &members{first: process{dir: dir, path: first.path}, scheduled: make(map[int]schedule)}
	for _, controller := range []string{pidsController, memoryController, cpuController} {
		if tree, ok := f.dir(paths, controller); ok && m.tree == "" {
			m.proc, m.tree = filepath.Join(f.root, "proc"), tree
		}
	}
	return m, nil
}

// close closes the folder.
func (m *members) close() { m.first.close() }

// read asks the processes for the parts. What cannot be had stays absent: a
// process may end at any time.
func (m *members) read(s *Sample, buffer *Buffer, parts Parts) {
	p := &s.Processes
	if parts&TCP != 0 {
		p.TCP, p.TCP6 = readTCP(m.first.dir, "net/tcp", buffer), readTCP(m.first.dir, "net/tcp6", buffer)
	}
	if parts&UDP != 0 {
		p.UDP, p.UDP6 = readUDP(m.first.dir, "net/udp", buffer), readUDP(m.first.dir, "net/udp6", buffer)
	}
	if parts&TCPExtra != 0 {
		for _, name := range []string{"net/netstat", "net/snmp"} {
			if content, err := buffer.readAt(m.first.dir, name); err == nil {
				p.TCPExtra = appendTCPExtra(p.TCPExtra, content)
			}
		}
	}
	if parts&Members != 0 {
		if content, err := buffer.readAt(m.first.dir, "limits"); err == nil {
			p.OpenFiles = parseOpenFiles(content)
		}
	}
	if parts&perProcess == 0 || m.tree == "" {
		return
	}
	pids := m.pids(buffer)
	if parts&Members != 0 {
		p.Count = Value{uint64(len(pids)), true}
		m.countFiles(p, pids)
	}
	if parts&Referenced != 0 {
		for _, pid := range pids {
			if content, err := os.ReadFile(m.path(pid, "smaps_rollup")); err == nil {
				p.Referenced = Value{p.Referenced.N + parseReferenced(content), true}
			}
		}
	}
	if parts&Schedule != 0 {
		m.readSchedule(p, pids)
	}
}

// path returns the path of a process's file.
func (m *members) path(pid int, name string) string {
	return filepath.Join(m.proc, strconv.Itoa(pid), name)
}

// pids returns the processes of the cgroup and of all below.
func (m *members) pids(buffer *Buffer) []int {
	var pids []int
	// A folder that goes meanwhile has no processes.
	_ = filepath.WalkDir(m.tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		if !entry.IsDir() {
			return nil
		}
		content, err := buffer.readAt(unix.AT_FDCWD, filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for line := range bytes.Lines(content) {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(line))); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// countFiles counts the open files and sockets of processes. Listing the files of
// another user's process takes a right, and asking which are sockets takes another
// one: without it the number is not known, and must not be shown too small.
func (m *members) countFiles(p *Processes, pids []int) {
	files, sockets := Value{OK: true}, Value{OK: true}
	for _, pid := range pids {
		folder := m.path(pid, "fd")
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrPermission) {
			return
		}
		files.N += uint64(len(entries))
		for _, entry := range entries {
			if !sockets.OK {
				break
			}
			target, err := os.Readlink(filepath.Join(folder, entry.Name()))
			if errors.Is(err, fs.ErrPermission) {
				sockets = Value{}
			} else if err == nil && strings.HasPrefix(target, "socket:") {
				sockets.N++
			}
		}
	}
	p.Descriptors, p.Sockets = files, sockets
}

// readSchedule adds up the processes' times. One that has ended, or whose number
// another has now, keeps its last.
func (m *members) readSchedule(p *Processes, pids []int) {
	now := make(map[int]schedule, len(pids))
	for _, pid := range pids {
		content, err := os.ReadFile(m.path(pid, "schedstat"))
		if err != nil {
			continue
		}
		own, ok := parseSchedule(content)
		if !ok {
			continue
		}
		if before, known := m.scheduled[pid]; known && own.run < before.run {
			m.ended.add(before)
		}
		now[pid] = own
		delete(m.scheduled, pid)
	}
	for _, before := range m.scheduled {
		m.ended.add(before)
	}
	m.scheduled = now
	sum := m.ended
	for _, own := range now {
		sum.add(own)
	}
	p.RunTime, p.WaitTime, p.Slices = Value{sum.run, true}, Value{sum.wait, true}, Value{sum.slices, true}
}

// add adds another's times.
func (s *schedule) add(other schedule) {
	s.run, s.wait, s.slices = s.run+other.run, s.wait+other.wait, s.slices+other.slices
}

// parseSchedule reads "run wait slices".
func parseSchedule(b []byte) (schedule, bool) {
	run, rest := nextField(b)
	wait, rest := nextField(rest)
	slices, _ := nextField(rest)
	var s schedule
	var ok [3]bool
	s.run, ok[0] = parseUint(run)
	s.wait, ok[1] = parseUint(wait)
	s.slices, ok[2] = parseUint(slices)
	return s, ok[0] && ok[1] && ok[2]
}

// parseOpenFiles finds the soft limit in a limits file.
func parseOpenFiles(b []byte) Value {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("Max open files")); ok {
			if word, _ := nextField(rest); string(word) == "unlimited" {
				return Value{NoLimit, true}
			}
			return parseValue(rest)
		}
	}
	return Value{}
}

// parseReferenced adds up the lines "Referenced: n kB" of an smaps file.
func parseReferenced(b []byte) uint64 {
	total := uint64(0)
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("Referenced:")); ok {
			total += parseValue(rest).N << 10
		}
	}
	return total
}
