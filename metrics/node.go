package metrics

import (
	"bytes"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"tallyman/metrics/cgroup"
)

// HostOptions say what NewHost reads.
type HostOptions struct {
	// Root is the host's root folder, "/" when empty.
	Root string
	// Logger is told once of each subject that cannot be read. Nothing is logged
	// when it is nil.
	Logger *slog.Logger
}

// Host is what is shown of the host beside its containers: a few of
// node_exporter's families, under its names and with its meanings.
type Host struct {
	root   string
	logger *slog.Logger
	// alone says that the network under /proc is that of the agent's own container.
	alone bool
	// mounts holds a file open for as long as there is the Host.
	mounts mountTable

	mu      sync.Mutex // guards what follows
	failing map[string]bool
	files   keptFiles
	table   nodeTable
	disks   []diskStats
}

// NewHost returns the host's part of an exposition. Nothing is read before the
// first scrape.
func NewHost(options HostOptions) *Host {
	h := &Host{root: options.Root, logger: options.Logger, failing: make(map[string]bool), table: newNodeTable()}
	if h.root == "" {
		h.root = "/"
	}
	h.alone, h.mounts.path, h.files.root = cgroup.Alone(h.root), mountinfo(h.root), h.root
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	return h
}

// write reads the host and renders it. A subject that cannot be read is left out.
func (h *Host) write(w *writer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.block = new(block)
	booted := uint64(0)
	h.readLocked("proc/stat", w, func(w *writer, content []byte) {
		h.table.writeCPU(w, content)
		booted = bootTime(content)
	})
	h.readLocked("proc/meminfo", w, h.table.writeMemory)
	h.readLocked("proc/loadavg", w, h.table.writeLoad)
	if !h.alone {
		h.readLocked("proc/1/net/dev", w, h.table.writeNetwork)
	}
	for i := range h.table.pressure {
		// Not every kernel accounts pressure.
		if content, err := h.files.read(h.table.pressure[i].path); err == nil {
			h.table.pressure[i].write(w, content)
		}
	}
	var err error
	h.disks, err = readDisks(&h.files, h.disks)
	h.noteLocked("proc/diskstats", err)
	h.table.writeDisks(w, h.disks)
	filesystems, err := readFilesystems(h.root, &h.mounts, nil)
	h.noteLocked("proc/self/mountinfo", err)
	h.table.writeFilesystems(w, filesystems)
	if booted > 0 {
		w.begin(&h.table.bootTime)
		w.with(float64(booted))
	}
	w.begin(&h.table.now)
	w.with(float64(time.Now().UnixMicro()) / microsecond)
}

// readLocked renders a file of the host.
func (h *Host) readLocked(path string, w *writer, write func(*writer, []byte)) {
	content, err := h.files.read(path)
	h.noteLocked(path, err)
	if err == nil {
		write(w, content)
	}
}

// noteLocked logs what cannot be read, once.
func (h *Host) noteLocked(subject string, err error) {
	if err != nil && !h.failing[subject] {
		h.logger.Warn("reading the host", "subject", subject, "error", err)
	}
	h.failing[subject] = err != nil
}

// nodeTable is the host's families, and the memory that reading its files takes.
type nodeTable struct {
	cpu description
	// memory are the lines of meminfo that people look at, by their names.
	memory      map[string]*description
	load        [3]description
	network     []networkColumn
	interfaces  []hostInterface
	pressure    []nodePressure
	disks       []nodeDiskRow
	filesystems []nodeFilesystemRow
	bootTime    description
	now         description
}

// newNodeTable makes the table.
func newNodeTable() nodeTable {
	t := nodeTable{
		cpu:         description{name: "node_cpu_seconds_total", help: "Time of each processor by what it was spent on, in seconds.", typ: counter, labels: []string{"cpu", "mode"}},
		memory:      make(map[string]*description),
		network:     networkColumns(),
		disks:       nodeDiskRows(),
		filesystems: nodeFilesystemRows(),
		bootTime:    description{name: "node_boot_time_seconds", help: "When the machine was started, in seconds since the epoch."},
		now:         description{name: "node_time_seconds", help: "The host's clock, in seconds since the epoch."},
	}
	for _, line := range []string{
		"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal",
		"SwapFree", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "Slab", "SReclaimable", "SUnreclaim",
	} {
		t.memory[line] = &description{name: "node_memory_" + line + "_bytes", help: "The line " + line + " of the kernel's /proc/meminfo, in bytes."}
	}
	for i, name := range []string{"node_load1", "node_load5", "node_load15"} {
		t.load[i] = description{name: name, help: "Tasks that ran or waited, on average over the last minute, 5 or 15 minutes."}
	}
	for _, resource := range []string{"cpu", "io", "memory"} {
		t.pressure = append(t.pressure, newNodePressure(resource))
	}
	return t
}

// userTick is how many ticks of /proc/stat are a second, on every architecture
// that Docker runs on.
const userTick = 100

// writeCPU writes the time of each processor by mode, from /proc/stat.
func (t *nodeTable) writeCPU(w *writer, content []byte) {
	modes := [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}
	w.begin(&t.cpu)
	for line := range bytes.Lines(content) {
		first, rest, _ := bytes.Cut(line, []byte{' '})
		number, ok := bytes.CutPrefix(first, []byte("cpu"))
		if !ok || len(bytes.TrimSpace(number)) == 0 {
			continue
		}
		processor, i := string(number), 0
		for field := range bytes.FieldsSeq(rest) {
			if i == len(modes) {
				break
			}
			if n, err := strconv.ParseUint(string(field), 10, 64); err == nil {
				w.with(float64(n)/userTick, processor, modes[i])
			}
			i++
		}
	}
}

// writeMemory writes the lines of /proc/meminfo that people look at.
func (t *nodeTable) writeMemory(w *writer, content []byte) {
	for line := range bytes.Lines(content) {
		name, n, ok := memoryLine(line)
		if family := t.memory[string(name)]; ok && family != nil {
			w.begin(family)
			w.with(float64(n))
		}
	}
}

// writeLoad writes the load averages.
func (t *nodeTable) writeLoad(w *writer, content []byte) {
	i := 0
	for field := range bytes.FieldsSeq(content) {
		if i == len(t.load) {
			return
		}
		if load, err := strconv.ParseFloat(string(field), 64); err == nil {
			w.begin(&t.load[i])
			w.with(load)
		}
		i++
	}
}

// nodePressure are the families of a resource that tasks wait for.
type nodePressure struct {
	path             string
	waiting, stalled description
	// neverStalls says that the kernel's number of stalls means nothing.
	neverStalls bool
}

func newNodePressure(resource string) nodePressure {
	of := func(what string) description {
		return description{name: "node_pressure_" + resource + "_" + what + "_seconds_total", typ: counter,
			help: "Time in which tasks waited for the resource (waiting), or nothing else could be done (stalled), in seconds."}
	}
	return nodePressure{path: "proc/pressure/" + resource, waiting: of("waiting"), stalled: of("stalled"), neverStalls: resource == "cpu"}
}

// write writes how long tasks waited for the resource.
func (p *nodePressure) write(w *writer, content []byte) {
	for line := range bytes.Lines(content) {
		word, rest, _ := bytes.Cut(line, []byte{' '})
		_, total, ok := bytes.Cut(bytes.TrimSpace(rest), []byte("total="))
		n, err := strconv.ParseUint(string(total), 10, 64)
		switch {
		case !ok || err != nil:
			continue
		case string(word) == "some":
			w.begin(&p.waiting)
		case string(word) == "full" && !p.neverStalls:
			w.begin(&p.stalled)
		default:
			continue
		}
		w.with(float64(n) / microsecond)
	}
}
