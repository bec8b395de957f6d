package metrics

import (
	"encoding/json"
	"fmt"
	"time"

	"tallyman/metrics/cgroup"
)

// engineStats is the engine's answer to GET /containers/ID/stats, as far as it
// carries what the families show.
type engineStats struct {
	// Read is when they were taken: never, for a container that does not run.
	Read time.Time `json:"read"`

	CPU struct {
		Usage struct {
			Total  uint64   `json:"total_usage"`
			User   uint64   `json:"usage_in_usermode"`
			System uint64   `json:"usage_in_kernelmode"`
			PerCPU []uint64 `json:"percpu_usage"`
		} `json:"cpu_usage"`
		Throttling struct {
			Periods   uint64 `json:"periods"`
			Throttled uint64 `json:"throttled_periods"`
			Time      uint64 `json:"throttled_time"`
		} `json:"throttling_data"`
	} `json:"cpu_stats"`
	Memory struct {
		Usage    uint64            `json:"usage"`
		MaxUsage uint64            `json:"max_usage"`
		Failures uint64            `json:"failcnt"`
		Limit    uint64            `json:"limit"`
		Stats    map[string]uint64 `json:"stats"`
	} `json:"memory_stats"`
	Pids struct {
		Current uint64 `json:"current"`
		Limit   uint64 `json:"limit"`
	} `json:"pids_stats"`
	Block struct {
		Bytes    []engineDevice `json:"io_service_bytes_recursive"`
		Requests []engineDevice `json:"io_serviced_recursive"`
	} `json:"blkio_stats"`
	Networks map[string]struct {
		ReceivedBytes   uint64 `json:"rx_bytes"`
		ReceivedPackets uint64 `json:"rx_packets"`
		ReceiveErrors   uint64 `json:"rx_errors"`
		ReceiveDropped  uint64 `json:"rx_dropped"`
		SentBytes       uint64 `json:"tx_bytes"`
		SentPackets     uint64 `json:"tx_packets"`
		SendErrors      uint64 `json:"tx_errors"`
		SendDropped     uint64 `json:"tx_dropped"`
	} `json:"networks"`
}

// engineDevice is a number of a block device.
type engineDevice struct {
	Major     uint32 `json:"major"`
	Minor     uint32 `json:"minor"`
	Operation string `json:"op"`
	Value     uint64 `json:"value"`
}

// fromEngine takes a sample from the engine's statistics, under the claim. The
// engine does not tell the cgroup's path: the id is that of its own driver. It
// returns ErrGone when the container does not run.
func (t *tracked) fromEngine(content []byte, id string) error {
	var stats engineStats
	if err := json.Unmarshal(content, &stats); err != nil {
		return fmt.Errorf("reading the engine's statistics: %w", err)
	}
	if stats.Read.IsZero() {
		return fmt.Errorf("reading the engine's statistics: %w", cgroup.ErrGone)
	}
	if t.spare == nil {
		t.spare = new(cgroup.Sample)
	}
	*t.spare = stats.sample()
	t.publish("/docker/"+id, 0)
	return nil
}

// sample turns the engine's numbers into the kernel's.
func (e *engineStats) sample() cgroup.Sample {
	var s cgroup.Sample
	value := func(n uint64) cgroup.Value { return cgroup.Value{N: n, OK: true} }
	s.CPU = cgroup.CPU{
		Usage: value(e.CPU.Usage.Total), User: value(e.CPU.Usage.User), System: value(e.CPU.Usage.System),
		PerCPU:  e.CPU.Usage.PerCPU,
		Periods: value(e.CPU.Throttling.Periods), Throttled: value(e.CPU.Throttling.Throttled),
		ThrottledTime: value(e.CPU.Throttling.Time),
	}
	first := func(names ...string) cgroup.Value {
		for _, name := range names {
			if n, ok := e.Memory.Stats[name]; ok {
				return value(n)
			}
		}
		return cgroup.Value{}
	}
	s.Memory = cgroup.Memory{
		Usage: value(e.Memory.Usage), MaxUsage: value(e.Memory.MaxUsage), Failures: value(e.Memory.Failures),
		Limit: value(e.Memory.Limit), RSS: first("total_rss", "anon"), Cache: first("total_cache", "file"),
		MappedFile: first("total_mapped_file", "file_mapped"), Swap: first("total_swap"),
		ActiveFile: first("total_active_file", "active_file"), InactiveFile: first("total_inactive_file", "inactive_file"),
		FileDirty: first("total_dirty", "file_dirty"), FileWriteback: first("total_writeback", "file_writeback"),
		PageFaults: first("pgfault"), MajorFaults: first("pgmajfault"),
		Scanned: first("pgscan"), Stolen: first("pgsteal"),
		RefaultFile: first("workingset_refault_file", "workingset_refault"), RefaultAnon: first("workingset_refault_anon"),
	}
	s.Memory.WorkingSet = value(s.Memory.Usage.N - min(s.Memory.Usage.N, s.Memory.InactiveFile.N))
	s.Pids = cgroup.Pids{Current: value(e.Pids.Current), Max: value(e.Pids.Limit)}
	for _, entry := range e.Block.Bytes {
		s.AddIO(cgroup.Device{Major: entry.Major, Minor: entry.Minor}, entry.Operation, entry.Value, 0)
	}
	for _, entry := range e.Block.Requests {
		s.AddIO(cgroup.Device{Major: entry.Major, Minor: entry.Minor}, entry.Operation, 0, entry.Value)
	}
	for name, n := range e.Networks {
		s.Interfaces = append(s.Interfaces, cgroup.Interface{Name: name,
			Receive:  cgroup.Traffic{Bytes: n.ReceivedBytes, Packets: n.ReceivedPackets, Errors: n.ReceiveErrors, Dropped: n.ReceiveDropped},
			Transmit: cgroup.Traffic{Bytes: n.SentBytes, Packets: n.SentPackets, Errors: n.SendErrors, Dropped: n.SendDropped}})
	}
	return s
}
