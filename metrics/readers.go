package metrics

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// What a unit of the kernel is in seconds, as a divisor: dividing keeps the
// decimal digits that multiplying by a fraction would blur.
const (
	nanosecond  = 1e9
	microsecond = 1e6
)

// largestLimit is where cAdvisor takes a limit for none: version 1 writes "no
// limit" as the largest number of whole pages.
const largestLimit = 1 << 62

// reading is all that is known of a container at one moment.
type reading struct {
	// container is nil for the root cgroup, which is the whole machine.
	container *record.Container
	sample    *cgroup.Sample
	now       time.Time
	// bootTime is when the machine was started, zero when unknown.
	bootTime time.Time
	// memory is the machine's memory in bytes.
	memory uint64
	// deviceName returns the path of a block device.
	deviceName func(cgroup.Device) string
}

// lastSeen gives the time of the reading.
func lastSeen(r *reading, give give) { give(float64(r.now.Unix())) }

// started gives when the container, or the machine, was started.
func started(r *reading, give give) {
	at := r.bootTime
	if r.container != nil {
		at = r.container.Started
	}
	if !at.IsZero() {
		give(float64(at.Unix()))
	}
}

// created gives when the container was made or the machine started.
func created(r *reading, give give) {
	at := r.bootTime
	if r.container != nil {
		at = r.container.Created
	}
	if !at.IsZero() {
		give(float64(at.Unix()))
	}
}

// health gives the state of the health check.
func health(r *reading, give give) {
	switch {
	case r.container == nil || r.container.Health == "" || r.container.Health == "none":
		give(-1)
	case r.container.Health == "healthy":
		give(1)
	default:
		give(0)
	}
}

// cpuUsage gives the CPU time of each processor that was used or, where the
// kernel does not tell, of all, unless it is nothing yet.
func cpuUsage(r *reading, give give) {
	c := &r.sample.CPU
	for number, used := range c.PerCPU {
		if used > 0 {
			give(float64(used)/nanosecond, fmt.Sprintf("cpu%02d", number))
		}
	}
	if len(c.PerCPU) == 0 && c.Usage.N > 0 {
		give(float64(c.Usage.N)/nanosecond, "total")
	}
}

// cpuValue gives a value of a container that has a CPU controller. As in
// cAdvisor what the kernel does not have is then 0; so it is with memoryValue.
func cpuValue(divisor float64, of func(*cgroup.CPU) cgroup.Value) func(*reading, give) {
	return func(r *reading, give give) {
		if r.sample.CPU.Usage.OK {
			give(float64(of(&r.sample.CPU).N) / divisor)
		}
	}
}

// cfsValue gives a value of a container that has a CPU quota.
func cfsValue(divisor float64, of func(*cgroup.CPU) cgroup.Value) func(*reading, give) {
	return func(r *reading, give give) {
		if quota := r.sample.CPU.Quota; quota.OK && quota.N != cgroup.NoLimit {
			give(float64(of(&r.sample.CPU).N) / divisor)
		}
	}
}

// memoryValue gives a value of a container that has a memory controller.
func memoryValue(of func(*cgroup.Memory) cgroup.Value) func(*reading, give) {
	return func(r *reading, give give) {
		if r.sample.Memory.Usage.OK {
			give(float64(of(&r.sample.Memory).N))
		}
	}
}

// memoryLimitValue gives a memory limit, 0 for none.
func memoryLimitValue(of func(*cgroup.Memory) cgroup.Value) func(*reading, give) {
	return memoryValue(func(m *cgroup.Memory) cgroup.Value {
		limit := of(m)
		if limit.N > largestLimit {
			limit.N = 0
		}
		return limit
	})
}

// memoryLimit gives the memory limit; the whole machine is limited by what it has.
func memoryLimit(r *reading, give give) {
	if r.container == nil && r.sample.Memory.Usage.OK {
		give(float64(r.memory))
		return
	}
	memoryLimitValue(func(m *cgroup.Memory) cgroup.Value { return m.Limit })(r, give)
}

// memoryFailures gives the page faults, in cAdvisor's two scopes.
func memoryFailures(r *reading, give give) {
	m := &r.sample.Memory
	if !m.Usage.OK {
		return
	}
	for _, scope := range []string{"container", "hierarchy"} {
		give(float64(m.PageFaults.N), "pgfault", scope)
		give(float64(m.MajorFaults.N), "pgmajfault", scope)
	}
}

// deviceValue gives a value of each block device.
func deviceValue(of func(*cgroup.DeviceIO) cgroup.Value) func(*reading, give) {
	return func(r *reading, give give) {
		for i := range r.sample.Devices {
			device := &r.sample.Devices[i]
			if v := of(device); v.OK {
				give(float64(v.N), r.deviceName(device.Device))
			}
		}
	}
}

// deviceUsage gives the bytes of each block device and operation.
func deviceUsage(r *reading, give give) {
	for i := range r.sample.Devices {
		device := &r.sample.Devices[i]
		major, minor := strconv.Itoa(int(device.Major)), strconv.Itoa(int(device.Minor))
		for op, v := range device.Bytes {
			if v.OK {
				give(float64(v.N), r.deviceName(device.Device), major, minor, cgroup.Operation(op).String())
			}
		}
	}
}

// interfaceValue gives a value of each network interface.
func interfaceValue(of func(*cgroup.Interface) uint64) func(*reading, give) {
	return func(r *reading, give give) {
		for i := range r.sample.Interfaces {
			give(float64(of(&r.sample.Interfaces[i])), interfaceLabel(r.sample.Interfaces[i].Name))
		}
	}
}

// interfaceLabel returns the value of the label "interface". A container may
// name an interface with any bytes, and one that is not text would spoil the
// whole scrape.
func interfaceLabel(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strings.Trim(fmt.Sprintf("%+q", name), `"`)
}

// pressureValue gives a time of waiting where the kernel measures it.
func pressureValue(of func(*cgroup.Pressure) cgroup.Value) func(*reading, give) {
	return func(r *reading, give give) {
		if v := of(&r.sample.Pressure); v.OK {
			give(float64(v.N) / microsecond)
		}
	}
}

// pidsValue gives a number of tasks, 0 for no limit.
func pidsValue(of func(*cgroup.Pids) cgroup.Value) func(*reading, give) {
	return func(r *reading, give give) {
		v := of(&r.sample.Pids)
		if v.N == cgroup.NoLimit {
			v.N = 0
		}
		if v.OK {
			give(float64(v.N))
		}
	}
}
