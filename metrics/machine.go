package metrics

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// MachineOptions say what NewMachine reads.
type MachineOptions struct {
	// Root is the host's root folder, "/" when empty.
	Root string
	// Logger is told once when the machine cannot be read. Nothing is logged
	// when it is nil.
	Logger *slog.Logger
}

// Machine is the collector of what the host has: processors and memory.
type Machine struct {
	root        string
	logger      *slog.Logger
	table       []machineFamily
	descs       []*prometheus.Desc // by row of table
	scrapeError *prometheus.Desc

	mu sync.Mutex // guards what follows
	// labels are the machine's identities, nil before the first scrape.
	labels []*dto.LabelPair
	// online is the list of processors that topology was read for: reading it
	// takes two files a processor, and it changes only with that list.
	online   string
	topology topology
	failing  bool
}

// machineFamily is a row of the table of machine metrics. All are gauges.
type machineFamily struct {
	name, help string
	value      func(topology, memory) float64
}

// machineTable is every family of the machine, after cAdvisor.
func machineTable() []machineFamily {
	return []machineFamily{
		{"machine_cpu_cores", "Logical processors that are online.",
			func(t topology, m memory) float64 { return float64(t.logical) }},
		{"machine_cpu_physical_cores", "Physical cores with a logical processor online.",
			func(t topology, m memory) float64 { return float64(t.cores) }},
		{"machine_cpu_sockets", "Sockets with a logical processor online.",
			func(t topology, m memory) float64 { return float64(t.sockets) }},
		{"machine_memory_bytes", "Memory that the kernel manages, in bytes.",
			func(t topology, m memory) float64 { return float64(m.total) }},
		{"machine_swap_bytes", "Swap space in bytes.",
			func(t topology, m memory) float64 { return float64(m.swap) }},
	}
}

// NewMachine returns the collector. Nothing is read before the first scrape.
func NewMachine(options MachineOptions) *Machine {
	m := &Machine{
		root:        options.Root,
		logger:      options.Logger,
		table:       machineTable(),
		scrapeError: newDesc("machine_scrape_error", "1 when the machine could not be read in this scrape, else 0."),
	}
	if m.root == "" {
		m.root = "/"
	}
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	for _, row := range m.table {
		m.descs = append(m.descs, newDesc(row.name, row.help))
	}
	return m
}

// Describe describes nothing: the labels are not known before the first scrape.
func (m *Machine) Describe(chan<- *prometheus.Desc) {}

// Collect reads the machine.
func (m *Machine) Collect(metrics chan<- prometheus.Metric) {
	out := m.scrape()
	for i := range out {
		metrics <- &out[i]
	}
}

// scrape reads the machine and returns its series: none but the error when it
// cannot be read.
func (m *Machine) scrape() []series {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.readTopologyLocked(); err != nil {
		if !m.failing {
			m.logger.Warn("reading the machine", "error", err)
		}
		m.failing = true
		return []series{{desc: m.scrapeError, kind: gauge, value: 1}}
	}
	m.failing = false
	if m.labels == nil {
		m.labels = readIdentity(m.root)
	}
	size := readMemory(m.root)
	out := []series{{desc: m.scrapeError, kind: gauge, value: 0}}
	for i, row := range m.table {
		out = append(out, series{desc: m.descs[i], kind: gauge, labels: m.labels, value: row.value(m.topology, size)})
	}
	return out
}

// readTopologyLocked counts the processors when the list of them has changed.
func (m *Machine) readTopologyLocked() error {
	folder := filepath.Join(m.root, "sys/devices/system/cpu")
	online, err := readWord(filepath.Join(folder, "online"))
	if err != nil {
		return fmt.Errorf("listing processors: %w", err)
	}
	if online == m.online {
		return nil
	}
	numbers, err := parseRanges(online)
	if err != nil {
		return fmt.Errorf("listing processors: %w", err)
	}
	m.online, m.topology = online, readTopology(folder, numbers)
	return nil
}

// topology is how many processors there are, counted in three ways.
type topology struct {
	logical, cores, sockets int
}

// readTopology asks each processor for its core and socket. Kernels that do not
// tell, as some virtual machines', have one socket and a core a processor.
func readTopology(folder string, numbers []int) topology {
	type core struct{ socket, number string }
	cores, sockets := make(map[core]bool), make(map[string]bool)
	for _, number := range numbers {
		details := filepath.Join(folder, "cpu"+strconv.Itoa(number), "topology")
		socket, err := readWord(filepath.Join(details, "physical_package_id"))
		if err != nil {
			socket = "0"
		}
		own, err := readWord(filepath.Join(details, "core_id"))
		if err != nil {
			own = "processor " + strconv.Itoa(number)
		}
		cores[core{socket, own}], sockets[socket] = true, true
	}
	return topology{logical: len(numbers), cores: len(cores), sockets: len(sockets)}
}

// parseRanges reads a list of processors such as "0-3,8".
func parseRanges(list string) ([]int, error) {
	var numbers []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", list, err)
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(last); err != nil {
				return nil, fmt.Errorf("reading %q: %w", list, err)
			}
		}
		for ; from <= to; from++ {
			numbers = append(numbers, from)
		}
	}
	return numbers, nil
}

// readIdentity renders the labels that name the machine. A machine without
// firmware tables has no UUID of its own; its machine id stands in, as in
// cAdvisor.
func readIdentity(root string) []*dto.LabelPair {
	firstOf := func(paths ...string) string {
		for _, path := range paths {
			if word, err := readWord(filepath.Join(root, path)); err == nil && word != "" {
				return strings.ToValidUTF8(word, "\uFFFD")
			}
		}
		return ""
	}
	const etc, dbus = "etc/machine-id", "var/lib/dbus/machine-id"
	return []*dto.LabelPair{
		newLabel("boot_id", firstOf("proc/sys/kernel/random/boot_id")),
		newLabel("machine_id", firstOf(etc, dbus)),
		newLabel("system_uuid", firstOf("sys/class/dmi/id/product_uuid",
			"proc/device-tree/system-id", "proc/device-tree/vm,uuid", etc, dbus)),
	}
}

// readWord returns a file's content without the space, and the NUL of device
// trees, around it.
func readWord(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.Trim(string(content), "\x00 \t\n"), nil
}
