package metrics

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallyman/metrics/cgroup"
)

// historyLength is how many samples of a container cAdvisor's API shows: those of
// the last scrapes and requests.
const historyLength = 6

// API serves what scripts use of cAdvisor's API of version 1.3:
// /api/v1.3/docker/, /api/v1.3/docker/NAME-OR-ID and /api/v1.3/machine. Every
// request reads the containers anew, and shows with each the few samples before.
func (c *Containers) API() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1.3/machine", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, c.machineInfo())
	})
	all := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.containerInfo("")) }
	mux.HandleFunc("GET /api/v1.3/docker", all)
	mux.HandleFunc("GET /api/v1.3/docker/{$}", all)
	mux.HandleFunc("GET /api/v1.3/docker/{container}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("container")
		found := c.containerInfo(name)
		if len(found) == 0 {
			http.Error(w, "there is no running container "+strconv.Quote(name), http.StatusNotFound)
			return
		}
		writeJSON(w, found)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	// A client that has gone is nobody to tell.
	_ = json.NewEncoder(w).Encode(answer)
}

// apiContainer is cAdvisor's ContainerInfo.
type apiContainer struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Aliases   []string          `json:"aliases"`
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels,omitempty"`
	Spec      apiSpec           `json:"spec"`
	Stats     []apiStats        `json:"stats"`
}

type apiSpec struct {
	CreationTime time.Time         `json:"creation_time"`
	Labels       map[string]string `json:"labels,omitempty"`
	HasCPU       bool              `json:"has_cpu"`
	CPU          struct {
		Limit  uint64 `json:"limit"`
		Quota  uint64 `json:"quota,omitempty"`
		Period uint64 `json:"period,omitempty"`
	} `json:"cpu"`
	HasMemory bool `json:"has_memory"`
	Memory    struct {
		Limit       uint64 `json:"limit,omitempty"`
		Reservation uint64 `json:"reservation,omitempty"`
		SwapLimit   uint64 `json:"swap_limit,omitempty"`
	} `json:"memory"`
	HasNetwork    bool   `json:"has_network"`
	HasFilesystem bool   `json:"has_filesystem"`
	HasDiskIO     bool   `json:"has_diskio"`
	Image         string `json:"image,omitempty"`
}

// apiStats is one sample. Only the newest of a container has what comes in lists.
type apiStats struct {
	Timestamp time.Time `json:"timestamp"`
	CPU       struct {
		Usage struct {
			Total  uint64   `json:"total"`
			PerCPU []uint64 `json:"per_cpu_usage,omitempty"`
			User   uint64   `json:"user"`
			System uint64   `json:"system"`
		} `json:"usage"`
		CFS struct {
			Periods       uint64 `json:"periods"`
			Throttled     uint64 `json:"throttled_periods"`
			ThrottledTime uint64 `json:"throttled_time"`
		} `json:"cfs"`
		LoadAverage int `json:"load_average"`
	} `json:"cpu"`
	Memory struct {
		Usage        uint64    `json:"usage"`
		MaxUsage     uint64    `json:"max_usage"`
		Cache        uint64    `json:"cache"`
		RSS          uint64    `json:"rss"`
		Swap         uint64    `json:"swap"`
		MappedFile   uint64    `json:"mapped_file"`
		WorkingSet   uint64    `json:"working_set"`
		FailCount    uint64    `json:"failcnt"`
		Container    apiFaults `json:"container_data"`
		Hierarchical apiFaults `json:"hierarchical_data"`
	} `json:"memory"`
	Network struct {
		apiInterface
		Interfaces []apiInterface `json:"interfaces,omitempty"`
	} `json:"network"`
	Filesystem []apiUsage `json:"filesystem,omitempty"`
}

type apiFaults struct {
	Faults      uint64 `json:"pgfault"`
	MajorFaults uint64 `json:"pgmajfault"`
}

type apiInterface struct {
	Name            string `json:"name"`
	ReceivedBytes   uint64 `json:"rx_bytes"`
	ReceivedPackets uint64 `json:"rx_packets"`
	ReceiveErrors   uint64 `json:"rx_errors"`
	ReceiveDropped  uint64 `json:"rx_dropped"`
	SentBytes       uint64 `json:"tx_bytes"`
	SentPackets     uint64 `json:"tx_packets"`
	SendErrors      uint64 `json:"tx_errors"`
	SendDropped     uint64 `json:"tx_dropped"`
}

type apiUsage struct {
	Device     string `json:"device"`
	Capacity   uint64 `json:"capacity"`
	Usage      uint64 `json:"usage"`
	Inodes     uint64 `json:"inodes"`
	InodesFree uint64 `json:"inodes_free"`
}

// containerInfo reads the containers and returns those of a name or an id, all
// for an empty one.
func (c *Containers) containerInfo(name string) map[string]apiContainer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readLocked(c.containers(), false)
	found := make(map[string]apiContainer)
	for i := range c.readings {
		r := &c.readings[i]
		switch {
		case r.isRoot():
		case name != "" && r.container.Name == name:
			// It may be how another's ID begins, too.
			return map[string]apiContainer{r.path: c.infoLocked(r)}
		case strings.HasPrefix(r.container.ID, name):
			found[r.path] = c.infoLocked(r)
		}
	}
	return found
}

// infoLocked describes one container.
func (c *Containers) infoLocked(r *reading) apiContainer {
	s := r.sample
	info := apiContainer{
		ID: r.container.ID, Name: r.path, Aliases: []string{r.container.Name, r.container.ID}, Namespace: "docker",
		Labels: r.container.Labels,
		Spec: apiSpec{
			CreationTime: r.container.Created, Labels: r.container.Labels, Image: r.container.Image,
			HasCPU: r.hasCPU(), HasMemory: r.hasMemory(), HasNetwork: len(s.Interfaces) > 0,
			HasFilesystem: r.layer != nil, HasDiskIO: s.HasIO,
		},
	}
	info.Spec.CPU.Limit, info.Spec.CPU.Period = s.CPU.Shares.N, s.CPU.Period.N
	if r.hasQuota() {
		info.Spec.CPU.Quota = s.CPU.Quota.N
	}
	limit := func(v cgroup.Value) uint64 {
		if v.N > largestLimit {
			return 0
		}
		return v.N
	}
	info.Spec.Memory.Limit, info.Spec.Memory.SwapLimit = limit(s.Memory.Limit), limit(s.Memory.SwapLimit)
	info.Spec.Memory.Reservation = limit(s.Memory.Reservation)
	known := c.tracked[r.container.ID]
	info.Stats = append(append(info.Stats, known.history[known.oldest:]...), known.history[:known.oldest]...)
	if n := len(info.Stats); n > 0 {
		info.Stats[n-1].addLists(r)
	}
	return info
}

// newStats takes over the numbers of a reading.
func newStats(r *reading) apiStats {
	s := r.sample
	stats := apiStats{Timestamp: r.at}
	stats.CPU.Usage.Total, stats.CPU.Usage.User, stats.CPU.Usage.System = s.CPU.Usage.N, s.CPU.User.N, s.CPU.System.N
	stats.CPU.CFS.Periods, stats.CPU.CFS.Throttled, stats.CPU.CFS.ThrottledTime = s.CPU.Periods.N, s.CPU.Throttled.N, s.CPU.ThrottledTime.N
	m := &stats.Memory
	m.Usage, m.MaxUsage, m.WorkingSet = s.Memory.Usage.N, s.Memory.MaxUsage.N, s.Memory.WorkingSet.N
	m.Cache, m.RSS, m.Swap, m.MappedFile = s.Memory.Cache.N, s.Memory.RSS.N, s.Memory.Swap.N, s.Memory.MappedFile.N
	m.FailCount = s.Memory.Failures.N
	m.Container = apiFaults{s.Memory.PageFaults.N, s.Memory.MajorFaults.N}
	m.Hierarchical = m.Container
	if len(s.Interfaces) > 0 && r.ownsNetwork() {
		stats.Network.apiInterface = newInterface(&s.Interfaces[0])
	}
	return stats
}

// addLists adds what comes in lists.
func (a *apiStats) addLists(r *reading) {
	a.CPU.Usage.PerCPU = append([]uint64(nil), r.sample.CPU.PerCPU...)
	for i := range r.sample.Interfaces {
		if r.ownsNetwork() {
			a.Network.Interfaces = append(a.Network.Interfaces, newInterface(&r.sample.Interfaces[i]))
		}
	}
	if l := r.layer; l != nil {
		a.Filesystem = []apiUsage{{l.fs.label, l.fs.size, l.bytes, l.fs.inodes, l.fs.inodesFree}}
	}
}

func newInterface(i *cgroup.Interface) apiInterface {
	return apiInterface{
		interfaceLabel(i.Name),
		i.Receive.Bytes, i.Receive.Packets, i.Receive.Errors, i.Receive.Dropped,
		i.Transmit.Bytes, i.Transmit.Packets, i.Transmit.Errors, i.Transmit.Dropped,
	}
}

// remember adds a sample to a container's history.
func (t *tracked) remember(r *reading) {
	if len(t.history) < historyLength {
		t.history = append(t.history, newStats(r))
		return
	}
	t.history[t.oldest] = newStats(r)
	t.oldest = (t.oldest + 1) % historyLength
}

// apiMachine is cAdvisor's MachineInfo, as far as it is known.
type apiMachine struct {
	Cores         int                `json:"num_cores"`
	PhysicalCores int                `json:"num_physical_cores"`
	Sockets       int                `json:"num_sockets"`
	Memory        uint64             `json:"memory_capacity"`
	Swap          uint64             `json:"swap_capacity"`
	MachineID     string             `json:"machine_id"`
	SystemUUID    string             `json:"system_uuid"`
	BootID        string             `json:"boot_id"`
	Filesystems   []apiFilesystem    `json:"filesystems"`
	Disks         map[string]apiDisk `json:"disk_map"`
}

type apiFilesystem struct {
	Device   string `json:"device"`
	Major    uint32 `json:"major"`
	Minor    uint32 `json:"minor"`
	Capacity uint64 `json:"capacity"`
	Type     string `json:"type"`
	Inodes   uint64 `json:"inodes"`
}

type apiDisk struct {
	Name  string `json:"name"`
	Major uint32 `json:"major"`
	Minor uint32 `json:"minor"`
}

// machineInfo reads what the machine has. What cannot be read is empty.
func (c *Containers) machineInfo() apiMachine {
	files := keptFiles{root: c.root}
	defer files.close()
	size, t, identity := readMemory(&files), onlineTopology(c.root), readIdentity(c.root)
	info := apiMachine{
		Cores: t.logical, PhysicalCores: t.cores, Sockets: t.sockets, Memory: size.total, Swap: size.swap,
		BootID: identity.boot, MachineID: identity.machine, SystemUUID: identity.system, Disks: make(map[string]apiDisk),
	}
	disks, _ := readDisks(&files, nil)
	for i := range disks {
		d := disks[i].device
		info.Disks[d.String()] = apiDisk{disks[i].name, d.Major, d.Minor}
	}
	filesystems, _ := readFilesystems(c.root, &c.mounts, nil)
	for i := range filesystems {
		if fs := &filesystems[i]; fs.known {
			info.Filesystems = append(info.Filesystems, apiFilesystem{fs.label, fs.device.Major, fs.device.Minor, fs.size, fs.fstype, fs.inodes})
		}
	}
	return info
}
