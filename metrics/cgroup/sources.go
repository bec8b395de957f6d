package cgroup

// source is one kernel file of a cgroup and what it tells.
type source struct {
	// controller is the name of version 1, which says in which hierarchy the
	// file lies. Files of version 2 carry the name that version 1 has for the
	// same thing, and are used where version 1 does not have the controller.
	controller string
	// names are the file's names: the first that exists is read. None is a
	// must: what is missing stays absent in the sample.
	names []string
	// part is what the file is about. Files of the part Limits, which every set
	// has, must tell nothing but what the type limits holds.
	part Parts
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
	cpusetController  = "cpuset"
	hugetlbController = "hugetlb"
	// noController marks files that version 1 has nothing like.
	noController = ""
)

// tick is how many nanoseconds a tick of cpuacct.stat lasts. The kernel shows
// ticks of 10 ms to user space on every architecture that Docker runs on.
const tick = 1e9 / 100

// sourcesV1 lists the files of version 1, as Documentation/admin-guide/cgroup-v1
// of the kernel describes them. The time of all processors is the sum of theirs,
// and its file is read only where these are not wanted.
func sourcesV1(parts Parts) []source {
	usage := source{cpuacctController, []string{"cpuacct.usage"}, Processor | Brief, func(s *Sample, b []byte) { s.CPU.Usage = parseValue(b) }}
	if parts&PerCPU != 0 {
		usage = source{cpuacctController, []string{"cpuacct.usage_percpu"}, PerCPU, parsePerCPU}
	}
	return []source{
		usage,
		{cpuacctController, []string{"cpuacct.stat"}, Processor, parseCpuacctStat},
		{cpuController, []string{"cpu.stat"}, Processor, parseCPUStatV1},
		{cpuController, []string{"cpu.cfs_quota_us"}, Limits, func(s *Sample, b []byte) { s.CPU.Quota = parseLimit(b) }},
		{cpuController, []string{"cpu.cfs_period_us"}, Limits, func(s *Sample, b []byte) { s.CPU.Period = parseValue(b) }},
		{cpuController, []string{"cpu.shares"}, Limits, func(s *Sample, b []byte) { s.CPU.Shares = parseValue(b) }},
		{memoryController, []string{"memory.usage_in_bytes"}, MemoryUse | Brief, func(s *Sample, b []byte) { s.Memory.Usage = parseValue(b) }},
		{memoryController, []string{"memory.max_usage_in_bytes"}, MemoryUse, func(s *Sample, b []byte) { s.Memory.MaxUsage = parseValue(b) }},
		{memoryController, []string{"memory.failcnt"}, MemoryUse, func(s *Sample, b []byte) { s.Memory.Failures = parseValue(b) }},
		{memoryController, []string{"memory.kmem.usage_in_bytes"}, MemoryUse, func(s *Sample, b []byte) { s.Memory.Kernel = parseValue(b) }},
		{memoryController, []string{"memory.stat"}, MemoryUse | Brief, parseMemoryStatV1},
		{memoryController, []string{"memory.oom_control"}, OOM, parseOOMControl},
		{memoryController, []string{"memory.limit_in_bytes"}, Limits, func(s *Sample, b []byte) { s.Memory.Limit = parseLimit(b) }},
		{memoryController, []string{"memory.memsw.limit_in_bytes"}, Limits, func(s *Sample, b []byte) { s.Memory.SwapLimit = parseLimit(b) }},
		{memoryController, []string{"memory.soft_limit_in_bytes"}, Limits, func(s *Sample, b []byte) { s.Memory.Reservation = parseLimit(b) }},
		{pidsController, []string{"pids.current"}, Tasks | Brief, func(s *Sample, b []byte) { s.Pids.Current = parseValue(b) }},
		{pidsController, []string{"pids.max"}, Tasks, func(s *Sample, b []byte) { s.Pids.Max = parseLimit(b) }},
		// The throttle files count whatever the scheduler is, but newer kernels only
		// on disks that some cgroup has a rate limit on; those of the schedulers bfq
		// and, until 5.0, cfq only on disks that have that scheduler. Kernels before
		// 4.17 have only throttle files that leave out the cgroups below.
		{blkioController, []string{"blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"}, IO | Brief, parseServiceBytes},
		{blkioController, []string{"blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"}, IO, parseServiced},
		{blkioController, schedulers("io_service_bytes"), IO | Brief, parseServiceBytes},
		{blkioController, schedulers("io_serviced"), IO, parseServiced},
		{blkioController, schedulers("io_merged"), IO, parseMerged},
		{blkioController, schedulers("io_service_time"), IO, parseServiceTime},
		{blkioController, schedulers("io_queued"), IO, parseQueued},
		{blkioController, schedulers("time"), IO, parseDeviceTime},
		{memoryController, []string{"memory.numa_stat"}, Numa, parseNumaStat},
		{cpusetController, []string{"cpuset.memory_migrate"}, Placement, func(s *Sample, b []byte) { s.Memory.Migrate = parseValue(b) }},
	}
}

// schedulers returns the names of a file of the schedulers bfq and cfq.
func schedulers(name string) []string {
	return []string{"blkio.bfq." + name + "_recursive", "blkio." + name + "_recursive"}
}

// sourcesV2 lists the files of version 2, as cgroup-v2.rst of the kernel
// describes them.
func sourcesV2() []source {
	return []source{
		{cpuController, []string{"cpu.stat"}, Processor | Brief, parseCPUStatV2},
		{cpuController, []string{"cpu.max"}, Limits, parseCPUMax},
		{cpuController, []string{"cpu.weight"}, Limits, func(s *Sample, b []byte) { s.CPU.Shares = sharesOfWeight(parseValue(b)) }},
		{memoryController, []string{"memory.current"}, MemoryUse | Brief, func(s *Sample, b []byte) { s.Memory.Usage = parseValue(b) }},
		{memoryController, []string{"memory.peak"}, MemoryUse, func(s *Sample, b []byte) { s.Memory.MaxUsage = parseValue(b) }},
		{memoryController, []string{"memory.swap.current"}, MemoryUse, func(s *Sample, b []byte) { s.Memory.Swap = parseValue(b) }},
		{memoryController, []string{"memory.stat"}, MemoryUse | Brief, parseMemoryStatV2},
		{memoryController, []string{"memory.events"}, OOM | MemoryUse, parseMemoryEvents},
		{memoryController, []string{"memory.max"}, Limits, func(s *Sample, b []byte) { s.Memory.Limit = parseLimit(b) }},
		{memoryController, []string{"memory.swap.max"}, Limits, func(s *Sample, b []byte) { s.Memory.SwapLimit = parseLimit(b) }},
		// Docker's reservation is memory.low; other runtimes set memory.min.
		{memoryController, []string{"memory.low"}, Limits, parseReservation},
		{memoryController, []string{"memory.min"}, Limits, parseReservation},
		{pidsController, []string{"pids.current"}, Tasks | Brief, func(s *Sample, b []byte) { s.Pids.Current = parseValue(b) }},
		{pidsController, []string{"pids.max"}, Tasks, func(s *Sample, b []byte) { s.Pids.Max = parseLimit(b) }},
		{blkioController, []string{"io.stat"}, IO | Brief, parseIOStat},
		{noController, []string{"cpu.pressure"}, Stalls, func(s *Sample, b []byte) { s.Pressure.CPU = parsePressure(b) }},
		{noController, []string{"memory.pressure"}, Stalls, func(s *Sample, b []byte) { s.Pressure.Memory = parsePressure(b) }},
		{noController, []string{"io.pressure"}, Stalls, func(s *Sample, b []byte) { s.Pressure.IO = parsePressure(b) }},
	}
}
