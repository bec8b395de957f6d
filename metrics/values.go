package metrics

import (
	"strings"

	"tallyman/metrics/cgroup"
)

func lastSeen(r *reading, w *writer) { w.with(float64(r.at.Unix())) }

// started writes when the container, or the machine, was started.
func started(r *reading, w *writer) {
	at := r.host.bootTime
	if !r.isRoot() {
		at = r.container.Started
	}
	if !at.IsZero() {
		w.with(float64(at.Unix()))
	}
}

// created writes when the container was made or the machine started.
func created(r *reading, w *writer) {
	at := r.host.bootTime
	if !r.isRoot() {
		at = r.container.Created
	}
	if !at.IsZero() {
		w.with(float64(at.Unix()))
	}
}

// health writes the state of the health check.
func health(r *reading, w *writer) {
	switch {
	case r.isRoot() || r.container.Health == "" || r.container.Health == "none":
		w.with(-1)
	case r.container.Health == "healthy":
		w.with(1)
	default:
		w.with(0)
	}
}

func restarts(r *reading, w *writer) {
	if !r.isRoot() {
		w.with(float64(r.container.RestartCount))
	}
}

func cpuPeriod(r *reading, w *writer) {
	if r.hasCPU() {
		w.count(r.sample.CPU.Period.N)
	}
}

func cpuShares(r *reading, w *writer) {
	if r.hasCPU() {
		w.count(r.sample.CPU.Shares.N)
	}
}

// hasQuota reports whether the CPU time is limited.
func (r *reading) hasQuota() bool {
	quota := r.sample.CPU.Quota
	return quota.OK && quota.N != cgroup.NoLimit
}

func cpuQuota(r *reading, w *writer) {
	if r.hasQuota() {
		w.count(r.sample.CPU.Quota.N)
	}
}

// cpuUsage writes the CPU time of each processor that was used or, where that
// is not known, of all, unless it is nothing yet.
func cpuUsage(r *reading, w *writer) {
	c := &r.sample.CPU
	for number, used := range c.PerCPU {
		if used > 0 {
			w.with(float64(used)/nanosecond, r.host.processor(number))
		}
	}
	if len(c.PerCPU) == 0 && c.Usage.N > 0 {
		w.with(float64(c.Usage.N)/nanosecond, "total")
	}
}

// cpuValue writes a value of a container that has a CPU controller. As in
// cAdvisor what the kernel does not have is then 0; so it is with memoryValue.
func cpuValue(divisor float64, of func(*cgroup.CPU) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if r.sample.CPU.Usage.OK {
			w.with(float64(of(&r.sample.CPU).N) / divisor)
		}
	}
}

// cfsValue writes a value of a container that has a CPU quota. Where the quota
// is not known, as from the engine, its periods tell that there is one.
func cfsValue(divisor float64, of func(*cgroup.CPU) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if c := &r.sample.CPU; r.hasQuota() || !c.Quota.OK && c.Periods.N > 0 {
			w.with(float64(of(&r.sample.CPU).N) / divisor)
		}
	}
}

func zero(_ *reading, w *writer) { w.with(0) }

func tasksState(_ *reading, w *writer) {
	for _, state := range [...]string{"iowaiting", "running", "sleeping", "stopped", "uninterruptible"} {
		w.with(0, state)
	}
}

// memoryValue writes a value of a container that has a memory controller.
func memoryValue(of func(*cgroup.Memory) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if r.sample.Memory.Usage.OK {
			w.count(of(&r.sample.Memory).N)
		}
	}
}

// writeLimit writes a memory limit, 0 for none.
func writeLimit(r *reading, w *writer, limit cgroup.Value) {
	if !r.hasMemory() {
		return
	}
	if limit.N > largestLimit {
		limit.N = 0
	}
	w.count(limit.N)
}

// memoryLimit writes the memory limit; the whole machine is limited by what it has.
func memoryLimit(r *reading, w *writer) {
	if r.isRoot() && r.hasMemory() {
		w.count(r.host.memory.total)
		return
	}
	writeLimit(r, w, r.sample.Memory.Limit)
}

func swapLimit(r *reading, w *writer) { writeLimit(r, w, r.sample.Memory.SwapLimit) }

func memoryReservation(r *reading, w *writer) { writeLimit(r, w, r.sample.Memory.Reservation) }

// memoryFailures writes the page faults, in cAdvisor's two scopes.
func memoryFailures(r *reading, w *writer) {
	m := &r.sample.Memory
	if !m.Usage.OK {
		return
	}
	for _, scope := range [...]string{"container", "hierarchy"} {
		w.with(float64(m.PageFaults.N), "pgfault", scope)
		w.with(float64(m.MajorFaults.N), "pgmajfault", scope)
	}
}

// oomEvents writes the kills of this run and of those before.
func oomEvents(r *reading, w *writer) {
	if r.hasMemory() {
		w.count(r.killed)
	}
}

func memoryMigrate(r *reading, w *writer) {
	if r.sample.Memory.Migrate.OK {
		w.count(r.sample.Memory.Migrate.N)
	}
}

func numaPages(r *reading, w *writer) {
	for i := range r.sample.Memory.Numa {
		pages := &r.sample.Memory.Numa[i]
		node := r.host.number(int(pages.Node))
		w.with(float64(pages.Own), node, "container", pages.Kind)
		w.with(float64(pages.Hierarchy), node, "hierarchy", pages.Kind)
	}
}

// hugeValue writes a value of each size of huge pages.
func hugeValue(of func(*cgroup.HugePages) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		for i := range r.sample.Huge {
			w.with(float64(of(&r.sample.Huge[i]).N), r.sample.Huge[i].Size)
		}
	}
}

// pressureValue writes a time of waiting. A kernel that does not measure it has
// had none as far as it knows: cAdvisor shows 0 then.
func pressureValue(of func(*cgroup.Pressure) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		w.with(float64(of(&r.sample.Pressure).N) / microsecond)
	}
}

// pidsValue writes a number of tasks, 0 for no limit.
func pidsValue(of func(*cgroup.Pids) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		v := of(&r.sample.Pids)
		if v.N == cgroup.NoLimit {
			v.N = 0
		}
		if v.OK {
			w.count(v.N)
		}
	}
}

// processValue writes what the processes were asked for.
func processValue(divisor float64, of func(*cgroup.Processes) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if v := of(&r.sample.Processes); v.OK {
			w.with(float64(v.N) / divisor)
		}
	}
}

func ulimits(r *reading, w *writer) {
	limit := r.sample.Processes.OpenFiles
	switch {
	case limit.OK && limit.N == cgroup.NoLimit:
		w.with(-1, "max_open_files")
	case limit.OK:
		w.with(float64(limit.N), "max_open_files")
	}
}

// tcpStates writes the sockets of a protocol by state.
func tcpStates(of func(*cgroup.Processes) *cgroup.TCPStates) func(*reading, *writer) {
	names := cgroup.TCPStateNames()
	return func(r *reading, w *writer) {
		if !r.ownsNetwork() {
			return
		}
		for i, n := range of(&r.sample.Processes) {
			w.with(float64(n), names[i])
		}
	}
}

// udpState writes what is known of a protocol's sockets.
func udpState(of func(*cgroup.Processes) *cgroup.UDPState) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if !r.ownsNetwork() {
			return
		}
		state := of(&r.sample.Processes)
		w.with(float64(state.Dropped), "dropped")
		w.with(float64(state.Listen), "listen")
		w.with(float64(state.ReceiveQueue), "rxqueued")
		w.with(float64(state.TransmitQueue), "txqueued")
	}
}

func tcpExtra(r *reading, w *writer) {
	if !r.ownsNetwork() {
		return
	}
	for i := range r.sample.Processes.TCPExtra {
		entry := &r.sample.Processes.TCPExtra[i]
		w.with(float64(entry.N), strings.ToLower(entry.Name))
	}
}

// ownsNetwork reports whether the traffic is shown here and nowhere else.
func (r *reading) ownsNetwork() bool { return r.sharedWith == "" }

// networkShared writes whose network the container uses.
func networkShared(r *reading, w *writer) {
	if !r.ownsNetwork() {
		w.with(1, r.sharedWith)
	}
}
