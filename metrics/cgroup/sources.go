package cgroup

import "math/bits"

// source is one kernel file of a cgroup and what it tells.
type source struct {
	// controller is the name of version 1, which says in which hierarchy the
	// file lies. Files of version 2 carry the name that version 1 has for the
	// same thing, and are used where version 1 does not have the controller.
	controller string
	// names are the file's names: the first that exists is read. None is a
	// must: what is missing stays absent in the sample.
	names []string
	// parse puts the file's content into the sample.
	parse func(s *Sample, b []byte)
}

// The controllers of version 1 that are read.
const (
	cpuController     = "cpu"
	cpuacctController = "cpuacct"
	memoryController  = "memory"
	blkioController   = "blkio"
	pidsController    = "pids"
	// noController marks files that version 1 has nothing like.
	noController = ""
)

// tick is how many nanoseconds a tick of cpuacct.stat lasts. The kernel shows
// ticks of 10 ms to user space on every architecture that Docker runs on.
const tick = 1e9 / 100

// sourcesV1 lists the files of version 1, as Documentation/admin-guide/cgroup-v1
// of the kernel describes them. Limits are read with every sample: an open file
// costs less than knowing when a limit was changed.
func sourcesV1() []source {
	return []source{
		{cpuacctController, []string{"cpuacct.usage"}, func(s *Sample, b []byte) { s.CPU.Usage = parseValue(b) }},
		{cpuacctController, []string{"cpuacct.usage_percpu"}, func(s *Sample, b []byte) { s.CPU.PerCPU = appendUints(s.CPU.PerCPU, b) }},
		{cpuacctController, []string{"cpuacct.stat"}, parseCpuacctStat},
		{cpuController, []string{"cpu.stat"}, parseCPUStatV1},
		{cpuController, []string{"cpu.cfs_quota_us"}, func(s *Sample, b []byte) { s.CPU.Quota = parseLimit(b) }},
		{cpuController, []string{"cpu.cfs_period_us"}, func(s *Sample, b []byte) { s.CPU.Period = parseValue(b) }},
		{cpuController, []string{"cpu.shares"}, func(s *Sample, b []byte) { s.CPU.Shares = parseValue(b) }},
		{memoryController, []string{"memory.usage_in_bytes"}, func(s *Sample, b []byte) { s.Memory.Usage = parseValue(b) }},
		{memoryController, []string{"memory.max_usage_in_bytes"}, func(s *Sample, b []byte) { s.Memory.MaxUsage = parseValue(b) }},
		{memoryController, []string{"memory.failcnt"}, func(s *Sample, b []byte) { s.Memory.Failures = parseValue(b) }},
		{memoryController, []string{"memory.kmem.usage_in_bytes"}, func(s *Sample, b []byte) { s.Memory.Kernel = parseValue(b) }},
		{memoryController, []string{"memory.stat"}, parseMemoryStatV1},
		{memoryController, []string{"memory.oom_control"}, parseOOMControl},
		{memoryController, []string{"memory.limit_in_bytes"}, func(s *Sample, b []byte) { s.Memory.Limit = parseLimit(b) }},
		{memoryController, []string{"memory.memsw.limit_in_bytes"}, func(s *Sample, b []byte) { s.Memory.SwapLimit = parseLimit(b) }},
		{memoryController, []string{"memory.soft_limit_in_bytes"}, func(s *Sample, b []byte) { s.Memory.Reservation = parseLimit(b) }},
		{pidsController, []string{"pids.current"}, func(s *Sample, b []byte) { s.Pids.Current = parseValue(b) }},
		{pidsController, []string{"pids.max"}, func(s *Sample, b []byte) { s.Pids.Max = parseLimit(b) }},
		// The throttle files count whatever the scheduler is; kernels before
		// 4.17 have only those that leave out the cgroups below.
		{blkioController, []string{"blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"}, parseServiceBytes},
		{blkioController, []string{"blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"}, parseServiced},
	}
}

// sourcesV2 lists the files of version 2, as cgroup-v2.rst of the kernel
// describes them.
func sourcesV2() []source {
	return []source{
		{cpuController, []string{"cpu.stat"}, parseCPUStatV2},
		{cpuController, []string{"cpu.max"}, parseCPUMax},
		{cpuController, []string{"cpu.weight"}, func(s *Sample, b []byte) { s.CPU.Shares = sharesOfWeight(parseValue(b)) }},
		{memoryController, []string{"memory.current"}, func(s *Sample, b []byte) { s.Memory.Usage = parseValue(b) }},
		{memoryController, []string{"memory.peak"}, func(s *Sample, b []byte) { s.Memory.MaxUsage = parseValue(b) }},
		{memoryController, []string{"memory.swap.current"}, func(s *Sample, b []byte) { s.Memory.Swap = parseValue(b) }},
		{memoryController, []string{"memory.stat"}, parseMemoryStatV2},
		{memoryController, []string{"memory.events"}, parseMemoryEvents},
		{memoryController, []string{"memory.max"}, func(s *Sample, b []byte) { s.Memory.Limit = parseLimit(b) }},
		{memoryController, []string{"memory.swap.max"}, func(s *Sample, b []byte) { s.Memory.SwapLimit = parseLimit(b) }},
		// Docker's reservation is memory.low; other runtimes set memory.min.
		{memoryController, []string{"memory.low"}, parseReservation},
		{memoryController, []string{"memory.min"}, parseReservation},
		{pidsController, []string{"pids.current"}, func(s *Sample, b []byte) { s.Pids.Current = parseValue(b) }},
		{pidsController, []string{"pids.max"}, func(s *Sample, b []byte) { s.Pids.Max = parseLimit(b) }},
		{blkioController, []string{"io.stat"}, parseIOStat},
		{noController, []string{"cpu.pressure"}, func(s *Sample, b []byte) { s.Pressure.CPU = parsePressure(b) }},
		{noController, []string{"memory.pressure"}, func(s *Sample, b []byte) { s.Pressure.Memory = parsePressure(b) }},
		{noController, []string{"io.pressure"}, func(s *Sample, b []byte) { s.Pressure.IO = parsePressure(b) }},
	}
}

// parseCpuacctStat reads user and system time in ticks.
func parseCpuacctStat(s *Sample, b []byte) {
	parseFlat(b, func(key []byte, n uint64) {
		switch string(key) {
		case "user":
			s.CPU.User = Value{n * tick, true}
		case "system":
			s.CPU.System = Value{n * tick, true}
		}
	})
}

// parseCPUStatV1 reads throttling, with times in nanoseconds.
func parseCPUStatV1(s *Sample, b []byte) {
	parseFlat(b, func(key []byte, n uint64) {
		switch string(key) {
		case "nr_periods":
			s.CPU.Periods = Value{n, true}
		case "nr_throttled":
			s.CPU.Throttled = Value{n, true}
		case "throttled_time":
			s.CPU.ThrottledTime = Value{n, true}
		case "nr_bursts":
			s.CPU.Bursts = Value{n, true}
		case "burst_time":
			s.CPU.BurstTime = Value{n, true}
		}
	})
}

// parseCPUStatV2 reads use and throttling, with times in microseconds.
func parseCPUStatV2(s *Sample, b []byte) {
	parseFlat(b, func(key []byte, n uint64) {
		switch string(key) {
		case "usage_usec":
			s.CPU.Usage = Value{n * 1000, true}
		case "user_usec":
			s.CPU.User = Value{n * 1000, true}
		case "system_usec":
			s.CPU.System = Value{n * 1000, true}
		case "nr_periods":
			s.CPU.Periods = Value{n, true}
		case "nr_throttled":
			s.CPU.Throttled = Value{n, true}
		case "throttled_usec":
			s.CPU.ThrottledTime = Value{n * 1000, true}
		case "nr_bursts":
			s.CPU.Bursts = Value{n, true}
		case "burst_usec":
			s.CPU.BurstTime = Value{n * 1000, true}
		}
	})
}

// parseCPUMax reads "quota period", where the quota may be "max".
func parseCPUMax(s *Sample, b []byte) {
	_, rest := nextField(b)
	s.CPU.Quota = parseLimit(b)
	s.CPU.Period = parseValue(rest)
}

// sharesOfWeight turns a weight of 1 to 10000 into shares of 2 to 262144, along
// the straight line that container runtimes use the other way round.
func sharesOfWeight(weight Value) Value {
	if !weight.OK || weight.N == 0 {
		return Value{}
	}
	// A weight is four digits long in the kernel, but a file may hold anything.
	high, low := bits.Mul64(weight.N-1, 262142)
	if high != 0 {
		return Value{}
	}
	return Value{2 + low/9999, true}
}

// parseMemoryStatV1 reads the keys that take in the cgroups below, where
// version 1 has them, and the fault counters that cAdvisor takes without.
func parseMemoryStatV1(s *Sample, b []byte) {
	m := &s.Memory
	parseFlat(b, func(key []byte, n uint64) {
		switch string(key) {
		case "total_cache":
			m.Cache = Value{n, true}
		case "total_rss":
			m.RSS = Value{n, true}
		case "total_mapped_file":
			m.MappedFile = Value{n, true}
		case "total_swap":
			m.Swap = Value{n, true}
		case "total_active_file":
			m.ActiveFile = Value{n, true}
		case "total_inactive_file":
			m.InactiveFile = Value{n, true}
		case "total_dirty":
			m.FileDirty = Value{n, true}
		case "total_writeback":
			m.FileWriteback = Value{n, true}
		case "pgfault":
			m.PageFaults = Value{n, true}
		case "pgmajfault":
			m.MajorFaults = Value{n, true}
		case "workingset_refault_file":
			m.RefaultFile = Value{n, true}
		case "workingset_refault_anon":
			m.RefaultAnon = Value{n, true}
		}
	})
}

// parseMemoryStatV2 reads the keys of version 2, which all take in the cgroups
// below.
func parseMemoryStatV2(s *Sample, b []byte) {
	m := &s.Memory
	parseFlat(b, func(key []byte, n uint64) {
		switch string(key) {
		case "anon":
			m.RSS = Value{n, true}
		case "file":
			m.Cache = Value{n, true}
		case "kernel":
			m.Kernel = Value{n, true}
		case "file_mapped":
			m.MappedFile = Value{n, true}
		case "active_file":
			m.ActiveFile = Value{n, true}
		case "inactive_file":
			m.InactiveFile = Value{n, true}
		case "file_dirty":
			m.FileDirty = Value{n, true}
		case "file_writeback":
			m.FileWriteback = Value{n, true}
		case "pgfault":
			m.PageFaults = Value{n, true}
		case "pgmajfault":
			m.MajorFaults = Value{n, true}
		case "pgscan":
			m.Scanned = Value{n, true}
		case "pgsteal":
			m.Stolen = Value{n, true}
		case "workingset_refault_file":
			m.RefaultFile = Value{n, true}
		case "workingset_refault_anon":
			m.RefaultAnon = Value{n, true}
		}
	})
}

// parseOOMControl reads the count of kills, which kernels have since 4.13.
func parseOOMControl(s *Sample, b []byte) {
	parseFlat(b, func(key []byte, n uint64) {
		if string(key) == "oom_kill" {
			s.Memory.OOMKills = Value{n, true}
		}
	})
}

// parseMemoryEvents reads the events of version 2. An allocation that met the
// limit is what version 1 counts in memory.failcnt.
func parseMemoryEvents(s *Sample, b []byte) {
	m := &s.Memory
	parseFlat(b, func(key []byte, n uint64) {
		switch string(key) {
		case "high":
			m.EventsHigh = Value{n, true}
		case "max":
			m.EventsMax = Value{n, true}
			m.Failures = Value{n, true}
		case "oom_kill":
			m.OOMKills = Value{n, true}
		}
	})
}

// parseReservation keeps the larger of the two protections of version 2.
func parseReservation(s *Sample, b []byte) {
	if v := parseLimit(b); v.OK && v.N >= s.Memory.Reservation.N {
		s.Memory.Reservation = v
	}
}

// parseServiceBytes reads bytes by device and operation.
func parseServiceBytes(s *Sample, b []byte) {
	s.HasIO = true
	parseBlkio(b, func(device Device, op Operation, n uint64) {
		s.device(device).Bytes[op] = Value{n, true}
	})
}

// parseServiced reads requests by device and operation.
func parseServiced(s *Sample, b []byte) {
	s.HasIO = true
	parseBlkio(b, func(device Device, op Operation, n uint64) {
		s.device(device).Requests[op] = Value{n, true}
	})
}

// parseIOStat reads version 2's one file for bytes and requests.
func parseIOStat(s *Sample, b []byte) {
	s.HasIO = true
	parseNested(b, func(key, name []byte, n uint64) {
		device, ok := parseDevice(key)
		if !ok {
			return
		}
		switch string(name) {
		case "rbytes":
			s.device(device).Bytes[Read] = Value{n, true}
		case "wbytes":
			s.device(device).Bytes[Write] = Value{n, true}
		case "rios":
			s.device(device).Requests[Read] = Value{n, true}
		case "wios":
			s.device(device).Requests[Write] = Value{n, true}
		}
	})
}
