package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestReadDoesNotAllocate(t *testing.T) {
	f := func(root string, pid int) {
		t.Helper()
		group := open(t, root, pid, limited)
		var s Sample
		if allocs := testing.AllocsPerRun(100, func() {
			if err := group.Read(&s); err != nil {
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
	fs, err := NewFS("testdata/v1-cgroupfs")
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
	if err := groups[0].Read(new(Sample)); !errors.Is(err, ErrGone) {
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
		fs, err := NewFS(root)
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

// A cgroup that the kernel removes makes the next reading fail and closes all.
func TestReadRemovedCgroup(t *testing.T) {
	fs, err := NewFS("/")
	if err != nil {
		t.Skipf("this host shows no cgroups: %v", err)
	}
	parent := fs.unified.mountPoint
	if fs.Version() == 1 {
		parent = fs.v1[memoryController].mountPoint
	}
	name := fmt.Sprintf("tallyman-test-%d", os.Getpid())
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("this user may not make cgroups: %v", err)
	}
	before := descriptors(t)
	controller := noController
	if fs.Version() == 1 {
		controller = memoryController
	}
	group, err := fs.open(map[string]string{controller: "/" + name})
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	if err := group.Read(&s); err != nil {
		t.Errorf("reading a cgroup that is there: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := group.Read(&s); !errors.Is(err, ErrGone) {
		t.Errorf("reading a removed cgroup: %v, want ErrGone", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open after the end, %d were before", after, before)
	}
}

func BenchmarkRead(b *testing.B) {
	f := func(name, root string, pid int) {
		b.Run(name, func(b *testing.B) {
			group := open(b, root, pid, limited)
			var s Sample
			b.ReportAllocs()
			for b.Loop() {
				if err := group.Read(&s); err != nil {
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
	fs, err := NewFS("/")
	if err != nil {
		b.Skipf("this host shows no cgroups: %v", err)
	}
	group, err := fs.OpenRoot()
	if err != nil {
		b.Fatal(err)
	}
	defer group.Close()
	var s Sample
	b.ReportAllocs()
	for b.Loop() {
		if err := group.Read(&s); err != nil {
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
