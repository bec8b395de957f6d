package metrics

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Process is what is shown of the agent's own process: the families of
// client_golang's collector, which opens five files and lists what is open for them
// in every scrape.
type Process struct {
	table [processFamilies]description

	mu    sync.Mutex // guards what follows
	files keptFiles
	// booted is when the machine was started, in seconds since the epoch, 0 while
	// it is not known.
	booted uint64
}

// The families of a process, sorted by name.
const (
	processCPU = iota
	processMaxFDs
	processReceived
	processSent
	processOpenFDs
	processResident
	processStart
	processVirtual
	processMaxVirtual
	processFamilies
)

// NewProcess returns the process's part of an exposition.
func NewProcess() *Process {
	return &Process{files: keptFiles{root: "/"}, table: [...]description{
		processCPU:        {name: "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds.", typ: counter},
		processMaxFDs:     {name: "process_max_fds", help: "Maximum number of open file descriptors."},
		processReceived:   {name: "process_network_receive_bytes_total", help: "Number of bytes received by the process over the network.", typ: counter},
		processSent:       {name: "process_network_transmit_bytes_total", help: "Number of bytes sent by the process over the network.", typ: counter},
		processOpenFDs:    {name: "process_open_fds", help: "Number of open file descriptors."},
		processResident:   {name: "process_resident_memory_bytes", help: "Resident memory size in bytes."},
		processStart:      {name: "process_start_time_seconds", help: "Start time of the process since unix epoch in seconds."},
		processVirtual:    {name: "process_virtual_memory_bytes", help: "Virtual memory size in bytes."},
		processMaxVirtual: {name: "process_virtual_memory_max_bytes", help: "Maximum amount of virtual memory available in bytes."},
	}}
}

// write reads the process and renders it. What cannot be read is left out.
func (p *Process) write(w *writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var values [processFamilies]float64
	var known [processFamilies]bool
	put := func(family int, value float64) { values[family], known[family] = value, true }
	p.readStatLocked(put)
	p.readNetworkLocked(put)
	if n, ok := openDescriptors(); ok {
		put(processOpenFDs, float64(n))
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		put(processMaxFDs, float64(limit.Cur))
	}
	if unix.Getrlimit(unix.RLIMIT_AS, &limit) == nil {
		put(processMaxVirtual, float64(limit.Cur))
	}
	w.block = new(block)
	for i := range p.table {
		if w.begin(&p.table[i]); known[i] {
			w.with(values[i])
		}
	}
}

// readStatLocked reads /proc/self/stat.
func (p *Process) readStatLocked(put func(int, float64)) {
	if p.booted == 0 {
		// The error would be that of the next file.
		content, _ := p.files.read("proc/stat")
		p.booted = bootTime(content)
	}
	content, err := p.files.read("proc/self/stat")
	if err != nil {
		return
	}
	stat, ok := parseStat(content)
	if !ok {
		return
	}
	put(processCPU, float64(stat.cpu)/userTick)
	put(processVirtual, float64(stat.virtual))
	put(processResident, float64(stat.resident*uint64(unix.Getpagesize())))
	if p.booted != 0 {
		put(processStart, float64(p.booted)+float64(stat.start)/userTick)
	}
}

// processStat is what is shown of a process's stat file: time in ticks, since the
// machine was started where it is a moment, memory in bytes and, what is resident,
// in pages.
type processStat struct{ cpu, start, virtual, resident uint64 }

// parseStat reads a stat file; see proc(5).
func parseStat(content []byte) (processStat, bool) {
	// The name in the second column may have spaces and parentheses.
	const user, system, start, virtual, resident = 14 - 3, 15 - 3, 22 - 3, 23 - 3, 24 - 3
	var columns [resident + 1]uint64
	n := 0
	for field := range bytes.FieldsSeq(content[bytes.LastIndexByte(content, ')')+1:]) {
		if n == len(columns) {
			break
		}
		// Nothing that may be negative, or no number, is asked for.
		columns[n], _ = strconv.ParseUint(string(field), 10, 64)
		n++
	}
	return processStat{columns[user] + columns[system], columns[start], columns[virtual], columns[resident]}, n == len(columns)
}

// readNetworkLocked reads the bytes of the process's network namespace.
func (p *Process) readNetworkLocked(put func(int, float64)) {
	content, err := p.files.read("proc/self/net/netstat")
	if err != nil {
		return
	}
	if received, sent, ok := parseOctets(content); ok {
		put(processReceived, float64(received))
		put(processSent, float64(sent))
	}
}

// parseOctets finds the bytes received and sent in a netstat file: a line of names
// and one of numbers, both of which begin with the word IpExt.
func parseOctets(content []byte) (received, sent uint64, ok bool) {
	_, content, found := bytes.Cut(content, []byte("IpExt: "))
	names, content, more := bytes.Cut(content, []byte("\nIpExt: "))
	numbers, _, _ := bytes.Cut(content, []byte{'\n'})
	if !found || !more {
		return 0, 0, false
	}
	for len(names) > 0 && len(numbers) > 0 {
		var name, number []byte
		name, names, _ = bytes.Cut(names, []byte{' '})
		number, numbers, _ = bytes.Cut(numbers, []byte{' '})
		switch string(name) {
		case "InOctets":
			received, _ = strconv.ParseUint(string(number), 10, 64)
		case "OutOctets":
			sent, _ = strconv.ParseUint(string(number), 10, 64)
		}
	}
	return received, sent, true
}

// openDescriptors returns how many files the process has open. Since Linux 6.2 the
// size of the folder tells, before it has to be listed.
func openDescriptors() (int, bool) {
	const folder = "/proc/self/fd"
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err == nil && stat.Size > 0 {
		return int(stat.Size), true
	}
	return countFolder(folder)
}

// countFolder counts the entries of a folder of numbers, which is /proc/self/fd.
func countFolder(folder string) (int, bool) {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	count := 0
	for buffer := make([]byte, 16<<10); ; {
		n, err := unix.ReadDirent(fd, buffer)
		if err != nil {
			return 0, false
		}
		if n == 0 {
			// The folder's own descriptor is one of them.
			return count - 1, true
		}
		count += countEntries(buffer[:n])
	}
}

// countEntries counts the entries of a folder of numbers, "." and ".." not among
// them; see getdents64(2).
func countEntries(b []byte) int {
	const lengthAt, nameAt = 16, 19
	n := 0
	for len(b) > nameAt {
		length := int(binary.NativeEndian.Uint16(b[lengthAt:]))
		if length <= nameAt || length > len(b) {
			break
		}
		if b[nameAt] != '.' {
			n++
		}
		b = b[length:]
	}
	return n
}
