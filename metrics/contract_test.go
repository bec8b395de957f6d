package metrics

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// contract is what cAdvisor shows of a family.
type contract struct {
	name, typ string
	labels    []string
}

// readContract reads a list of families.
func readContract(t *testing.T, name string) []contract {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []contract
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			continue
		}
		c := contract{name: fields[0], typ: fields[1]}
		if fields[2] != "-" {
			c.labels = strings.Split(fields[2], ",")
		}
		all = append(all, c)
	}
	if len(all) < 20 {
		t.Fatalf("%s holds %d families", name, len(all))
	}
	return all
}

// ownLabels returns the labels of a family besides those of every container or
// machine.
func ownLabels(family *dto.MetricFamily) []string {
	labels := make(map[string]bool)
	for _, metric := range family.GetMetric() {
		for _, pair := range metric.GetLabel() {
			name := pair.GetName()
			common := []string{"id", "name", "image", "boot_id", "machine_id", "system_uuid"}
			if !slices.Contains(common, name) && !strings.HasPrefix(name, "container_label_") && !strings.HasPrefix(name, "container_env_") {
				labels[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(labels))
}

// contractTree is a fixture on which everything can be shown: with a disk under
// the root and with what only some kernels have.
func contractTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	copyTree(t, fixture("v1-cgroupfs"), root)
	add := func(path, content string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(content); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	add("proc/1/mountinfo", "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"+
		"90 1 0:90 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n91 1 0:91 / /sys/fs/cgroup/hugetlb rw - cgroup cgroup rw,hugetlb\n")
	add("proc/diskstats", " 254       0 vda 100 10 2048 5000 200 20 4096 7000 1 9000 12000 0 0 0 0\n")
	add("proc/5733/cgroup", "20:cpuset:/docker/"+limited+"\n21:hugetlb:/docker/"+limited+"\n")
	own := "/docker/" + limited + "/"
	add("sys/fs/cgroup/cpuset"+own+"cpuset.memory_migrate", "1\n")
	add("sys/fs/cgroup/memory"+own+"memory.numa_stat", "total=7 N0=4 N1=3\nfile=4 N0=3 N1=1\nhierarchical_file=9 N0=6 N1=3\n")
	add("sys/fs/cgroup/memory"+own+"cgroup.procs", "5733\n")
	add("sys/fs/cgroup/pids"+own+"cgroup.procs", "5733\n")
	for _, file := range []string{"usage_in_bytes", "max_usage_in_bytes", "failcnt"} {
		add("sys/fs/cgroup/hugetlb"+own+"hugetlb.2MB."+file, "4194304\n")
	}
	add("proc/5733/schedstat", "1500000000 250000000 42\n")
	add("proc/5733/limits", "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files     \n")
	add("proc/5733/smaps_rollup", "Rss: 100 kB\nReferenced:           80 kB\n")
	add("proc/5733/fd/0", "")
	if err := os.Symlink("socket:[7]", filepath.Join(root, "proc/5733/fd/3")); err != nil {
		t.Fatal(err)
	}
	add("proc/5733/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n")
	add("proc/5733/net/udp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when drops\n   0: 0100007F:1F90 00000000:0000 07 00000010:00000020 00:00000000 3\n")
	add("proc/5733/net/snmp", "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm MaxConn\nTcp: 1 -1\n")
	add("proc/5733/net/netstat", "TcpExt: SyncookiesSent\nTcpExt: 5\n")
	for path, content := range map[string]string{
		"edac/mc/mc0/dimm0/dimm_mem_type": "Registered-DDR4\n", "edac/mc/mc0/dimm0/size": "16384\n",
		"node/online": "0\n", "node/node0/cpulist": "0-3\n", "node/node0/distance": "10\n",
		"node/node0/meminfo": "Node 0 MemTotal:       16384 kB\n",
		"node/node0/hugepages/hugepages-2048kB/nr_hugepages": "3\n",
		"cpu/cpu0/cache/index0/level":                        "1\n", "cpu/cpu0/cache/index0/type": "Data\n", "cpu/cpu0/cache/index0/size": "32K\n",
		"cpu/cpu0/topology/thread_siblings_list": "0-1\n",
	} {
		add("sys/devices/system/"+path, content)
	}
	return root
}

// costTree is a fixture whose kernel has a model of a device's cost.
func costTree(t *testing.T) string {
	t.Helper()
	return treeWith(t, "v2-systemd", map[string]string{
		"sys/fs/cgroup/system.slice/docker-" + limited + ".scope/io.stat": "254:0 rbytes=1 wbytes=2 rios=3 wios=4 cost.usage=5 cost.wait=6 cost.indebt=7 cost.indelay=8\n",
	})
}

// TestContract holds that every family that cAdvisor shows by default is there,
// with its type and labels, and that those that have to be asked for are there
// only then.
func TestContract(t *testing.T) {
	t.Parallel()
	root := contractTree(t)
	show := func(kinds Kinds) map[string]*dto.MetricFamily {
		options := Options{Containers: always(web(5733), plain(5801)), Root: root, Kinds: kinds}
		c := newContainers(t, options)
		layer := &layerUse{bytes: 1, inodes: 1}
		layer.fs.label, layer.fs.known = "/dev/vda", true
		c.layers.uses[limited] = layer
		return gather(t, c, NewMachine(MachineOptions{Root: root, Kinds: kinds}))
	}
	check := func(families map[string]*dto.MetricFamily, list []contract) {
		t.Helper()
		for _, want := range list {
			family := families[want.name]
			if family == nil {
				t.Errorf("%s is missing", want.name)
				continue
			}
			if got := strings.ToLower(family.GetType().String()); got != want.typ {
				t.Errorf("%s is a %s, want %s", want.name, got, want.typ)
			}
			if got := ownLabels(family); !slices.Equal(got, want.labels) {
				t.Errorf("%s has labels %q, want %q", want.name, got, want.labels)
			}
		}
	}
	usual, more := readContract(t, "contract.txt"), readContract(t, "contract-more.txt")
	// These need a kernel with a model of the device's cost, which only version 2
	// has.
	isCost := func(c contract) bool { return strings.HasPrefix(c.name, "container_fs_io_cost_") }
	var costs []contract
	for _, c := range usual {
		if isCost(c) {
			costs = append(costs, c)
		}
	}
	usual = slices.DeleteFunc(usual, isCost)
	byDefault := show(0)
	check(byDefault, usual)
	asked := show(Kinds(0).Without())
	check(asked, usual)
	check(asked, more)
	if len(costs) != 4 {
		t.Errorf("%d families of costs, want 4", len(costs))
	}
	check(gather(t, newContainers(t, Options{Containers: always(web(2210)), Root: costTree(t)})), costs)
	for _, c := range more {
		if byDefault[c.name] != nil {
			t.Errorf("%s is there without being asked for", c.name)
		}
	}
}

// The words of cAdvisor's switches narrow what is shown.
func TestKinds(t *testing.T) {
	t.Parallel()
	root := contractTree(t)
	f := func(word string, families ...string) {
		t.Helper()
		only, err := ParseKinds(word)
		if err != nil {
			t.Fatal(err)
		}
		show := func(kinds Kinds) map[string]*dto.MetricFamily {
			return gather(t, newContainers(t, Options{Containers: always(web(5733)), Root: root, Kinds: kinds}))
		}
		with, without := show(only), show(only.Without())
		for _, family := range families {
			if with[family] == nil {
				t.Errorf("%s alone does not show %s", word, family)
			}
			if without[family] != nil {
				t.Errorf("%s is shown without %s", family, word)
			}
		}
		if with["container_last_seen"] == nil || with["container_spec_memory_limit_bytes"] == nil {
			t.Errorf("%s alone hides what is always shown", word)
		}
	}
	f("cpu", "container_cpu_usage_seconds_total", "container_cpu_cfs_throttled_seconds_total")
	f("cpuLoad", "container_tasks_state", "container_cpu_load_average_10s")
	f("memory", "container_memory_usage_bytes", "container_memory_working_set_bytes", "container_memory_failcnt")
	f("network", "container_network_receive_bytes_total")
	f("diskIO", "container_fs_reads_total", "container_fs_io_time_seconds_total")
	f("oom_event", "container_oom_events_total")
	f("pressure", "container_pressure_cpu_waiting_seconds_total")
	f("process", "container_processes", "container_threads", "container_ulimits_soft", "container_sockets")
	f("sched", "container_cpu_schedstat_run_seconds_total")
	f("tcp", "container_network_tcp_usage_total")
	f("udp", "container_network_udp_usage_total")
	f("advtcp", "container_network_advance_tcp_stats_total")
	f("hugetlb", "container_hugetlb_usage_bytes")
	f("memory_numa", "container_memory_numa_pages")
	f("cpuset", "container_memory_migrate")
	f("referenced_memory", "container_referenced_bytes")

	if _, err := ParseKinds("cpu,disks"); err == nil || !strings.Contains(err.Error(), `"disks"`) || !strings.Contains(err.Error(), "diskIO") {
		t.Errorf("an unknown word gives %v", err)
	}
	if kinds, err := ParseKinds(" cpu , accelerator,"); err != nil || kinds != kindAlways|kindCPU {
		t.Errorf("ParseKinds = %b, %v", kinds, err)
	}
}

// Without the processors' own times, the sum is shown as on version 2.
func TestPerCPUOff(t *testing.T) {
	cpu, err := ParseKinds("cpu")
	if err != nil {
		t.Fatal(err)
	}
	families := gather(t, newContainers(t, Options{Containers: always(web(5733)), Root: fixture("v1-cgroupfs"), Kinds: cpu}))
	if got := labelsOf(t, families["container_cpu_usage_seconds_total"], "web")["cpu"]; got != "total" {
		t.Errorf("cpu=%q, want total", got)
	}
}
