package metrics

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tallyman/collector/record"
)

// stableExposition renders what is shown of a tree, without what changes with the
// clock.
func stableExposition(t *testing.T, options Options) string {
	t.Helper()
	options.EnvWhitelist = []string{"APP_E"}
	options.LogUse = func(id string) (record.LogUse, bool) {
		return record.LogUse{
			record.Stdout: {Count: record.Count{Lines: 41, Bytes: 4100}, Newest: 1777644000123456789, Levels: []record.LevelCount{{Level: "unknown", Lines: 40}, {Level: "warning", Lines: 1}}},
			record.Stderr: {Count: record.Count{Lines: 7, Bytes: 80}, Newest: 1777640000000000000},
		}, id == limited
	}
	text := string(exposition(newContainers(t, options), NewMachine(MachineOptions{Root: options.Root})))
	var stable strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "container_last_seen{") || strings.HasPrefix(line, "container_fs_") || strings.HasPrefix(line, "tallyman_scrape_duration_seconds ") {
			line = line[:strings.LastIndexByte(line, ' ')] + " 0\n"
		}
		stable.WriteString(line)
	}
	return stable.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	f := func(name string, options Options) {
		t.Helper()
		options.Root = fixture(name)
		got := stableExposition(t, options)
		path := filepath.Join("testdata", name+".prom")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		compareLines(t, path, got, string(want))
	}
	f("v1-cgroupfs", Options{Containers: always(web(5733), plain(5801))})
	f("v1-systemd", Options{Containers: always(web(2210)), OmitContainerLabels: true, LabelWhitelist: []string{" a.b "}})
	f("v2-systemd", Options{Containers: always(web(2210), plain(2344))})
}

// relocate copies a fixture and moves web's cgroup to another path, in every
// hierarchy. The process is in the cgroup that inner names below it.
func relocate(t *testing.T, name, from, to, inner string, pid int) (root string) {
	t.Helper()
	root = t.TempDir()
	copyTree(t, fixture(name), root)
	trees := []string{filepath.Join(root, "sys/fs/cgroup")}
	hierarchies, err := filepath.Glob(filepath.Join(trees[0], "*"))
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for _, tree := range append(trees, hierarchies...) {
		if _, err := os.Stat(filepath.Join(tree, from)); err != nil {
			continue
		}
		if moved++; from == to {
			continue
		}
		target := filepath.Join(tree, to)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(tree, from), target); err != nil {
			t.Fatal(err)
		}
	}
	if moved == 0 {
		t.Fatalf("there is no %q in %s", from, name)
	}
	member := filepath.Join(root, "proc", strconv.Itoa(pid), "cgroup")
	content, err := os.ReadFile(member)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(member, bytes.ReplaceAll(content, []byte(from), []byte(to+inner)), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// However an engine arranges its cgroups, the page is the same but for the id.
func TestGoldenWhereverTheCgroupIs(t *testing.T) {
	t.Parallel()
	f := func(name, from, to, inner string, pid, other int, further ...func(root string)) {
		t.Helper()
		root := relocate(t, name, from, to, inner, pid)
		for _, change := range further {
			change(root)
		}
		path := filepath.Join("testdata", name+".prom")
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := stableExposition(t, Options{Root: root, Containers: always(web(pid), plain(other))})
		compareLines(t, path+" for "+to, got, strings.ReplaceAll(string(want), from, to))
	}
	scope := "docker-" + limited + ".scope"
	v1 := func(to, inner string) {
		t.Helper()
		f("v1-cgroupfs", "/docker/"+limited, to, inner, 5733, 5801)
	}
	v2 := func(to, inner string, further ...func(string)) {
		t.Helper()
		f("v2-systemd", "/system.slice/"+scope, to, inner, 2210, 2344, further...)
	}
	// The cgroupfs driver of version 2, and both drivers with --cgroup-parent.
	v2("/docker/"+limited, "")
	v2("/batch/"+limited, "")
	v2("/batch.slice/"+scope, "")
	v1("/batch/"+limited, "")
	// An engine of an ordinary user.
	v2("/user.slice/user-1000.slice/user@1000.service/user.slice/"+scope, "")
	// A node of kind: a container with containers in it, and one in such a node.
	v2("/docker/"+limited, "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-"+strings.Repeat("e", 64)+".scope")
	v1("/docker/"+strings.Repeat("d", 64)+"/docker/"+limited, "")
	v2("/docker/"+strings.Repeat("d", 64)+"/docker/"+limited, "")
	// An agent in a cgroup namespace of its own, with the host's tree.
	v2("/system.slice/"+scope, "", func(root string) {
		replace := func(path, from, to string) {
			t.Helper()
			content, err := os.ReadFile(filepath.Join(root, path))
			if err != nil || !bytes.Contains(content, []byte(from)) {
				t.Fatalf("%s is %q, %v", path, content, err)
			}
			if err := os.WriteFile(filepath.Join(root, path), bytes.Replace(content, []byte(from), []byte(to), 1), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		replace("proc/2210/cgroup", "/system.slice/", "/../")
		replace("proc/2344/cgroup", "/app.slice/", "/../../app.slice/")
		replace("proc/1/mountinfo", " / /sys/fs/cgroup ", " /../.. /sys/fs/cgroup ")
	})
}

// compareLines reports the first lines that differ.
func compareLines(t *testing.T, path, got, want string) {
	t.Helper()
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Fatalf("%s:%d differs (write it anew with -update where that is right):\n got %s\nwant %s", path, i+1, g, w)
		}
	}
}
