package cgroup

// Parts is a set of subjects that are read of every cgroup. A subject left out
// costs nothing: its files are not opened.
type Parts uint32

// The parts. Limits are part of every set: their files are read only when
// somebody has written to them.
const (
	Limits Parts = 1 << iota
	// Processor is CPU time and throttling, PerCPU the time by processor.
	Processor
	PerCPU
	// MemoryUse is memory, OOM the kills for want of it, Numa the pages by
	// memory node, Huge the huge pages, Placement the settings of cpuset.
	MemoryUse
	OOM
	Numa
	Huge
	Placement
	// IO is the use of block devices, Stalls the time lost in waiting.
	IO
	Stalls
	// Network is the interfaces of the network namespace.
	Network
	// Tasks is the number of tasks and its limit.
	Tasks
	// Members is the number of processes, and of their open files and sockets,
	// Schedule their waiting for a processor, Referenced the memory that they
	// have touched. Each is asked of every process and so is dear.
	Members
	Schedule
	Referenced
	// TCP and UDP count the sockets of the network namespace by state, TCPExtra
	// are the counters of its TCP.
	TCP
	UDP
	TCPExtra
	// Brief is the few files that tell the sums: processor time, memory in use with
	// what of it is cache, tasks, and the bytes of block devices.
	Brief
)

// perProcess are the parts that every process is asked for.
const perProcess = Members | Schedule | Referenced

// ofProcess are the parts for which the first process's folder stays open.
const ofProcess = Members | TCP | UDP | TCPExtra
