package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyman/cmd/testkit"
)

func TestReadDoesNotAllocate(t *testing.T) {
	f := func(root string, pid int) {
		t.Helper()
		group := open(t, root, pid, limited)
		var s Sample
		var buffer Buffer
		if allocs := testing.AllocsPerRun(100, func() {
			if err := group.Read(&s, &buffer); err != nil {
				t.Fatal(err)
			}
		}); allocs > 0 {
			t.Errorf("%s: a reading allocates %v times", root, allocs)
		}
	}
	f("testdata/v1-cgroupfs", 5733)
	f("testdata/v1-systemd", 2210)
	f("testdata/v2-systemd", 2210)
}

func TestNoDescriptorLeaks(t *testing.T) {
	fs, err := NewFS("testdata/v1-cgroupfs", usual)
	if err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	groups := make([]*Cgroup, 200)
	for i := range groups {
		if groups[i], err = fs.Open(5733, limited); err != nil {
			t.Fatal(err)
		}
		// Neither must those that cannot be opened leave anything open.
		if _, err := fs.Open(5801, limited); err == nil {
			t.Fatal("another container's process was accepted")
		}
	}
	if open := descriptors(t); open < before+200*20 {
		t.Errorf("200 containers hold %d descriptors", open-before)
	}
	for _, group := range groups {
		group.Close()
		group.Close()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open after closing, %d were before", after, before)
	}
	if err := groups[0].Read(new(Sample), new(Buffer)); !errors.Is(err, ErrGone) {
		t.Errorf("reading a closed cgroup: %v", err)
	}
}

// A file that is there and cannot be opened is an error, unlike one that is not
// there, and leaves nothing open.
func TestOpenFileThatCannotBeOpened(t *testing.T) {
	f := func(path string) {
		t.Helper()
		root := t.TempDir()
		copyTree(t, "testdata/v2-systemd", root)
		// A link to itself is such a file also for root.
		path = filepath.Join(root, path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, path); err != nil {
			t.Fatal(err)
		}
		fs, err := NewFS(root, usual)
		if err != nil {
			t.Fatal(err)
		}
		before := descriptors(t)
		if _, err := fs.Open(2210, limited); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("opening with a bad %q: %v", path, err)
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors are open, %d were before", after, before)
		}
	}
	f("sys/fs/cgroup/system.slice/docker-" + limited + ".scope/pids.max")
	f("proc/2210/net/dev")
}

// makeCgroup makes a cgroup on this host, in the hierarchy of a controller. It is
// removed after the test.
func makeCgroup(t *testing.T, controller string) (fs *FS, dir string, paths map[string]string) {
	t.Helper()
	fs, err := NewFS("/", usual)
	testkit.Need(t, err == nil, fmt.Sprintf("a host that shows its cgroups: %v", err))
	t.Cleanup(fs.Close)
	name := fmt.Sprintf("/tallyman-test-%s-%d", strings.ToLower(t.Name()), os.Getpid())
	tree, isV1 := fs.v1[controller]
	if !isV1 {
		tree, controller = fs.unified, noController
	}
	dir, ok := tree.dir(name)
	if !ok {
		t.Fatalf("%q is not below %q", name, tree.mountPoint)
	}
	err = os.Mkdir(dir, 0o755)
	testkit.Need(t, err == nil, fmt.Sprintf("a user who may make cgroups: %v", err))
	// It may be removed by then.
	t.Cleanup(func() { _ = os.Remove(dir) })
	return fs, dir, map[string]string{controller: name}
}

// A cgroup that the kernel removes makes the next reading fail and closes all.
func TestReadRemovedCgroup(t *testing.T) {
	fs, dir, paths := makeCgroup(t, memoryController)
	before := descriptors(t)
	group, err := fs.open(paths)
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	var buffer Buffer
	if err := group.Read(&s, &buffer); err != nil {
		t.Errorf("reading a cgroup that is there: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := group.Read(&s, &buffer); !errors.Is(err, ErrGone) {
		t.Errorf("reading a removed cgroup: %v, want ErrGone", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open after the end, %d were before", after, before)
	}
	if len(fs.notices.watched) > 0 {
		t.Error("a cgroup that has gone is watched")
	}
}

func BenchmarkRead(b *testing.B) {
	f := func(name, root string, pid int) {
		b.Run(name, func(b *testing.B) {
			group := open(b, root, pid, limited)
			var s Sample
			var buffer Buffer
			b.ReportAllocs()
			for b.Loop() {
				if err := group.Read(&s, &buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	f("v1", "testdata/v1-cgroupfs", 5733)
	f("v2", "testdata/v2-systemd", 2210)
}

// BenchmarkReadKernel reads the root cgroup of this host, whose files the kernel
// renders, as opposed to those of a fixture.
func BenchmarkReadKernel(b *testing.B) {
	fs, err := NewFS("/", usual)
	testkit.Need(b, err == nil, fmt.Sprintf("a host that shows its cgroups: %v", err))
	group, err := fs.OpenRoot()
	if err != nil {
		b.Fatal(err)
	}
	defer group.Close()
	var s Sample
	var buffer Buffer
	b.ReportAllocs()
	for b.Loop() {
		if err := group.Read(&s, &buffer); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(group.files)+1), "files")
}

// descriptors returns how many descriptors this process has open, that of the
// folder it asks among them.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// write makes a file and its folders.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies a fixture.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
