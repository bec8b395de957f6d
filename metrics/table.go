package metrics

import "tallyman/metrics/cgroup"

// family is a row of the table of container metrics.
type family struct {
	// name is cAdvisor's name of the family and help our words for it.
	name, help string
	kind       kind
	// labels are those besides the container's own, sorted by name.
	labels []string
	// read gives the values of one container, each with its values of labels.
	// It gives none where the container does not have the thing.
	read func(r *reading, give give)
}

// give takes a value and its values of the family's labels.
type give func(value float64, labels ...string)

// containerTable is every family of a container, in the order of cAdvisor's
// documentation: identity, limits, processor, memory, block devices, network,
// pressure, tasks. What is read from the kernel is read before, all of it, into
// the reading: a row that needs another kernel file needs a source for it in
// package cgroup.
func containerTable() []family {
	device := []string{"device"}
	operation := []string{"device", "major", "minor", "operation"}
	networkInterface := []string{"interface"}
	return []family{
		{"container_last_seen", "When the container was last seen, which is the time of the scrape, in seconds since the epoch.", gauge, nil, lastSeen},
		{"container_start_time_seconds", "When the container was last started, in seconds since the epoch.", gauge, nil, started},
		{"container_creation_time_seconds", "When the container was created, in seconds since the epoch.", gauge, nil, created},
		{"container_health_state", "State of the container's health check: 1 healthy, 0 starting or unhealthy, -1 no health check.", gauge, nil, health},

		{"container_spec_cpu_period", "Length of the period in which the CPU quota may be used, in microseconds.", gauge, nil,
			cpuValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Period })},
		{"container_spec_cpu_quota", "CPU time allowed in each period, in microseconds. There is none without a quota.", gauge, nil,
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Quota })},
		{"container_spec_cpu_shares", "Relative weight of the container when CPU time is scarce; the default is 1024.", gauge, nil,
			cpuValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Shares })},
		{"container_spec_memory_limit_bytes", "Memory limit in bytes, 0 without one. For the root it is the machine's memory.", gauge, nil, memoryLimit},
		{"container_spec_memory_swap_limit_bytes", "Limit in bytes of memory and swap together (cgroup v1) or of swap alone (v2), 0 without one.", gauge, nil,
			memoryLimitValue(func(m *cgroup.Memory) cgroup.Value { return m.SwapLimit })},
		{"container_spec_memory_reservation_limit_bytes", "Memory in bytes that is not taken from the container while others can give it, 0 without a reservation.", gauge, nil,
			memoryLimitValue(func(m *cgroup.Memory) cgroup.Value { return m.Reservation })},

		{"container_cpu_usage_seconds_total", "CPU time used, in seconds, by processor where the kernel tells (cgroup v1), else in total.", counter, []string{"cpu"}, cpuUsage},
		{"container_cpu_user_seconds_total", "CPU time used in user mode, in seconds.", counter, nil,
			cpuValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.User })},
		{"container_cpu_system_seconds_total", "CPU time used in kernel mode, in seconds.", counter, nil,
			cpuValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.System })},
		{"container_cpu_cfs_periods_total", "Periods in which the container ran under its CPU quota.", counter, nil,
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Periods })},
		{"container_cpu_cfs_throttled_periods_total", "Periods in which the CPU quota ran out.", counter, nil,
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Throttled })},
		{"container_cpu_cfs_throttled_seconds_total", "Time that tasks waited because the CPU quota had run out, in seconds.", counter, nil,
			cfsValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.ThrottledTime })},
		{"container_cpu_cfs_burst_periods_total", "Periods in which CPU quota saved from earlier ones was used.", counter, nil,
			cfsValue(1, func(c *cgroup.CPU) cgroup.Value { return c.Bursts })},
		{"container_cpu_cfs_burst_seconds_total", "CPU time used out of quota saved from earlier periods, in seconds.", counter, nil,
			cfsValue(nanosecond, func(c *cgroup.CPU) cgroup.Value { return c.BurstTime })},

		{"container_memory_usage_bytes", "All memory charged to the container, page cache included, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Usage })},
		{"container_memory_working_set_bytes", "Memory that could not be freed at once: usage without inactive page cache, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.WorkingSet })},
		{"container_memory_max_usage_bytes", "Highest memory usage since the container was started, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.MaxUsage })},
		{"container_memory_rss", "Anonymous memory in bytes: heap, stack and private pages.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.RSS })},
		{"container_memory_cache", "Page cache in bytes, shared memory included.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Cache })},
		{"container_memory_mapped_file", "Page cache that is mapped into processes, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.MappedFile })},
		{"container_memory_swap", "Swap in use, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Swap })},
		{"container_memory_kernel_usage", "Memory that the kernel holds for the container, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Kernel })},
		{"container_memory_total_active_file_bytes", "Page cache used of late, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.ActiveFile })},
		{"container_memory_total_inactive_file_bytes", "Page cache not used of late, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.InactiveFile })},
		{"container_memory_file_dirty_bytes", "Page cache that has still to be written, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.FileDirty })},
		{"container_memory_file_writeback_bytes", "Page cache that is being written, in bytes.", gauge, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.FileWriteback })},
		{"container_memory_failcnt", "How often memory usage met its limit.", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Failures })},
		{"container_memory_events_high_total", "Allocations held back for exceeding memory.high (cgroup v2).", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.EventsHigh })},
		{"container_memory_events_max_total", "Allocations that met the memory limit (cgroup v2).", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.EventsMax })},
		{"container_memory_failures_total", "Page faults, by whether a disk had to be read. Both scopes show the same number.", counter, []string{"failure_type", "scope"}, memoryFailures},
		{"container_memory_pgscan_total", "Pages looked at for reclaim.", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Scanned })},
		{"container_memory_pgsteal_total", "Pages reclaimed.", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.Stolen })},
		{"container_memory_workingset_refault_file_total", "Pages of files that were needed again soon after reclaim.", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.RefaultFile })},
		{"container_memory_workingset_refault_anon_total", "Anonymous pages that were needed again soon after reclaim.", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.RefaultAnon })},
		{"container_oom_events_total", "Processes that the kernel killed because the container's memory was used up.", counter, nil,
			memoryValue(func(m *cgroup.Memory) cgroup.Value { return m.OOMKills })},

		{"container_fs_reads_bytes_total", "Bytes read from a block device.", counter, device,
			deviceValue(func(d *cgroup.DeviceIO) cgroup.Value { return d.Bytes[cgroup.Read] })},
		{"container_fs_writes_bytes_total", "Bytes written to a block device.", counter, device,
			deviceValue(func(d *cgroup.DeviceIO) cgroup.Value { return d.Bytes[cgroup.Write] })},
		{"container_fs_reads_total", "Read requests to a block device.", counter, device,
			deviceValue(func(d *cgroup.DeviceIO) cgroup.Value { return d.Requests[cgroup.Read] })},
		{"container_fs_writes_total", "Write requests to a block device.", counter, device,
			deviceValue(func(d *cgroup.DeviceIO) cgroup.Value { return d.Requests[cgroup.Write] })},
		{"container_blkio_device_usage_total", "Bytes moved to and from a block device, by operation.", counter, operation, deviceUsage},

		{"container_network_receive_bytes_total", "Bytes received.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Bytes })},
		{"container_network_receive_packets_total", "Packets received.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Packets })},
		{"container_network_receive_packets_dropped_total", "Incoming packets dropped.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Dropped })},
		{"container_network_receive_errors_total", "Errors in receiving.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Receive.Errors })},
		{"container_network_transmit_bytes_total", "Bytes sent.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Bytes })},
		{"container_network_transmit_packets_total", "Packets sent.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Packets })},
		{"container_network_transmit_packets_dropped_total", "Outgoing packets dropped.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Dropped })},
		{"container_network_transmit_errors_total", "Errors in sending.", counter, networkInterface,
			interfaceValue(func(i *cgroup.Interface) uint64 { return i.Transmit.Errors })},

		{"container_pressure_cpu_waiting_seconds_total", "Time in which a task or more waited for CPU time, in seconds.", counter, nil,
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.CPU.Some })},
		{"container_pressure_cpu_stalled_seconds_total", "Time in which every task waited for CPU time, in seconds.", counter, nil,
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.CPU.Full })},
		{"container_pressure_memory_waiting_seconds_total", "Time in which a task or more waited for memory, in seconds.", counter, nil,
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.Memory.Some })},
		{"container_pressure_memory_stalled_seconds_total", "Time in which every task waited for memory, in seconds.", counter, nil,
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.Memory.Full })},
		{"container_pressure_io_waiting_seconds_total", "Time in which a task or more waited for block devices, in seconds.", counter, nil,
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.IO.Some })},
		{"container_pressure_io_stalled_seconds_total", "Time in which every task waited for block devices, in seconds.", counter, nil,
			pressureValue(func(p *cgroup.Pressure) cgroup.Value { return p.IO.Full })},

		{"container_threads", "Tasks in the container: processes and their threads.", gauge, nil,
			pidsValue(func(p *cgroup.Pids) cgroup.Value { return p.Current })},
		{"container_threads_max", "Tasks that the container may have, 0 without a limit.", gauge, nil,
			pidsValue(func(p *cgroup.Pids) cgroup.Value { return p.Max })},
	}
}
