package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// move moves the cgroup of a fixture's container to another path.
func move(t *testing.T, base, to, membership string) string {
	t.Helper()
	root := t.TempDir()
	copyTree(t, base, root)
	tree := filepath.Join(root, "sys/fs/cgroup")
	target := filepath.Join(tree, to)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(tree, "system.slice/docker-"+limited+".scope"), target); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "proc/2210/cgroup"), "0::"+membership+"\n")
	return root
}

// However an engine arranges its cgroups, the numbers are the same and the path
// is what cAdvisor calls id.
func TestReadWhereverTheCgroupIs(t *testing.T) {
	want := read(t, open(t, "testdata/v2-systemd", 2210, limited))
	f := func(path, inner string) {
		t.Helper()
		group := open(t, move(t, "testdata/v2-systemd", path, path+inner), 2210, limited)
		if group.Path() != path {
			t.Errorf("path = %q, want %q", group.Path(), path)
		}
		if got := read(t, group); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: sample is\n%+v, want\n%+v", path, got, want)
		}
	}
	scope := "docker-" + limited + ".scope"
	// The cgroupfs driver, with --cgroup-parent, and the systemd driver with it.
	f("/docker/"+limited, "")
	f("/batch/"+limited, "")
	f("/batch.slice/"+scope, "")
	f("/user.slice/user-1000.slice/user@1000.service/user.slice/"+scope, "")
	// A container with cgroups of its own.
	f("/docker/"+limited, "/init.scope")
	// A node of kind, and an engine in a container.
	f("/docker/"+limited, "/kubelet.slice/kubelet-kubepods.slice/cri-containerd-"+unlimited+".scope")
	f("/docker/"+unlimited+"/docker/"+limited, "")
}

// An agent in a cgroup namespace of its own sees paths with "..", and mounts of
// the host's tree whose root lies above.
func TestReadFromAPrivateNamespace(t *testing.T) {
	want := read(t, open(t, "testdata/v2-systemd", 2210, limited))
	path := "/system.slice/docker-" + limited + ".scope"
	root := t.TempDir()
	copyTree(t, "testdata/v2-systemd", root)
	write(t, filepath.Join(root, "proc/2210/cgroup"), "0::/../docker-"+limited+".scope\n")
	write(t, filepath.Join(root, "proc/1/mountinfo"), "32 23 0:28 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n")
	group := open(t, root, 2210, limited)
	if group.Path() != path {
		t.Errorf("path = %q, want %q", group.Path(), path)
	}
	if got := read(t, group); !reflect.DeepEqual(got, want) {
		t.Errorf("sample is\n%+v, want\n%+v", got, want)
	}

	// Without the host's tree there is nothing to find, and the error says so.
	write(t, filepath.Join(root, "proc/1/mountinfo"), "32 23 0:28 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n")
	fs, err := NewFS(root, usual)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Open(2210, limited); err == nil || !strings.Contains(err.Error(), "cgroup namespace") {
		t.Errorf("opening without the host's tree: %v", err)
	}
	// A cgroup that is not there is gone.
	write(t, filepath.Join(root, "proc/1/mountinfo"), "32 23 0:28 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n")
	if err := os.RemoveAll(filepath.Join(root, "sys/fs/cgroup", path)); err != nil {
		t.Fatal(err)
	}
	fs, err = NewFS(root, usual)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Open(2210, limited); !errors.Is(err, ErrGone) {
		t.Errorf("opening a cgroup that is gone: %v", err)
	}
}

// On version 1 such an agent sees paths of hierarchies too that nothing is read of.
func TestReadFromAPrivateNamespaceOnV1(t *testing.T) {
	want := read(t, open(t, "testdata/v1-cgroupfs", 5733, limited))
	root := t.TempDir()
	copyTree(t, "testdata/v1-cgroupfs", root)
	for path, inside := range map[string][2]string{
		"proc/5733/cgroup": {":/docker/", ":/../"},
		"proc/1/mountinfo": {" / /sys/fs/cgroup/", " /../.. /sys/fs/cgroup/"},
	} {
		path = filepath.Join(root, path)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.ReplaceAll(string(content), inside[0], inside[1]))
	}
	for _, hierarchy := range []string{"cpu", "cpuacct", "cpuset", "memory", "blkio", "pids", "unified"} {
		if err := os.MkdirAll(filepath.Join(root, "sys/fs/cgroup", hierarchy, "docker", limited), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	group := open(t, root, 5733, limited)
	if group.Path() != "/docker/"+limited {
		t.Errorf("path = %q", group.Path())
	}
	if got := read(t, group); !reflect.DeepEqual(got, want) {
		t.Errorf("sample is\n%+v, want\n%+v", got, want)
	}
}
