package cgroup

import "math"

// NoLimit is the value of a limit that is not set.
const NoLimit = math.MaxUint64

// Value is a number that the kernel may not have: an older kernel lacks the
// file or the key, or the controller is not enabled.
type Value struct {
	N  uint64
	OK bool
}

// Sample is one reading of a container. Its memory is reused by the next
// reading into it; strings stay valid.
type Sample struct {
	CPU      CPU
	Memory   Memory
	Pids     Pids
	Pressure Pressure
	// Devices are the block devices that the cgroup has used, in the kernel's
	// order. HasIO tells none from not known.
	Devices []DeviceIO
	HasIO   bool
	// Interfaces are those of the container's network namespace except the
	// loopback and the host's ends of other containers' links.
	Interfaces []Interface

	// Huge are the sizes of huge pages that the kernel has, with their use.
	Huge []HugePages
	// Processes is what is asked of each process, with the parts that want it.
	Processes Processes
}

// Buffer is the memory that files are read into, which samples may share.
type Buffer struct{ bytes []byte }

// CPU is processor time and its limits.
type CPU struct {
	// Usage, User and System are nanoseconds since the cgroup was made. User
	// and System come in ticks of 10 ms on version 1.
	Usage, User, System Value
	// PerCPU is Usage by processor, in nanoseconds. Only version 1 has it.
	PerCPU []uint64
	// Periods counts the enforcement periods in which something ran, Throttled
	// those of them in which the quota ran out, ThrottledTime the nanoseconds
	// that tasks waited for it.
	Periods, Throttled, ThrottledTime Value
	// Bursts counts the periods in which saved quota was used, BurstTime the
	// nanoseconds of it.
	Bursts, BurstTime Value
	// Quota is the microseconds allowed in every Period, in microseconds, or
	// NoLimit.
	Quota, Period Value
	// Shares is the relative weight, where 1024 is the default. The weight of
	// version 2 is converted.
	Shares Value
}

// Memory is in bytes except where it says otherwise. Values are those of the
// cgroup with all below it, except the fault counters of version 1.
type Memory struct {
	// Usage is all that is charged, WorkingSet what of it is not file cache
	// that the kernel would drop first, MaxUsage the highest Usage seen.
	Usage, WorkingSet, MaxUsage Value
	// RSS is anonymous memory, Cache the page cache with shared memory,
	// MappedFile what of it is mapped, Swap what lies in swap.
	RSS, Cache, MappedFile, Swap Value
	// ActiveFile and InactiveFile are the page cache by recency of use.
	ActiveFile, InactiveFile Value
	// FileDirty and FileWriteback are the page cache still to be written, and
	// being written.
	FileDirty, FileWriteback Value
	// Kernel is memory that the kernel uses on the cgroup's behalf.
	Kernel Value
	// Failures counts how often the limit was hit.
	Failures Value
	// PageFaults and MajorFaults count faults; the latter had to read a disk.
	PageFaults, MajorFaults Value
	// Scanned and Stolen count pages looked at and reclaimed, RefaultFile and
	// RefaultAnon those that had to come back soon after.
	Scanned, Stolen, RefaultFile, RefaultAnon Value
	// EventsHigh counts throttled allocations above memory.high, EventsMax
	// those that met the limit. Only version 2 has them.
	EventsHigh, EventsMax Value
	// Migrate says whether pages follow a change of the allowed memory nodes.
	Migrate Value
	// Numa are the pages by kind and node.
	Numa []NumaPages
	// OOMKills counts processes that the kernel killed for want of memory.
	OOMKills Value
	// Limit is the hard limit, SwapLimit that of memory and swap together on
	// version 1 and of swap alone on version 2, Reservation what the kernel
	// tries not to take away. NoLimit where none is set.
	Limit, SwapLimit, Reservation Value
}

// Pids counts tasks: processes and their threads.
type Pids struct {
	// Current is how many there are, Max how many there may be, or NoLimit.
	Current, Max Value
}

// Pressure is the time that tasks were held up, in microseconds: at least one
// of them (Some), or all that had work to do (Full).
type Pressure struct {
	CPU, Memory, IO Stall
}

// Stall is the pressure on one resource.
type Stall struct {
	Some, Full Value
}

// Interface is a network interface and its counters since it was made.
type Interface struct {
	Name              string
	Receive, Transmit Traffic
}

// Traffic is one direction of an interface.
type Traffic struct {
	Bytes, Packets, Errors, Dropped uint64
}

// reset empties s and keeps its memory.
func (s *Sample) reset() {
	*s = Sample{
		CPU:        CPU{PerCPU: s.CPU.PerCPU[:0]},
		Memory:     Memory{Numa: s.Memory.Numa[:0]},
		Devices:    s.Devices[:0],
		Interfaces: s.Interfaces[:0],
		Huge:       s.Huge[:0],
	}
}

// device returns the entry of a device and makes one where there is none.
func (s *Sample) device(number Device) *DeviceIO {
	for i := range s.Devices {
		if s.Devices[i].Device == number {
			return &s.Devices[i]
		}
	}
	s.Devices = append(s.Devices, DeviceIO{Device: number})
	return &s.Devices[len(s.Devices)-1]
}

// finish works out what follows from several files.
func (s *Sample) finish() {
	m := &s.Memory
	// The root of version 2 has no memory.current; what is charged to somebody
	// is its best likeness.
	if !m.Usage.OK && m.RSS.OK && m.Cache.OK {
		m.Usage = Value{N: m.RSS.N + m.Cache.N, OK: true}
	}
	if m.Usage.OK {
		m.WorkingSet = Value{OK: true}
		if m.Usage.N > m.InactiveFile.N {
			m.WorkingSet.N = m.Usage.N - m.InactiveFile.N
		}
	}
}
