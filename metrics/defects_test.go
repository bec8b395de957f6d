package metrics

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// treeWith is a copy of a fixture with further files in it, by their paths.
func treeWith(t *testing.T, name string, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	copyTree(t, fixture(name), root)
	for path, content := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// The counters of a disk are the machine's, in seconds; a container has its own
// requests and no others, and its file system's inodes.
func TestDisksAreTheMachines(t *testing.T) {
	t.Parallel()
	mountinfo, err := os.ReadFile(filepath.Join(fixture("v2-systemd"), "proc/1/mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	root := treeWith(t, "v2-systemd", map[string]string{
		"proc/1/mountinfo": string(mountinfo) + "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n90 27 0:90 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n",
		"proc/diskstats":   " 254       0 vda 188599 10 2048 5000 200 20 4096 7000 1 33000 12000 0 0 0 0\n",
	})
	c := newContainers(t, Options{Containers: always(web(2210)), Root: root})
	use := &layerUse{bytes: 1, inodes: 3}
	use.fs.label, use.fs.known, use.fs.inodes, use.fs.inodesFree = "/dev/vda", true, 70, 60
	c.layers.uses[limited] = use
	text := string(exposition(c))
	f := func(family, container, want string) {
		t.Helper()
		if got, _ := valueOf(text, family, container, "device", "/dev/vda"); got != want {
			t.Errorf("%s of %q is %q, want %q", family, container, got, want)
		}
	}
	f("container_fs_reads_total", "", "188599")
	f("container_fs_reads_total", "web", "31")
	f("container_fs_io_time_seconds_total", "", "33")
	f("container_fs_read_seconds_total", "", "5")
	f("container_fs_inodes_free", "web", "60")
	f("container_fs_inodes_total", "web", "70")
	f("tallyman_container_fs_inodes_used", "web", "3")
	for _, family := range []string{"io_time_seconds_total", "read_seconds_total", "write_seconds_total", "reads_merged_total", "io_current", "io_time_weighted_seconds_total"} {
		f("container_fs_"+family, "web", "")
	}
	if strings.Contains(text, "overlay") {
		t.Error("the layer of a container is shown as a file system of the machine")
	}
}

// What processes are asked for is there on version 2 too.
func TestProcessesOfVersion2(t *testing.T) {
	t.Parallel()
	const group = "sys/fs/cgroup/system.slice/docker-" + limited + ".scope/"
	root := treeWith(t, "v2-systemd", map[string]string{
		group + "cgroup.procs": "2210\n", "proc/2210/fd/0": "", "proc/2210/fd/1": "", "proc/2210/schedstat": "1500000000 250000000 42\n",
		group + "io.stat": "254:0 rbytes=1388544 wbytes=8192 rios=31 wios=2\n", "proc/1/mountinfo": "32 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
	})
	text := string(exposition(newContainers(t, Options{Containers: always(web(2210)), Root: root, Kinds: Kinds(0).Without()})))
	for family, want := range map[string]string{
		"container_processes": "1", "container_file_descriptors": "2", "container_cpu_schedstat_run_seconds_total": "1.5", "container_fs_reads_bytes_total": "1.388544e+06",
	} {
		if got, _ := valueOf(text, family, "web"); got != want {
			t.Errorf("%s is %q, want %q", family, got, want)
		}
	}
}

// The versions are the engine's and the host's.
func TestVersions(t *testing.T) {
	t.Parallel()
	root := treeWith(t, "v2-systemd", map[string]string{"etc/os-release": "NAME=x\nPRETTY_NAME=\"A Host 7\"\n", "proc/sys/kernel/osrelease": "6.18.0\n"})
	text := string(exposition(NewMachine(MachineOptions{Root: root, Version: "tallyman 1", EngineVersion: func() string { return "29.1" }})))
	want := `cadvisor_version_info{cadvisorRevision="",cadvisorVersion="tallyman 1",dockerVersion="29.1",kernelVersion="6.18.0",osVersion="A Host 7"} 1`
	if !strings.Contains(text, "\n"+want+"\n") {
		t.Errorf("%s is missing", want)
	}
}

// Whoever finds the root's files slow or does not want them does without.
func TestWithoutTheRoot(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v1-cgroupfs", "v2-systemd"} {
		c := newContainers(t, Options{Containers: always(), Root: fixture(name), OmitRoot: true})
		if text := string(exposition(c)); strings.Contains(text, `id="/"`) || c.machine != nil {
			t.Errorf("%s: the root is read", name)
		}
	}
}
