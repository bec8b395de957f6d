package cgroup

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hugeFiles are the open files of one size of huge pages.
type hugeFiles struct {
	size string
	// events says that failures is an events file of version 2.
	events                    bool
	usage, maxUsage, failures int
}

// openHuge opens the files of every size of huge pages in a cgroup's folder:
// hugetlb.<size>.usage_in_bytes, max_usage_in_bytes and failcnt of version 1, or
// hugetlb.<size>.current and events of version 2.
func openHuge(dir string) ([]hugeFiles, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		// The cgroup may have gone, which its other files tell.
		return nil, nil
	}
	var all []hugeFiles
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), "hugetlb.")
		size, file, found := strings.Cut(rest, ".")
		if !ok || !found {
			continue
		}
		files := hugeFiles{size: size, usage: absent, maxUsage: absent, failures: absent}
		names := []string{entry.Name(), "hugetlb." + size + ".max_usage_in_bytes", "hugetlb." + size + ".failcnt"}
		switch file {
		case "usage_in_bytes":
		case "current":
			files.events = true
			names[2] = "hugetlb." + size + ".events"
		default:
			continue
		}
		var failure error
		for i, fd := range []*int{&files.usage, &files.maxUsage, &files.failures} {
			if failure == nil {
				*fd, failure = openOptional(unix.AT_FDCWD, filepath.Join(dir, names[i]))
			}
		}
		all = append(all, files)
		if failure != nil {
			for i := range all {
				all[i].close()
			}
			return nil, failure
		}
	}
	return all, nil
}

// read reads the use of one size. What cannot be read is absent.
func (h *hugeFiles) read(buffer *Buffer) HugePages {
	value := func(fd int) Value {
		if fd == absent {
			return Value{}
		}
		content, err := buffer.read(fd, false)
		if err != nil {
			return Value{}
		}
		if h.events && fd == h.failures {
			var failures Value
			parseFlat(content, func(key []byte, n uint64) {
				if string(key) == "max" {
					failures = Value{n, true}
				}
			})
			return failures
		}
		return parseValue(content)
	}
	return HugePages{Size: h.size, Usage: value(h.usage), MaxUsage: value(h.maxUsage), Failures: value(h.failures)}
}

// close closes the files.
func (h *hugeFiles) close() {
	for _, fd := range []int{h.usage, h.maxUsage, h.failures} {
		if fd != absent {
			unix.Close(fd)
		}
	}
}
