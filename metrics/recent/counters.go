package recent

import (
	"time"

	"tallyman/metrics/cgroup"
)

// counters are one reading of a container.
type counters struct {
	at            time.Time
	cpu           uint64 // nanoseconds
	memory, limit uint64
	pids          uint64
	rx, tx        uint64
	read, written uint64
}

// countersOf sums up a sample.
func countersOf(s *cgroup.Sample, at time.Time) counters {
	c := counters{at: at, cpu: s.CPU.Usage.N, memory: s.Memory.WorkingSet.N, pids: s.Pids.Current.N}
	if limit := s.Memory.Limit; limit.OK && limit.N < 1<<62 {
		c.limit = limit.N // Version 1 writes no limit as a very large number.
	}
	for i := range s.Interfaces {
		c.rx += s.Interfaces[i].Receive.Bytes
		c.tx += s.Interfaces[i].Transmit.Bytes
	}
	for i := range s.Devices {
		c.read += s.Devices[i].Bytes[cgroup.Read].N
		c.written += s.Devices[i].Bytes[cgroup.Write].N
	}
	return c
}

// since returns what was used from an earlier reading on.
func (c *counters) since(before *counters) Point {
	seconds := c.at.Sub(before.at).Seconds()
	rate := func(now, then uint64) float64 {
		if now < then || seconds <= 0 {
			return 0
		}
		return float64(now-then) / seconds
	}
	return Point{
		Time: c.at.UTC(), CPUPercent: 100 * rate(c.cpu, before.cpu) / 1e9, MemoryBytes: float64(c.memory),
		NetworkRx: rate(c.rx, before.rx), NetworkTx: rate(c.tx, before.tx),
		DiskRead: rate(c.read, before.read), DiskWrite: rate(c.written, before.written),
	}
}
