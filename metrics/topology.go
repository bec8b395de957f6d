package metrics

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

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

// onlineTopology counts the processors that are online, none where the kernel
// does not tell.
func onlineTopology(root string) topology {
	folder := filepath.Join(root, "sys/devices/system/cpu")
	return readTopology(folder, readList(filepath.Join(folder, "online")))
}

// maxProcessors is more than any kernel is built for.
const maxProcessors = 1 << 16

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
		if from < 0 || to-from > maxProcessors {
			return nil, fmt.Errorf("reading %q: %d processors are too many", list, to-from)
		}
		for ; from <= to; from++ {
			numbers = append(numbers, from)
		}
	}
	return numbers, nil
}

// writeDIMMs writes the memory modules that the drivers of memory controllers
// tell of, by type. Most virtual machines have none.
func writeDIMMs(w *writer, root string) {
	folders, _ := filepath.Glob(filepath.Join(root, "sys/devices/system/edac/mc/mc*/dimm*")) // The pattern is good.
	count, capacity := make(map[string]uint64), make(map[string]uint64)
	for _, folder := range folders {
		kind, err := readWord(filepath.Join(folder, "dimm_mem_type"))
		if err != nil {
			continue
		}
		kind = strings.ToValidUTF8(kind, "\uFFFD")
		count[kind]++
		capacity[kind] += readNumber(filepath.Join(folder, "size")) << 20
	}
	write := func(name, help string, values map[string]uint64) {
		w.begin(&description{name: name, help: help, labels: []string{"type"}})
		for _, kind := range slices.Sorted(maps.Keys(values)) {
			w.with(float64(values[kind]), kind)
		}
	}
	write("machine_dimm_capacity_bytes", "Capacity of the memory modules by type, in bytes.", capacity)
	write("machine_dimm_count", "Memory modules by type.", count)
}

// writeTopology writes how processors, caches and memory nodes lie to each other.
func writeTopology(w *writer, root string, processors []int) {
	node, cpu := filepath.Join(root, "sys/devices/system/node"), filepath.Join(root, "sys/devices/system/cpu")
	nodeOf := make(map[int]string)
	nodes := readList(filepath.Join(node, "online"))
	for _, number := range nodes {
		for _, processor := range readList(filepath.Join(node, "node"+strconv.Itoa(number), "cpulist")) {
			nodeOf[processor] = strconv.Itoa(number)
		}
	}
	own := func(processor int, name string) string {
		word, err := readWord(filepath.Join(cpu, "cpu"+strconv.Itoa(processor), name))
		if err != nil {
			return ""
		}
		return strings.ToValidUTF8(word, "\uFFFD")
	}
	w.begin(&description{name: "machine_cpu_cache_capacity_bytes", help: "Size of a core's cache, in bytes.", labels: []string{"core_id", "level", "node_id", "type"}})
	seen := make(map[[4]string]bool)
	for _, processor := range processors {
		core := own(processor, "topology/core_id")
		caches, _ := filepath.Glob(filepath.Join(cpu, "cpu"+strconv.Itoa(processor), "cache/index*"))
		for _, cache := range caches {
			index := "cache/" + filepath.Base(cache) + "/"
			labels := [4]string{core, own(processor, index+"level"), nodeOf[processor], own(processor, index+"type")}
			if seen[labels] {
				continue
			}
			seen[labels] = true
			w.with(float64(cacheSize(own(processor, index+"size"))), labels[:]...)
		}
	}
	w.begin(&description{name: "machine_thread_siblings_count", help: "Threads that share a core with this one, itself included.", labels: []string{"core_id", "node_id", "thread_id"}})
	for _, processor := range processors {
		siblings, _ := parseRanges(own(processor, "topology/thread_siblings_list")) // None where the kernel does not tell.
		w.with(float64(len(siblings)), own(processor, "topology/core_id"), nodeOf[processor], strconv.Itoa(processor))
	}
	writeNodes(w, node, nodes)
}

// writeNodes writes the memory of each node, its huge pages, and how far others
// are.
func writeNodes(w *writer, folder string, nodes []int) {
	w.begin(&description{name: "machine_node_memory_capacity_bytes", help: "Memory of a node, in bytes.", labels: []string{"node_id"}})
	for _, number := range nodes {
		if content, err := os.ReadFile(filepath.Join(folder, "node"+strconv.Itoa(number), "meminfo")); err == nil {
			for line := range strings.Lines(string(content)) {
				if fields := strings.Fields(line); len(fields) >= 4 && fields[2] == "MemTotal:" {
					total, _ := strconv.ParseUint(fields[3], 10, 64) // The kernel writes a number.
					w.with(float64(total<<10), strconv.Itoa(number))
				}
			}
		}
	}
	w.begin(&description{name: "machine_node_hugepages_count", help: "Huge pages of a node, by size in KiB.", labels: []string{"node_id", "page_size"}})
	for _, number := range nodes {
		sizes, _ := filepath.Glob(filepath.Join(folder, "node"+strconv.Itoa(number), "hugepages/hugepages-*kB"))
		for _, size := range sizes {
			word := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(size), "hugepages-"), "kB")
			w.with(float64(readNumber(filepath.Join(size, "nr_hugepages"))), strconv.Itoa(number), word)
		}
	}
	w.begin(&description{name: "machine_node_distance", help: "Distance between two nodes, 10 for a node and itself.", labels: []string{"node_id", "target_node_id"}})
	for _, number := range nodes {
		word, err := readWord(filepath.Join(folder, "node"+strconv.Itoa(number), "distance"))
		if err != nil {
			continue
		}
		for i, distance := range strings.Fields(word) {
			if n, err := strconv.ParseUint(distance, 10, 64); err == nil && i < len(nodes) {
				w.with(float64(n), strconv.Itoa(number), strconv.Itoa(nodes[i]))
			}
		}
	}
}

// cacheSize reads a size such as "32K".
func cacheSize(word string) uint64 {
	shift := 0
	for unit, bits := range map[string]int{"K": 10, "M": 20, "G": 30} {
		if digits, ok := strings.CutSuffix(word, unit); ok {
			word, shift = digits, bits
			break
		}
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0
	}
	return n << shift
}

// readList reads a file that holds a list such as "0-3,8"; none where there is no
// such file.
func readList(path string) []int {
	word, err := readWord(path)
	if err != nil {
		return nil
	}
	numbers, err := parseRanges(word)
	if err != nil {
		return nil
	}
	return numbers
}

// readNumber reads a file that holds a number, 0 where there is none.
func readNumber(path string) uint64 {
	word, err := readWord(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
