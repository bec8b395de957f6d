package cgroup

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tallyman/cmd/testkit"
)

// readAgain reads a cgroup as the next scrape would.
func readAgain(t *testing.T, fs *FS, group *Cgroup) Sample {
	t.Helper()
	fs.Notice()
	return read(t, group)
}

// Limits are read only when they were written, and by every handle then.
func TestLimitsAreReadWhenWritten(t *testing.T) {
	root := t.TempDir()
	copyTree(t, "testdata/v2-systemd", root)
	fs, err := NewFS(root, usual)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	var groups [2]*Cgroup
	for i := range groups {
		if groups[i], err = fs.Open(2210, limited); err != nil {
			t.Fatal(err)
		}
		defer groups[i].Close()
	}
	before := read(t, groups[0])
	read(t, groups[1])
	path := filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/memory.max")
	change := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change("4096\n")
	if got := read(t, groups[0]); got.Memory.Limit != before.Memory.Limit {
		t.Errorf("the limits were read without notice: %v", got.Memory.Limit)
	}
	for i, group := range groups {
		if got := readAgain(t, fs, group); got.Memory.Limit != v(4096) || got.CPU.Quota != before.CPU.Quota {
			t.Errorf("handle %d: after the limit was written it is %v", i, got.Memory.Limit)
		}
	}
	groups[0].Close()
	change("8192\n")
	if got := readAgain(t, fs, groups[1]); got.Memory.Limit != v(8192) {
		t.Errorf("after another handle was closed the limit is %v", got.Memory.Limit)
	}

	// Events that were lost make everything be read.
	if fs.notices.markLocked([]byte("\xff\xff\xff\xff\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")) {
		t.Error("a queue that has overflowed is not noticed")
	}
	files := [2]*os.File{}
	for i, name := range []string{"memory.max", "memory.low"} {
		if files[i], err = os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY, 0); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
	}
	for i := range 10000 {
		// Equal events that follow each other are one.
		if _, err := fmt.Fprint(io.NewOffsetWriter(files[i%2], 0), i); err != nil {
			t.Fatal(err)
		}
	}
	// The notice of this one lies behind more than are taken in at once.
	other, err := fs.Open(2344, unlimited)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	read(t, other)
	write(t, filepath.Join(root, "sys/fs/cgroup/app.slice/docker-"+unlimited+".scope/memory.max"), "77\n")
	if got := readAgain(t, fs, groups[1]); got.Memory.Limit != v(9998) {
		t.Errorf("after many writings the limit is %v", got.Memory.Limit)
	}
	if got := read(t, other); got.Memory.Limit != v(77) {
		t.Errorf("after many writings to another cgroup the limit is %v", got.Memory.Limit)
	}
	fs.Close()
	if got := read(t, groups[1]); got.Memory.Limit != v(9998) {
		t.Errorf("after the end of all watches the limit is %v", got.Memory.Limit)
	}
}

// Without watches the limits are read every time.
func TestLimitsWithoutWatches(t *testing.T) {
	root := t.TempDir()
	copyTree(t, "testdata/v2-systemd", root)
	fs, err := NewFS(root, usual)
	if err != nil {
		t.Fatal(err)
	}
	fs.Close()
	group, err := fs.Open(2210, limited)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	read(t, group)
	write(t, filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/cpu.max"), "7000 9000\n")
	if got := readAgain(t, fs, group); got.CPU.Quota != v(7000) || got.CPU.Period != v(9000) {
		t.Errorf("the quota is %v of %v", got.CPU.Quota, got.CPU.Period)
	}
}

// A limit of this host's kernel that is changed shows at once.
func TestLimitsOfTheKernel(t *testing.T) {
	fs, dir, paths := makeCgroup(t, cpuController)
	group, err := fs.open(paths)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	if len(group.watches) == 0 {
		t.Fatal("the cgroup is not watched")
	}
	read(t, group)
	name, content, want := "cpu.shares", "4000", v(4000)
	if fs.Version() == 2 {
		name, content, want = "cpu.weight", "10000", v(262144)
	}
	err = os.WriteFile(filepath.Join(dir, name), []byte(content), 0)
	testkit.Need(t, err == nil, fmt.Sprintf("a user who may change cgroups, with the controller enabled: %v", err))
	if got := readAgain(t, fs, group); got.CPU.Shares != want {
		t.Errorf("the shares are %v, want %v", got.CPU.Shares, want)
	}
}
