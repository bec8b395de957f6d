package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseNumaStat(t *testing.T) {
	var s Sample
	parseNumaStat(&s, []byte("total=7 N0=4 N1=3\nfile=4 N0=3 N1=1\nanon=2 N0=2 junk N9\nunevictable=x\nhierarchical_file=9 N0=6 N1=3\n\n"))
	want := []NumaPages{{"file", 0, 3, 6}, {"file", 1, 1, 3}, {"anon", 0, 2, 0}}
	if !reflect.DeepEqual(s.Memory.Numa, want) {
		t.Errorf("pages %+v, want %+v", s.Memory.Numa, want)
	}
}

func TestParseTCP(t *testing.T) {
	got := parseTCP([]byte("  sl  local_address rem_address   st tx rx\n" +
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n" +
		"   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000\n" +
		"   2: 0100007F:1F90 0100007F:9C41 01 00000000:00000000 00:00000000 00000000\n" +
		"   3: 0100007F:1F90 0100007F:9C41 0C 00000000:00000000 00:00000000 00000000\n" +
		"   4: short\n"))
	if want := (TCPStates{0: 2, 9: 1}); got != want {
		t.Errorf("states %v, want %v", got, want)
	}
}

func TestParseUDP(t *testing.T) {
	got := parseUDP([]byte("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when drops\n" +
		"   0: 0100007F:0035 00000000:0000 07 00000010:00000020 00:00000000 5\n" +
		"   1: 0100007F:0035 0100007F:0036 01 00000001:00000000 00:00000000 2\n"))
	if want := (UDPState{Listen: 1, Dropped: 7, ReceiveQueue: 32, TransmitQueue: 17}); got != want {
		t.Errorf("state %+v, want %+v", got, want)
	}
}

func TestAppendTCPExtra(t *testing.T) {
	got := appendTCPExtra(nil, []byte("Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn Bad\nTcp: 200 -1 x\nTcpExt: A B\nTcpExt: 1\n"))
	if want := []Counter{{"RtoMin", 200}, {"MaxConn", -1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("counters %v, want %v", got, want)
	}
}

func TestParseOpenFiles(t *testing.T) {
	f := func(content string, want Value) {
		t.Helper()
		if got := parseOpenFiles([]byte(content)); got != want {
			t.Errorf("parseOpenFiles(%q) = %v, want %v", content, got, want)
		}
	}
	f("Limit  Soft\nMax processes 7 7 processes\nMax open files            1024   4096   files\n", v(1024))
	f("Max open files            unlimited   unlimited   files\n", v(NoLimit))
	f("", Value{})
}

// The times of a process that has ended stay in the sum, also when another has
// its number now.
func TestScheduleKeepsWhatHasEnded(t *testing.T) {
	root := t.TempDir()
	copyTree(t, "testdata/v2-systemd", root)
	procs := filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/cgroup.procs")
	schedstat := func(pid int, run uint64) {
		write(t, filepath.Join(root, fmt.Sprintf("proc/%d/schedstat", pid)), fmt.Sprintf("%d 10 1\n", run))
	}
	fs, err := NewFS(root, Schedule)
	if err != nil {
		t.Fatal(err)
	}
	group, err := fs.Open(2210, limited)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	f := func(list string, run uint64) {
		t.Helper()
		write(t, procs, list)
		if got := read(t, group).Processes.RunTime; got != v(run) {
			t.Errorf("with processes %q: %v, want %d", list, got, run)
		}
	}
	schedstat(2210, 100)
	schedstat(2211, 30)
	f("2210\n2211\n", 130)
	f("2210\n", 130)
	schedstat(2210, 110)
	f("2210\n", 140)
	// Another process with the number of the first.
	schedstat(2210, 5)
	f("2210\n", 145)
	if err := os.Remove(procs); err != nil {
		t.Fatal(err)
	}
}

// Without the right to look into the processes of others their files are not known,
// which is not the same as none.
func TestFilesThatMayNotBeSeen(t *testing.T) {
	root := t.TempDir()
	copyTree(t, "testdata/v2-systemd", root)
	write(t, filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/cgroup.procs"), "2210\n2211\n")
	for _, pid := range []string{"2210", "2211"} {
		folder := filepath.Join(root, "proc", pid, "fd")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("socket:[7]", filepath.Join(folder, "3")); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := NewFS(root, Members)
	if err != nil {
		t.Fatal(err)
	}
	group, err := fs.Open(2210, limited)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	if got := read(t, group).Processes; got.Descriptors != v(2) || got.Sockets != v(2) {
		t.Errorf("%v files, %v sockets, want 2", got.Descriptors, got.Sockets)
	}
	withoutCapabilities(t)
	f := func(mode os.FileMode, files Value) {
		t.Helper()
		if err := os.Chmod(filepath.Join(root, "proc/2211/fd"), mode); err != nil {
			t.Fatal(err)
		}
		if got := read(t, group).Processes; got.Descriptors != files || got.Sockets != (Value{}) {
			t.Errorf("%v files, %v sockets, want %v and none", got.Descriptors, got.Sockets, files)
		}
	}
	f(0o400, v(2))
	f(0, Value{})
	// So that the folder can be removed.
	if err := os.Chmod(filepath.Join(root, "proc/2211/fd"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// withoutCapabilities takes all capabilities from the rest of a test, which has to
// stay in its goroutine.
func withoutCapabilities(t *testing.T) {
	t.Helper()
	// The thread ends with the goroutine, since it stays locked.
	runtime.LockOSThread()
	header, none := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add([]byte("h\n   0: 0100007F:0035 00000000:0000 07 00000010:00000020 00:00000000 5\n"))
	f.Add([]byte("Tcp: A\nTcp: -1\n"))
	f.Add([]byte("hierarchical_file=9 N0=6\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		states, sockets := parseTCP(b), uint64(0)
		for _, n := range states {
			sockets += n
		}
		if sockets > uint64(len(b)) {
			t.Errorf("%d sockets in %d bytes", sockets, len(b))
		}
		parseUDP(b)
		if counters := appendTCPExtra(nil, b); len(counters) > len(b) {
			t.Errorf("%d counters in %d bytes", len(counters), len(b))
		}
		var s Sample
		parseNumaStat(&s, b)
		for _, pages := range s.Memory.Numa {
			if pages.Kind == "" {
				t.Error("pages of no kind")
			}
		}
		parseOpenFiles(b)
		parseReferenced(b)
		parseSchedule(b)
	})
}
