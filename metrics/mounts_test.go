package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"tallyman/cmd/testkit"
)

// A file that is not the kernel's is read each time.
func TestMountsOfAFile(t *testing.T) {
	t.Parallel()
	table := mountTable{path: filepath.Join(t.TempDir(), "mountinfo")}
	defer table.close()
	if _, _, err := table.read(); err == nil {
		t.Error("a file that is not there is no error")
	}
	for _, point := range []string{"/", "/data"} {
		line := "27 1 254:0 / " + point + " rw,relatime - ext4 /dev/vda rw\n"
		if err := os.WriteFile(table.path, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
		mounts, _, err := table.read()
		if err != nil || len(mounts) != 1 || mounts[0].point != point {
			t.Errorf("mounts are %v, %v", mounts, err)
		}
	}
}

// The kernel's is read again when a mount has come or gone, and only then.
func TestMountsOfTheKernel(t *testing.T) {
	// Other tests' containers are mounts too, so that this runs beside none.
	table := mountTable{path: mountinfo("/")}
	defer table.close()
	has := func(point string) bool {
		t.Helper()
		mounts, _, err := table.read()
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(mounts, func(m mount) bool { return m.point == point })
	}
	folder := t.TempDir()
	if has(folder) {
		t.Fatal("it is mounted already")
	}
	err := unix.Mount("none", folder, "tmpfs", 0, "size=64k")
	testkit.Need(t, err == nil, fmt.Sprintf("a user who may mount file systems: %v", err))
	unmounted := false
	defer func() {
		if !unmounted {
			_ = unix.Unmount(folder, unix.MNT_DETACH)
		}
	}()
	if !has(folder) {
		t.Error("a new mount is not seen")
	}
	if err := unix.Unmount(folder, 0); err != nil {
		t.Fatal(err)
	}
	unmounted = true
	if has(folder) {
		t.Error("a mount that has gone is still there")
	}
	// Nobody else may mount meanwhile; a few attempts make that likely.
	for range 100 {
		if !table.changedLocked() {
			return
		}
	}
	t.Error("the file is read each time")
}

// What lies under another mount cannot be asked, and the other's size is not its own.
func TestMountsThatAreHidden(t *testing.T) {
	table := mountTable{path: mountinfo("/")}
	defer table.close()
	folder := t.TempDir()
	for _, size := range []string{"size=64k", "size=128k"} {
		err := unix.Mount("none", folder, "tmpfs", 0, size)
		testkit.Need(t, err == nil, fmt.Sprintf("a user who may mount file systems: %v", err))
		defer func() { _ = unix.Unmount(folder, unix.MNT_DETACH) }()
	}
	all, err := readFilesystems("/", &table, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []uint64
	for i := range all {
		if all[i].point == folder && all[i].known {
			sizes = append(sizes, all[i].size)
		}
	}
	if !slices.Equal(sizes, []uint64{128 << 10}) {
		t.Errorf("the sizes at %s are %d", folder, sizes)
	}
}

// Where of the host's root folder only /proc is mounted, as in a swarm, a file system
// is asked where the agent has it, and not what stands in the place of the root.
func TestMountsOfAPartOfTheHost(t *testing.T) {
	root := t.TempDir()
	err := unix.Mount("none", root, "tmpfs", 0, "size=64k")
	testkit.Need(t, err == nil, fmt.Sprintf("a user who may mount file systems: %v", err))
	defer func() { _ = unix.Unmount(root, unix.MNT_DETACH) }()
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("/proc", proc, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(proc, unix.MNT_DETACH) }()
	table := mountTable{path: mountinfo(root)}
	defer table.close()
	all, err := readFilesystems(root, &table, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for i := range all {
		if all[i].known && all[i].point != root && all[i].size == 64<<10 {
			t.Errorf("%s has the size of the folder that stands for the root", all[i].point)
		}
		if all[i].known {
			known++
		}
	}
	if known == 0 {
		t.Error("no file system is known")
	}
}

// BenchmarkMounts asks for the mounts of this machine, kept and read anew.
func BenchmarkMounts(b *testing.B) {
	table := mountTable{path: mountinfo("/")}
	defer table.close()
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := table.read(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			if _, err := readMounts("/"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
