package cgroup

import (
	"path/filepath"
	"testing"
)

// lastingTree is a host of version 1 that is no fixture's own, with a container in
// it: its first process and id.
func lastingTree(t *testing.T, pid int, id string) (root string, fs *FS, group *Cgroup) {
	t.Helper()
	root = t.TempDir()
	copyTree(t, "testdata/v1-cgroupfs", root)
	write(t, filepath.Join(root, "proc/vmstat"), "nr_free_pages 1\noom_kill 3\nswap_ra 0\n")
	fs, err := NewFS(root, usual)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fs.Close)
	if group, err = fs.Open(pid, id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	readAgain(t, fs, group)
	return root, fs, group
}

// What is counted when a limit is met is read in every sample where there is the
// limit, and else only when somebody has written to the cgroup.
func TestCountsOfLimits(t *testing.T) {
	f := func(pid int, id string, hasLimits bool) {
		t.Helper()
		root, fs, group := lastingTree(t, pid, id)
		before := read(t, group)
		write(t, filepath.Join(root, "sys/fs/cgroup/cpu/docker", id, "cpu.stat"),
			"nr_periods 21\nnr_throttled 22\nthrottled_time 23\nnr_bursts 24\nburst_time 25\n")
		write(t, filepath.Join(root, "sys/fs/cgroup/memory/docker", id, "memory.failcnt"), "26\n")
		check := func(what string, changed bool) {
			t.Helper()
			got, want := read(t, group), before
			if changed {
				c := &want.CPU
				c.Periods, c.Throttled, c.ThrottledTime, c.Bursts, c.BurstTime = v(21), v(22), v(23), v(24), v(25)
				want.Memory.Failures = v(26)
			}
			if lastingOf(&got) != lastingOf(&want) {
				t.Errorf("%s of %.8s: %+v, want %+v", what, id, lastingOf(&got), lastingOf(&want))
			}
		}
		check("a sample", hasLimits)
		// The notice is that of a test that writes where only the kernel does.
		fs.Notice()
		check("a sample after a notice", true)
	}
	f(5733, limited, true)
	f(5801, unlimited, false)
}

// Kills are read as long as the host's count may have changed since.
func TestKillsAreReadWhenTheHostHasSome(t *testing.T) {
	root, fs, group := lastingTree(t, 5733, limited)
	control := filepath.Join(root, "sys/fs/cgroup/memory/docker", limited, "memory.oom_control")
	f := func(what string, want uint64) {
		t.Helper()
		fs.host.read()
		if got := read(t, group).Memory.OOMKills; got != v(want) {
			t.Errorf("%s: %d kills, want %d", what, got.N, want)
		}
	}
	f("at first", 2)
	f("once more", 2)
	write(t, control, "oom_kill 4\n")
	f("without a kill on the host", 2)
	write(t, filepath.Join(root, "proc/vmstat"), "nr_free_pages 1\noom_kill 4\n")
	f("after it", 4)
	write(t, control, "oom_kill 5\n")
	f("when the cgroup's count is late", 5)
	write(t, control, "oom_kill 6\n")
	f("later", 5)
	write(t, filepath.Join(root, "proc/vmstat"), "nr_free_pages 1\n")
	f("where the kernel does not count them", 6)
	write(t, control, "oom_kill 7\n")
	f("where it never does", 7)
}

// Files of block devices are read while the root's names a device.
func TestDevicesThatNobodyCounts(t *testing.T) {
	root, fs, group := lastingTree(t, 5733, limited)
	whole := filepath.Join(root, "sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive")
	file := filepath.Join(root, "sys/fs/cgroup/blkio/docker", limited, filepath.Base(whole))
	f := func(what string, bytes Value) {
		t.Helper()
		fs.host.read()
		// The file of requests still names the devices.
		s := read(t, group)
		if !s.HasIO || len(s.Devices) != 2 || s.Devices[0].Bytes[Read] != bytes || s.Devices[0].Requests[Read] != v(31) {
			t.Errorf("%s: %+v, want %v bytes", what, s.Devices, bytes)
		}
	}
	write(t, file, "254:0 Read 77\nTotal 77\n")
	f("with a device", v(77))
	write(t, whole, "Total 0\n")
	f("without", Value{})
	write(t, whole, "254:0 Read 0\nTotal 0\n")
	f("with one again", v(77))
}
