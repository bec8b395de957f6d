package metrics

import (
	"bytes"
	"strconv"
	"strings"
)

// networkColumn is a column of net/dev and its family.
type networkColumn struct {
	at int
	description
}

// networkColumns are the columns that are shown.
func networkColumns() []networkColumn {
	of := func(at int, name, help string) networkColumn {
		return networkColumn{at, description{name: "node_network_" + name + "_total", help: help, typ: counter, labels: []string{"device"}}}
	}
	return []networkColumn{
		of(0, "receive_bytes", "Bytes received."), of(1, "receive_packets", "Packets received."),
		of(2, "receive_errs", "Errors in receiving."), of(3, "receive_drop", "Incoming packets dropped."),
		of(8, "transmit_bytes", "Bytes sent."), of(9, "transmit_packets", "Packets sent."),
		of(10, "transmit_errs", "Errors in sending."), of(11, "transmit_drop", "Outgoing packets dropped."),
	}
}

// writeNetwork writes the counters of each interface, from net/dev.
func (t *nodeTable) writeNetwork(w *writer, content []byte) {
	t.interfaces = parseInterfaces(t.interfaces[:0], content)
	for c := range t.network {
		w.begin(&t.network[c].description)
		for i := range t.interfaces {
			w.with(float64(t.interfaces[i].counters[t.network[c].at]), t.interfaces[i].label)
		}
	}
}

// hostInterface is a line of net/dev.
type hostInterface struct {
	label    string
	counters [16]uint64
}

// parseInterfaces reads net/dev into the memory of interfaces, whose labels need not
// be made again where the names are the same. Lines that are not of an interface, or
// do not have all counters, are left out.
func parseInterfaces(interfaces []hostInterface, content []byte) []hostInterface {
	for line := range bytes.Lines(content) {
		name, rest, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		var one hostInterface
		n := 0
		for field := range bytes.FieldsSeq(rest) {
			value, err := strconv.ParseUint(string(field), 10, 64)
			if err != nil || n == len(one.counters) {
				break
			}
			one.counters[n] = value
			n++
		}
		if n < len(one.counters) {
			continue
		}
		if i := len(interfaces); i < cap(interfaces) {
			one.label = interfaces[:i+1][i].label
		}
		if name = bytes.TrimSpace(name); one.label != string(name) {
			one.label = interfaceLabel(string(name))
		}
		interfaces = append(interfaces, one)
	}
	return interfaces
}

// nodeDiskRow is a family of block devices.
type nodeDiskRow struct {
	description
	of func(*diskStats) float64
}

// nodeDiskRows are the families of block devices.
func nodeDiskRows() []nodeDiskRow {
	row := func(name, help string, typ metricType, of func(*diskStats) float64) nodeDiskRow {
		return nodeDiskRow{description{name: "node_disk_" + name, help: help, typ: typ, labels: []string{"device"}}, of}
	}
	return []nodeDiskRow{
		row("read_bytes_total", "Bytes read.", counter, func(d *diskStats) float64 { return float64(d.sectorsRead) * sector }),
		row("written_bytes_total", "Bytes written.", counter, func(d *diskStats) float64 { return float64(d.sectorsWritten) * sector }),
		row("reads_completed_total", "Read requests.", counter, func(d *diskStats) float64 { return float64(d.reads) }),
		row("writes_completed_total", "Write requests.", counter, func(d *diskStats) float64 { return float64(d.writes) }),
		row("reads_merged_total", "Read requests merged with others.", counter, func(d *diskStats) float64 { return float64(d.readsMerged) }),
		row("writes_merged_total", "Write requests merged with others.", counter, func(d *diskStats) float64 { return float64(d.writesMerged) }),
		row("read_time_seconds_total", "Time that read requests took, in seconds.", counter, func(d *diskStats) float64 { return float64(d.readTime) / millisecond }),
		row("write_time_seconds_total", "Time that write requests took, in seconds.", counter, func(d *diskStats) float64 { return float64(d.writeTime) / millisecond }),
		row("io_now", "Requests in progress.", gauge, func(d *diskStats) float64 { return float64(d.inProgress) }),
		row("io_time_seconds_total", "Time in which requests were in progress, in seconds.", counter, func(d *diskStats) float64 { return float64(d.busyTime) / millisecond }),
		row("io_time_weighted_seconds_total", "Time in progress of all requests together, in seconds.", counter, func(d *diskStats) float64 { return float64(d.weightedTime) / millisecond }),
	}
}

// isPart reports whether node_exporter leaves a block device out: those in memory,
// loops, and the partitions of a disk, which would count twice in a sum.
func isPart(name string) bool {
	stem := strings.TrimRight(name, "0123456789")
	if stem == name {
		return false
	}
	switch stem {
	case "ram", "zram", "loop", "fd":
		return true
	}
	for _, disk := range [...]string{"hd", "sd", "vd", "xvd"} {
		if letter, ok := strings.CutPrefix(stem, disk); ok && len(letter) == 1 {
			return true
		}
	}
	return strings.HasPrefix(stem, "nvme") && strings.HasSuffix(stem, "p")
}

// writeDisks writes the counters of each block device that node_exporter shows.
func (t *nodeTable) writeDisks(w *writer, disks []diskStats) {
	for r := range t.disks {
		row := &t.disks[r]
		w.begin(&row.description)
		for i := range disks {
			if name := disks[i].name; !isPart(name) {
				w.with(row.of(&disks[i]), name)
			}
		}
	}
}

// nodeFilesystemRow is a family of file systems.
type nodeFilesystemRow struct {
	description
	of func(*filesystem) float64
}

// nodeFilesystemRows are the families of file systems.
func nodeFilesystemRows() []nodeFilesystemRow {
	row := func(name, help string, of func(*filesystem) float64) nodeFilesystemRow {
		return nodeFilesystemRow{description{name: "node_filesystem_" + name, help: help, labels: []string{"device", "fstype", "mountpoint"}}, of}
	}
	return []nodeFilesystemRow{
		row("size_bytes", "Size of the file system, in bytes.", func(fs *filesystem) float64 { return float64(fs.size) }),
		row("free_bytes", "Free space, in bytes.", func(fs *filesystem) float64 { return float64(fs.free) }),
		row("avail_bytes", "Free space that users other than root may have, in bytes.", func(fs *filesystem) float64 { return float64(fs.available) }),
		row("files", "Inodes of the file system.", func(fs *filesystem) float64 { return float64(fs.inodes) }),
		row("files_free", "Inodes that are free.", func(fs *filesystem) float64 { return float64(fs.inodesFree) }),
		row("readonly", "1 when it is mounted read-only, else 0.", func(fs *filesystem) float64 {
			if fs.readOnly {
				return 1
			}
			return 0
		}),
	}
}

// writeFilesystems writes the sizes of the mounted file systems.
func (t *nodeTable) writeFilesystems(w *writer, all []filesystem) {
	for r := range t.filesystems {
		row := &t.filesystems[r]
		w.begin(&row.description)
		for i := range all {
			if fs := &all[i]; fs.known {
				w.with(row.of(fs), strings.ToValidUTF8(fs.source, "\uFFFD"), fs.fstype, strings.ToValidUTF8(fs.point, "\uFFFD"))
			}
		}
	}
}
