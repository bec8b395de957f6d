package metrics

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// memory is the size of the machine's memory and swap space, in bytes; zero when
// the kernel does not tell.
type memory struct {
	total, swap uint64
}

// readMemory reads /proc/meminfo.
func readMemory(root string) memory {
	var size memory
	content, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return size
	}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kibibytes, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			size.total = kibibytes << 10
		case "SwapTotal:":
			size.swap = kibibytes << 10
		}
	}
	return size
}

// readBootTime returns when the machine was started, from /proc/stat, or the
// zero time.
func readBootTime(root string) time.Time {
	content, err := os.ReadFile(filepath.Join(root, "proc/stat"))
	if err != nil {
		return time.Time{}
	}
	for line := range strings.Lines(string(content)) {
		seconds, ok := strings.CutPrefix(line, "btime ")
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(seconds), 10, 64); err == nil {
			return time.Unix(n, 0)
		}
	}
	return time.Time{}
}
