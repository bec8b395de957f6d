package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// MachineOptions say what NewMachine reads.
type MachineOptions struct {
	// Root is the host's root folder, "/" when empty.
	Root string
	// Logger is told once when the machine cannot be read. Nothing is logged
	// when it is nil.
	Logger *slog.Logger
	// Kinds are what is shown, DefaultKinds when zero.
	Kinds Kinds
	// Version is the agent's, and EngineVersion returns the engine's, for
	// cadvisor_version_info. EngineVersion may be nil.
	Version       string
	EngineVersion func() string
}

// Machine is what is shown of what the host has: processors and memory.
type Machine struct {
	root        string
	logger      *slog.Logger
	kinds       Kinds
	version     string
	engine      func() string
	table       []machineFamily
	versionInfo description
	scrapeError description

	mu sync.Mutex // guards what follows
	// labels are the machine's identities, nil before the first scrape.
	labels *block
	// online is the list of processors that topology was read for: reading it
	// takes two files a processor, and it changes only with that list.
	online   string
	topology topology
	numbers  []int
	failing  bool
	files    keptFiles
	// kernel is the kernel's version, once known, and system the system's name, as
	// the file release had it when it was as described.
	kernel, system string
	release        os.FileInfo
}

// machineFamily is a row of the table of machine metrics. All are gauges.
type machineFamily struct {
	description
	write func(*writer, topology, memory)
}

// machineRow makes a row of one number.
func machineRow(name, help string, value func(topology, memory) uint64) machineFamily {
	return machineFamily{description{name: name, help: help}, func(w *writer, t topology, m memory) { w.count(value(t, m)) }}
}

// machineTable is every family of the machine, sorted by name as in cAdvisor.
// Modules of persistent memory are not looked for.
func machineTable() []machineFamily {
	none := func(topology, memory) uint64 { return 0 }
	return []machineFamily{
		machineRow("machine_cpu_books", "Books of processors, which only mainframes have: 0.", none),
		machineRow("machine_cpu_cores", "Logical processors that are online.",
			func(t topology, _ memory) uint64 { return uint64(t.logical) }),
		machineRow("machine_cpu_drawers", "Drawers of processors, which only mainframes have: 0.", none),
		machineRow("machine_cpu_physical_cores", "Physical cores with a logical processor online.",
			func(t topology, _ memory) uint64 { return uint64(t.cores) }),
		machineRow("machine_cpu_sockets", "Sockets with a logical processor online.",
			func(t topology, _ memory) uint64 { return uint64(t.sockets) }),
		machineRow("machine_memory_bytes", "Memory that the kernel manages, in bytes.",
			func(_ topology, m memory) uint64 { return m.total }),
		machineRow("machine_nvm_avg_power_budget_watts", "Power budget of persistent memory, which is not looked for: 0.", none),
		{description{name: "machine_nvm_capacity", help: "Persistent memory by mode, which is not looked for: 0.", labels: []string{"mode"}},
			func(w *writer, _ topology, _ memory) {
				w.with(0, "app_direct_mode")
				w.with(0, "memory_mode")
			}},
		machineRow("machine_swap_bytes", "Swap space in bytes.",
			func(_ topology, m memory) uint64 { return m.swap }),
	}
}

// NewMachine returns the machine's part of an exposition. Nothing is read before
// the first scrape.
func NewMachine(options MachineOptions) *Machine {
	m := &Machine{
		root:    options.Root,
		logger:  options.Logger,
		kinds:   options.Kinds.orDefault(),
		version: options.Version,
		engine:  options.EngineVersion,
		table:   machineTable(),
		versionInfo: description{name: "cadvisor_version_info", help: "1, with the versions of kernel, operating system, engine and agent as labels.",
			labels: []string{"cadvisorRevision", "cadvisorVersion", "dockerVersion", "kernelVersion", "osVersion"}},
		scrapeError: description{name: "machine_scrape_error", help: "1 when the machine could not be read in this scrape, else 0."},
	}
	if m.root == "" {
		m.root = "/"
	}
	m.files.root = m.root
	if m.logger == nil {
		m.logger = slog.New(slog.DiscardHandler)
	}
	return m
}

// write reads the machine and renders it: nothing but the error when it cannot
// be read.
func (m *Machine) write(w *writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.readTopologyLocked()
	w.block = new(block)
	m.writeVersionsLocked(w)
	w.begin(&m.scrapeError)
	if err != nil {
		if !m.failing {
			m.logger.Warn("reading the machine", "error", err)
		}
		m.failing = true
		w.with(1)
		return
	}
	m.failing = false
	w.with(0)
	if m.labels == nil {
		m.labels = readIdentity(m.root).block()
	}
	w.block = m.labels
	size := readMemory(&m.files)
	for i := range m.table {
		w.begin(&m.table[i].description)
		m.table[i].write(w, m.topology, size)
	}
	writeDIMMs(w, m.root)
	if m.kinds.has(kindTopology) {
		writeTopology(w, m.root, m.numbers)
	}
}

// writeVersionsLocked writes the versions; those that are not known are empty.
func (m *Machine) writeVersionsLocked(w *writer) {
	if m.kernel == "" {
		m.kernel, _ = readWord(filepath.Join(m.root, "proc/sys/kernel/osrelease"))
	}
	m.readReleaseLocked()
	engine := ""
	if m.engine != nil {
		engine = m.engine()
	}
	w.begin(&m.versionInfo)
	w.with(1, "", m.version, engine, m.kernel, m.system)
}

// readReleaseLocked reads the system's name where its file has changed.
func (m *Machine) readReleaseLocked() {
	path := filepath.Join(m.root, "etc/os-release")
	info, err := os.Stat(path)
	if err == nil && m.release != nil && os.SameFile(info, m.release) && info.ModTime().Equal(m.release.ModTime()) {
		return
	}
	m.system, m.release = "", info
	content, _ := os.ReadFile(path)
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			m.system = strings.ToValidUTF8(strings.Trim(name, `"'`), "\uFFFD")
		}
	}
}

// readTopologyLocked counts the processors when the list of them has changed.
func (m *Machine) readTopologyLocked() error {
	folder := filepath.Join(m.root, "sys/devices/system/cpu")
	content, err := m.files.read("sys/devices/system/cpu/online")
	if err != nil {
		return fmt.Errorf("listing processors: %w", err)
	}
	content = bytes.TrimSpace(content)
	if string(content) == m.online {
		return nil
	}
	online := string(content)
	numbers, err := parseRanges(online)
	if err != nil {
		return fmt.Errorf("listing processors: %w", err)
	}
	m.online, m.numbers, m.topology = online, numbers, readTopology(folder, numbers)
	return nil
}

// identity is what names a machine.
type identity struct{ boot, machine, system string }

// readIdentity reads what names the machine. One without firmware tables has no
// UUID of its own; its machine id stands in, as in cAdvisor.
func readIdentity(root string) identity {
	firstOf := func(paths ...string) string {
		for _, path := range paths {
			if word, err := readWord(filepath.Join(root, path)); err == nil && word != "" {
				return strings.ToValidUTF8(word, "\uFFFD")
			}
		}
		return ""
	}
	const etc, dbus = "etc/machine-id", "var/lib/dbus/machine-id"
	return identity{
		boot:    firstOf("proc/sys/kernel/random/boot_id"),
		machine: firstOf(etc, dbus),
		system: firstOf("sys/class/dmi/id/product_uuid",
			"proc/device-tree/system-id", "proc/device-tree/vm,uuid", etc, dbus),
	}
}

// block renders the labels that name the machine.
func (i identity) block() *block {
	b := new(block)
	b.appendLabel("boot_id", i.boot)
	b.appendLabel("machine_id", i.machine)
	b.appendLabel("system_uuid", i.system)
	return b
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
