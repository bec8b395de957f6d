package cgroup

import "math/bits"

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

// parsePerCPU reads the time of each processor, whose sum is that of all.
func parsePerCPU(s *Sample, b []byte) {
	s.CPU.PerCPU = appendUints(s.CPU.PerCPU, b)
	s.CPU.Usage = Value{OK: len(s.CPU.PerCPU) > 0}
	for _, used := range s.CPU.PerCPU {
		s.CPU.Usage.N += used
	}
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
