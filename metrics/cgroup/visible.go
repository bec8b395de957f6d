package cgroup

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// SeesRoot reports whether the host's root cgroup can be seen. An agent in a
// container without the host's tree finds its own cgroup in that place.
func (fs *FS) SeesRoot() bool { return fs.whole }

// SeesHost reports whether the processes under /proc may be the host's: not
// those of the agent's own container only.
func (fs *FS) SeesHost() bool { return !fs.alone }

// isWhole finds out what SeesRoot reports. Where the kernel leaves a file out in
// the root only, that file tells another cgroup from it.
func (fs *FS) isWhole() bool {
	trees, other := []hierarchy{fs.unified}, "cgroup.events"
	if len(fs.v1) > 0 {
		trees, other = slices.Collect(maps.Values(fs.v1)), "pids.max"
	}
	for _, tree := range trees {
		dir, ok := tree.dir("/")
		if !ok {
			return false
		}
		if _, err := os.Stat(filepath.Join(dir, other)); err == nil {
			return false
		}
	}
	return true
}

// initialNamespace is the inode of the machine's first namespace of process IDs:
// PROC_PID_INIT_INO in include/linux/proc_ns.h of the kernel.
const initialNamespace = 0xEFFFFFFC

// Alone reports whether the first process under /proc is of the agent's own
// container, not the host's: the namespace of process IDs is not the first, and
// that process is in the agent's cgroups.
func Alone(root string) bool {
	if filepath.Clean(root) != "/" {
		return false
	}
	var stat unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &stat); err != nil || stat.Ino == initialNamespace {
		return false
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return false
	}
	first, err := os.ReadFile("/proc/1/cgroup")
	return err == nil && bytes.Equal(own, first)
}
