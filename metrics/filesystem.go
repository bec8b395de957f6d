package metrics

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tallyman/metrics/cgroup"
)

// filesystem is a mounted file system of the host that has a size.
type filesystem struct {
	mount
	// label is its name in cAdvisor's families: the device, or for one in memory
	// where it is mounted.
	label string
	// known says that the kernel told what follows: bytes and inodes. available
	// is what users other than root may still use.
	known                       bool
	size, used, free, available uint64
	inodes, inodesFree          uint64
	// disk are the counters of the device, nil where there is none.
	disk *diskStats
}

// mount is a line of mountinfo.
type mount struct {
	device        cgroup.Device
	point, source string
	fstype        string
	readOnly      bool
}

// diskStats are the counters of a block device, from /proc/diskstats; times are
// in milliseconds. See Documentation/admin-guide/iostats.rst of the kernel.
type diskStats struct {
	device                                        cgroup.Device
	name                                          string
	reads, readsMerged, sectorsRead, readTime     uint64
	writes, writesMerged, sectorsWritten          uint64
	writeTime, inProgress, busyTime, weightedTime uint64
}

// readMounts returns the host's mounts of file systems that have a size, the
// first of each device. Those of the network are left out: asking one that is
// away would hold up the scrape. So are the layers of containers, which are
// folders of another file system.
func readMounts(root string) ([]mount, error) {
	content, err := os.ReadFile(mountinfo(root))
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	return parseMounts(content), nil
}

// parseMounts reads a mountinfo file; see proc(5).
func parseMounts(content []byte) []mount {
	var mounts []mount
	seen := make(map[cgroup.Device]bool)
	for line := range bytes.Lines(content) {
		before, after, ok := strings.Cut(string(line), " - ")
		fields, details := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(details) < 3 {
			continue
		}
		m := mount{point: unescapeMount(fields[4]), fstype: details[0], source: unescapeMount(details[1])}
		// The file system's own word: a sandbox has mounted all of them read-only for
		// the agent, and one with errors is made read-only under mounts that are not.
		m.readOnly = strings.HasPrefix(details[2]+",", "ro,")
		switch m.fstype {
		case "tmpfs", "zfs", "btrfs":
		default:
			if !strings.HasPrefix(m.source, "/dev/") {
				continue
			}
		}
		if _, err := fmt.Sscanf(fields[2], "%d:%d", &m.device.Major, &m.device.Minor); err != nil || seen[m.device] {
			continue
		}
		seen[m.device] = true
		mounts = append(mounts, m)
	}
	return mounts
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// readFilesystems returns the host's file systems with what is used of each and
// the counters of their devices.
func readFilesystems(root string, table *mountTable, disks []diskStats) ([]filesystem, error) {
	mounts, kernels, err := table.read()
	all := make([]filesystem, len(mounts))
	var own []mount
	for i := range mounts {
		fs := &all[i]
		fs.mount, fs.label = mounts[i], mounts[i].source
		if fs.fstype == "tmpfs" {
			fs.label = fs.point
		}
		fs.label = strings.ToValidUTF8(fs.label, "\uFFFD")
		path := filepath.Join(root, fs.point)
		if kernels && !fs.isAt(path) {
			if own == nil && filepath.Clean(root) != "/" {
				own, _ = readMounts("/") // Without them the file system cannot be asked.
			}
			path = fs.elsewhere(own)
		}
		if path != "" {
			fs.fill(path)
		}
		for j := range disks {
			if disks[j].device == fs.device {
				fs.disk = &disks[j]
			}
		}
	}
	return all, err
}

// isAt reports whether a path leads to the file system. Of the host's root folder
// only parts may be mounted, as in a swarm, and a mount may lie under another, as
// where systemd hides /home from a service.
func (m *mount) isAt(path string) bool {
	if m.fstype == "btrfs" {
		// Each of its subvolumes has a number of its own.
		var stat unix.Statfs_t
		return unix.Statfs(path, &stat) == nil && stat.Type == unix.BTRFS_SUPER_MAGIC
	}
	var stat unix.Stat_t
	return unix.Stat(path, &stat) == nil && m.device == cgroup.Device{Major: unix.Major(stat.Dev), Minor: unix.Minor(stat.Dev)}
}

// elsewhere returns where among the agent's own mounts the file system is, empty
// for nowhere.
func (m *mount) elsewhere(own []mount) string {
	for i := range own {
		if own[i].device == m.device && own[i].isAt(own[i].point) {
			return own[i].point
		}
	}
	return ""
}

// fill asks the kernel for the sizes.
func (fs *filesystem) fill(path string) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(path, &stat); err != nil || stat.Blocks == 0 {
		return
	}
	unit := uint64(stat.Frsize)
	fs.known = true
	fs.size, fs.free, fs.available = stat.Blocks*unit, stat.Bfree*unit, stat.Bavail*unit
	fs.used = fs.size - fs.free
	fs.inodes, fs.inodesFree = stat.Files, stat.Ffree
}

// readDisks returns the counters of all block devices, in the memory of disks.
func readDisks(files *keptFiles, disks []diskStats) ([]diskStats, error) {
	content, err := files.read("proc/diskstats")
	if err != nil {
		return nil, fmt.Errorf("reading block devices: %w", err)
	}
	return parseDisks(disks, content), nil
}

// parseDisks reads a diskstats file into the memory of disks. A name that stood in
// the same place before need not be made again.
func parseDisks(disks []diskStats, content []byte) []diskStats {
	disks = disks[:0]
	for line := range bytes.Lines(content) {
		var n [14]uint64
		var name []byte
		at := 0
		for field := range bytes.FieldsSeq(line) {
			if at == len(n) {
				break
			}
			if at == 2 {
				name = field
			} else if number, err := strconv.ParseUint(string(field), 10, 64); err == nil {
				n[at] = number
			} else {
				break
			}
			at++
		}
		if at < len(n) {
			continue
		}
		known := ""
		if i := len(disks); i < cap(disks) {
			known = disks[:i+1][i].name
		}
		if known != string(name) {
			known = strings.ToValidUTF8(string(name), "\uFFFD")
		}
		disks = append(disks, diskStats{
			device: cgroup.Device{Major: uint32(n[0]), Minor: uint32(n[1])}, name: known,
			reads: n[3], readsMerged: n[4], sectorsRead: n[5], readTime: n[6],
			writes: n[7], writesMerged: n[8], sectorsWritten: n[9], writeTime: n[10],
			inProgress: n[11], busyTime: n[12], weightedTime: n[13],
		})
	}
	return disks
}
