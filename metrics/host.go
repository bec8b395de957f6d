package metrics

import (
	"bytes"
	"strconv"
	"time"
)

// memory is the size of the machine's memory and swap space, in bytes; zero when
// the kernel does not tell.
type memory struct {
	total, swap uint64
}

// readMemory reads /proc/meminfo.
func readMemory(files *keptFiles) memory {
	var size memory
	content, err := files.read("proc/meminfo")
	if err != nil {
		return size
	}
	for line := range bytes.Lines(content) {
		name, bytes, ok := memoryLine(line)
		switch {
		case !ok:
		case string(name) == "MemTotal":
			size.total = bytes
		case string(name) == "SwapTotal":
			size.swap = bytes
			// It is the last of the two.
			return size
		}
	}
	return size
}

// memoryLine reads a line of meminfo, which is in KiB.
func memoryLine(line []byte) (name []byte, n uint64, ok bool) {
	name, rest, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return nil, 0, false
	}
	number, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte{' '})
	kibibytes, err := strconv.ParseUint(string(number), 10, 64)
	return name, kibibytes << 10, err == nil
}

// bootTime returns when the machine was started, in seconds since the epoch, by the
// content of /proc/stat, or 0.
func bootTime(content []byte) uint64 {
	for line := range bytes.Lines(content) {
		if seconds, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(seconds)), 10, 64)
			return n
		}
	}
	return 0
}

// readBootTime returns when the machine was started, or the zero time.
func readBootTime(files *keptFiles) time.Time {
	content, err := files.read("proc/stat")
	if err != nil {
		return time.Time{}
	}
	if n := bootTime(content); n > 0 {
		return time.Unix(int64(n), 0)
	}
	return time.Time{}
}
