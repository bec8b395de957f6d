package metrics

import "tallyman/metrics/cgroup"

// diskRows are the use of file systems and block devices. For the root they are
// those of the host's mounted file systems and their devices.
func diskRows() []family {
	const d = "device"
	return []family{
		row(kindDisk, gauge, "container_fs_usage_bytes", "Bytes in the container's writable layer and log, or in the file system for the root.",
			fsValue(func(l *layerUse) uint64 { return l.bytes }, func(fs *filesystem) uint64 { return fs.used }), d),
		row(kindDisk, gauge, "container_fs_limit_bytes", "Size of the file system, in bytes.",
			fsValue(func(l *layerUse) uint64 { return l.fs.size }, func(fs *filesystem) uint64 { return fs.size }), d),
		row(kindDisk, gauge, "container_fs_inodes_total", "Inodes of the file system.",
			fsValue(func(l *layerUse) uint64 { return l.fs.inodes }, func(fs *filesystem) uint64 { return fs.inodes }), d),
		row(kindDisk, gauge, "container_fs_inodes_free", "Inodes of the file system that are free.",
			fsValue(func(l *layerUse) uint64 { return l.fs.inodesFree }, func(fs *filesystem) uint64 { return fs.inodesFree }), d),
		row(kindDisk, gauge, "tallyman_container_fs_inodes_used", "Files and folders in the container's writable layer and log.", layerInodes, d),

		row(kindDiskIO, counter, "container_fs_reads_bytes_total", "Bytes read from a block device.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Bytes[cgroup.Read] }, func(s *diskStats) float64 { return float64(s.sectorsRead) * sector }), d),
		row(kindDiskIO, counter, "container_fs_writes_bytes_total", "Bytes written to a block device.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Bytes[cgroup.Write] }, func(s *diskStats) float64 { return float64(s.sectorsWritten) * sector }), d),
		row(kindDiskIO, counter, "container_fs_reads_total", "Read requests to a block device.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Requests[cgroup.Read] }, func(s *diskStats) float64 { return float64(s.reads) }), d),
		row(kindDiskIO, counter, "container_fs_writes_total", "Write requests to a block device.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Requests[cgroup.Write] }, func(s *diskStats) float64 { return float64(s.writes) }), d),
		row(kindDiskIO, counter, "container_fs_sector_reads_total", "Sectors of 512 bytes read from a block device.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return sectors(d.Bytes[cgroup.Read]) }, func(s *diskStats) float64 { return float64(s.sectorsRead) }), d),
		row(kindDiskIO, counter, "container_fs_sector_writes_total", "Sectors of 512 bytes written to a block device.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return sectors(d.Bytes[cgroup.Write]) }, func(s *diskStats) float64 { return float64(s.sectorsWritten) }), d),
		row(kindDiskIO, counter, "container_blkio_device_usage_total", "Bytes moved to and from a block device, by operation.", deviceUsage, d, "major", "minor", "operation"),

		row(kindDiskIO, counter, "container_fs_reads_merged_total", "Read requests merged with others. Containers have it on cgroup v1, for disks with the scheduler bfq or cfq.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Merged[cgroup.Read] }, func(s *diskStats) float64 { return float64(s.readsMerged) }), d),
		row(kindDiskIO, counter, "container_fs_writes_merged_total", "Write requests merged with others. Containers have it on cgroup v1, for disks with the scheduler bfq or cfq.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Merged[cgroup.Write] }, func(s *diskStats) float64 { return float64(s.writesMerged) }), d),
		row(kindDiskIO, counter, "container_fs_read_seconds_total", "Time that read requests took, in seconds. Containers have it on cgroup v1, for disks with the scheduler bfq or cfq.",
			ioValue(nanosecond, func(d *cgroup.DeviceIO) cgroup.Value { return d.ServiceTime[cgroup.Read] }, func(s *diskStats) float64 { return float64(s.readTime) / millisecond }), d),
		row(kindDiskIO, counter, "container_fs_write_seconds_total", "Time that write requests took, in seconds. Containers have it on cgroup v1, for disks with the scheduler bfq or cfq.",
			ioValue(nanosecond, func(d *cgroup.DeviceIO) cgroup.Value { return d.ServiceTime[cgroup.Write] }, func(s *diskStats) float64 { return float64(s.writeTime) / millisecond }), d),
		row(kindDiskIO, gauge, "container_fs_io_current", "Requests in progress. Containers have it on cgroup v1, for disks with the scheduler bfq or cfq.",
			ioValue(1, func(d *cgroup.DeviceIO) cgroup.Value { return d.Queued[cgroup.Total] }, func(s *diskStats) float64 { return float64(s.inProgress) }), d),
		row(kindDiskIO, counter, "container_fs_io_time_seconds_total", "Time in which requests were in progress, in seconds. Containers have it on cgroup v1, for disks with the scheduler bfq or cfq.",
			ioValue(millisecond, func(d *cgroup.DeviceIO) cgroup.Value { return d.Time }, func(s *diskStats) float64 { return float64(s.busyTime) / millisecond }), d),
		row(kindDiskIO, counter, "container_fs_io_time_weighted_seconds_total", "Time in progress of all requests together, in seconds. Only the whole machine has it.",
			diskValue(func(s *diskStats) float64 { return float64(s.weightedTime) / millisecond }), d),

		row(kindDiskIO, counter, "container_fs_io_cost_usage_seconds_total", "Time of a block device used, by the kernel's model of it, in seconds (cgroup v2).",
			costValue(func(c *cgroup.Cost) cgroup.Value { return c.Usage }), d),
		row(kindDiskIO, counter, "container_fs_io_cost_wait_seconds_total", "Time waited for a share of a block device, in seconds (cgroup v2).",
			costValue(func(c *cgroup.Cost) cgroup.Value { return c.Wait }), d),
		row(kindDiskIO, counter, "container_fs_io_cost_indebt_seconds_total", "Time in debt for a block device, in seconds (cgroup v2).",
			costValue(func(c *cgroup.Cost) cgroup.Value { return c.InDebt }), d),
		row(kindDiskIO, counter, "container_fs_io_cost_indelay_seconds_total", "Time held back to pay debt for a block device, in seconds (cgroup v2).",
			costValue(func(c *cgroup.Cost) cgroup.Value { return c.InDelay }), d),
	}
}
