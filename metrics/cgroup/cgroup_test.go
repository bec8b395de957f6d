package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const (
	limited   = "7f2aaafba93cf614f0acb433cf8163dcc294cbc8d7ef21cd9519cd87940f35d4"
	unlimited = "b99c0f3a51d26e47c8b90a1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f7"
	// pageLimit is how version 1 writes "no limit".
	pageLimit = 9223372036854771712
)

// usual are the parts that are read by default.
const usual = Processor | PerCPU | MemoryUse | OOM | IO | Stalls | Network | Tasks

// open opens a container of a fixture for the time of the test.
func open(t testing.TB, root string, pid int, id string) *Cgroup {
	t.Helper()
	return openParts(t, root, pid, id, usual)
}

// openParts is open for some of what can be read.
func openParts(t testing.TB, root string, pid int, id string, parts Parts) *Cgroup {
	t.Helper()
	fs, err := NewFS(root, parts)
	if err != nil {
		t.Fatal(err)
	}
	group, err := fs.Open(pid, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		group.Close()
		fs.Close()
	})
	return group
}

// read reads a cgroup and returns the sample without its buffer.
func read(t testing.TB, group *Cgroup) Sample {
	t.Helper()
	var s Sample
	var buffer Buffer
	if err := group.Read(&s, &buffer); err != nil {
		t.Fatal(err)
	}
	return s
}

// v returns a value that is there.
func v(n uint64) Value { return Value{n, true} }

// memoryOfFixtures is what all fixtures' containers have in common.
func memoryOfFixtures() Memory {
	return Memory{
		Usage: v(22325440), WorkingSet: v(22325440 - 1900544), MaxUsage: v(31591680),
		RSS: v(18374656), Cache: v(2801664), MappedFile: v(2523136), Swap: v(8192),
		ActiveFile: v(901120), InactiveFile: v(1900544), FileDirty: v(12288), FileWriteback: v(4096),
		Kernel: v(458752), Failures: v(5), OOMKills: v(2),
		// The counters of version 1 that leave out the cgroups below.
		PageFaults: v(3354), MajorFaults: v(19), RefaultFile: v(3), RefaultAnon: v(2),
		Limit: v(pageLimit), SwapLimit: v(pageLimit), Reservation: v(pageLimit),
	}
}

func interfacesOfFixtures() []Interface {
	return []Interface{
		{"eth0", Traffic{1048576, 1024, 5, 6}, Traffic{524288, 512, 7, 8}},
		{"eth1", Traffic{4096, 16, 0, 0}, Traffic{}},
	}
}

func devicesOfV1() []DeviceIO {
	return []DeviceIO{
		{Device: Device{254, 0}, Bytes: [Operations]Value{v(1388544), v(8192), v(1396736), v(0), v(0), v(1396736)}, Requests: [Operations]Value{v(31), v(2), v(33), v(0), v(0), v(33)}},
		{Device: Device{253, 7}, Bytes: [Operations]Value{v(512), v(0), v(512), v(0), v(0), v(512)}, Requests: [Operations]Value{v(1), v(0), v(1), v(0), v(0), v(1)}},
	}
}

func TestReadV1Cgroupfs(t *testing.T) {
	group := open(t, "testdata/v1-cgroupfs", 5733, limited)
	if want := "/docker/" + limited; group.Path() != want {
		t.Errorf("path = %q, want %q", group.Path(), want)
	}
	memory := memoryOfFixtures()
	memory.Limit, memory.SwapLimit, memory.Reservation = v(134217728), v(268435456), v(67108864)
	stall := Stall{Some: v(9187293), Full: v(1200)}
	want := Sample{
		CPU: CPU{
			Usage: v(387683630), User: v(350e6), System: v(30e6), PerCPU: []uint64{370971316, 16712314, 0, 0},
			Periods: v(11), Throttled: v(7), ThrottledTime: v(300832493), Bursts: v(1), BurstTime: v(250e6),
			Quota: v(50000), Period: v(100000), Shares: v(512),
		},
		Memory: memory,
		Pids:   Pids{Current: v(5), Max: v(100)},
		// The kernel accounts pressure beside version 1 on a hybrid host.
		Pressure: Pressure{stall, stall, stall},
		Devices:  devicesOfV1(), HasIO: true,
		Interfaces: interfacesOfFixtures(),
	}
	if got := read(t, group); !reflect.DeepEqual(got, want) {
		t.Errorf("sample is\n%+v, want\n%+v", got, want)
	}
}

func TestReadV1Unlimited(t *testing.T) {
	got := read(t, open(t, "testdata/v1-cgroupfs", 5801, unlimited))
	if want := v(NoLimit); got.CPU.Quota != want || got.Pids.Max != want {
		t.Errorf("quota %v, pids %v, want %v", got.CPU.Quota, got.Pids.Max, want)
	}
	if got.Memory.Limit != v(pageLimit) {
		t.Errorf("memory limit %v", got.Memory.Limit)
	}
	if len(got.Devices) > 0 || !got.HasIO || len(got.Interfaces) > 0 || got.Pressure != (Pressure{}) {
		t.Errorf("a container without I/O, network and pressure has %+v", got)
	}
}

func TestReadV1Systemd(t *testing.T) {
	group := open(t, "testdata/v1-systemd", 2210, limited)
	if want := "/system.slice/docker-" + limited + ".scope"; group.Path() != want {
		t.Errorf("path = %q, want %q", group.Path(), want)
	}
	memory := memoryOfFixtures()
	// An older kernel, and one without swap accounting.
	memory.SwapLimit, memory.OOMKills = Value{}, Value{}
	want := Sample{
		CPU: CPU{
			Usage: v(387683630), User: v(350e6), System: v(30e6), PerCPU: []uint64{370971316, 16712314, 0, 0},
			Periods: v(11), Throttled: v(7), ThrottledTime: v(300832493),
			Quota: v(25000), Period: v(100000), Shares: v(1024),
		},
		Memory:  memory,
		Pids:    Pids{Current: v(5), Max: v(NoLimit)},
		Devices: devicesOfV1(), HasIO: true,
		Interfaces: interfacesOfFixtures(),
	}
	if got := read(t, group); !reflect.DeepEqual(got, want) {
		t.Errorf("sample is\n%+v, want\n%+v", got, want)
	}
}

func TestReadV2(t *testing.T) {
	group := open(t, "testdata/v2-systemd", 2210, limited)
	if want := "/system.slice/docker-" + limited + ".scope"; group.Path() != want {
		t.Errorf("path = %q, want %q", group.Path(), want)
	}
	memory := memoryOfFixtures()
	memory.Limit, memory.SwapLimit, memory.Reservation = v(134217728), v(134217728), v(67108864)
	memory.PageFaults, memory.MajorFaults, memory.RefaultFile, memory.RefaultAnon = v(6708), v(38), v(6), v(4)
	memory.Scanned, memory.Stolen, memory.EventsHigh, memory.EventsMax = v(900), v(850), v(3), v(5)
	stall := Stall{Some: v(9187293), Full: v(3939684)}
	want := Sample{
		CPU: CPU{
			Usage: v(387683000), User: v(350e6), System: v(37683000),
			Periods: v(11), Throttled: v(7), ThrottledTime: v(300832000), Bursts: v(1), BurstTime: v(250e6),
			Quota: v(50000), Period: v(100000), Shares: v(500),
		},
		Memory:   memory,
		Pids:     Pids{Current: v(5), Max: v(100)},
		Pressure: Pressure{stall, stall, stall},
		Devices: []DeviceIO{
			{Device: Device{253, 7}, Bytes: [Operations]Value{v(512), v(0)}, Requests: [Operations]Value{v(1), v(0)}},
			{Device: Device{254, 0}, Bytes: [Operations]Value{v(1388544), v(8192)}, Requests: [Operations]Value{v(31), v(2)}},
		},
		HasIO:      true,
		Interfaces: interfacesOfFixtures(),
	}
	if got := read(t, group); !reflect.DeepEqual(got, want) {
		t.Errorf("sample is\n%+v, want\n%+v", got, want)
	}
}

func TestReadV2Unlimited(t *testing.T) {
	group := open(t, "testdata/v2-systemd", 2344, unlimited)
	if want := "/app.slice/docker-" + unlimited + ".scope"; group.Path() != want {
		t.Errorf("path = %q, want %q", group.Path(), want)
	}
	got := read(t, group)
	for _, limit := range []Value{got.CPU.Quota, got.Memory.Limit, got.Memory.SwapLimit, got.Pids.Max} {
		if limit != v(NoLimit) {
			t.Errorf("a limit is %v, want none", limit)
		}
	}
	// This kernel has no memory.peak.
	if got.Memory.MaxUsage.OK || got.CPU.Shares != v(2597) || len(got.Devices) > 0 {
		t.Errorf("sample is %+v", got)
	}
}

func TestReadRoot(t *testing.T) {
	f := func(fixture string, version int, usage Value, hasPids bool) {
		t.Helper()
		fs, err := NewFS(filepath.Join("testdata", fixture), usual)
		if err != nil {
			t.Fatal(err)
		}
		if fs.Version() != version {
			t.Errorf("%s: version %d, want %d", fixture, fs.Version(), version)
		}
		group, err := fs.OpenRoot()
		if err != nil {
			t.Fatal(err)
		}
		defer group.Close()
		got := read(t, group)
		if group.Path() != "/" || got.Memory.Usage != usage || got.Pids.Current.OK != hasPids || len(got.Interfaces) != 2 {
			t.Errorf("%s: path %q, sample %+v", fixture, group.Path(), got)
		}
	}
	f("v1-cgroupfs", 1, v(22325440), false)
	f("v1-systemd", 1, v(22325440), false)
	f("v2-systemd", 2, v(352043008+2801664), false)
}

func TestOpenChecksTheProcess(t *testing.T) {
	fs, err := NewFS("testdata/v1-cgroupfs", usual)
	if err != nil {
		t.Fatal(err)
	}
	// No such process.
	if _, err := fs.Open(99, limited); !errors.Is(err, ErrGone) {
		t.Errorf("opening a container whose process has ended: %v", err)
	}
	// The process belongs to another container.
	if group, err := fs.Open(5801, limited); err == nil || errors.Is(err, ErrGone) || !strings.Contains(err.Error(), unlimited) {
		t.Errorf("opening by another container's process gave %v, %v", group, err)
	}
}

func TestNewFSWithoutCgroups(t *testing.T) {
	root := t.TempDir()
	if _, err := NewFS(root, usual); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a mountinfo: %v", err)
	}
	write(t, filepath.Join(root, "proc/1/mountinfo"), "23 1 254:0 / / rw - ext4 /dev/vda rw\n")
	if _, err := NewFS(root, usual); err == nil {
		t.Error("a host without cgroups was accepted")
	}
}

func TestDevices(t *testing.T) {
	fs, err := NewFS("testdata/v2-systemd", usual)
	if err != nil {
		t.Fatal(err)
	}
	got, err := fs.Devices()
	want := map[Device]string{{254, 0}: "vda", {254, 16}: "vdb", {253, 0}: "dm-0"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Devices() = %v, %v, want %v", got, err, want)
	}
}

// A file that is longer than the buffer is read whole.
func TestReadGrowsBuffer(t *testing.T) {
	root := t.TempDir()
	copyTree(t, "testdata/v2-systemd", root)
	var content strings.Builder
	for minor := range 1000 {
		fmt.Fprintf(&content, "8:%d rbytes=%d wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n", minor, minor)
	}
	write(t, filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/io.stat"), content.String())
	got := read(t, open(t, root, 2210, limited))
	if n := len(got.Devices); n != 1000 || got.Devices[999].Bytes[Read] != v(999) {
		t.Errorf("%d devices were read, want 1000", n)
	}
}

// TestBrief: the few files tell the same sums as all of them, and processor time
// can be had alone.
func TestBrief(t *testing.T) {
	for root, pid := range map[string]int{"v1-cgroupfs": 5733, "v1-systemd": 2210, "v2-systemd": 2210} {
		t.Run(root, func(t *testing.T) {
			root := filepath.Join("testdata", root)
			of := func(parts Parts) *Cgroup { return openParts(t, root, pid, limited, parts) }
			brief := of(Brief | Network)
			all, got := read(t, of(Processor|MemoryUse|IO|Network|Tasks)), read(t, brief)
			bytesOf := func(s *Sample) (sum [2]uint64) {
				for i := range s.Devices {
					sum[0] += s.Devices[i].Bytes[Read].N
					sum[1] += s.Devices[i].Bytes[Write].N
				}
				return sum
			}
			if got.CPU.Usage != all.CPU.Usage || got.Memory.WorkingSet != all.Memory.WorkingSet || got.Memory.Limit != all.Memory.Limit ||
				got.Pids.Current != all.Pids.Current || bytesOf(&got) != bytesOf(&all) || !reflect.DeepEqual(got.Interfaces, all.Interfaces) {
				t.Errorf("in brief it is %+v, in full %+v", got, all)
			}
			if !got.CPU.Usage.OK || !got.Memory.WorkingSet.OK || !got.Pids.Current.OK || bytesOf(&got) == [2]uint64{} {
				t.Errorf("something is missing: %+v", got)
			}
			var s Sample
			var buffer Buffer
			if err := brief.ReadProcessor(&s, &buffer); err != nil || s.CPU.Usage != all.CPU.Usage || s.Memory.Usage.OK {
				t.Errorf("processor time alone is %+v, error %v", s, err)
			}
			if n := testing.AllocsPerRun(10, func() { _ = brief.ReadProcessor(&s, &buffer) }); n > 0 {
				t.Errorf("reading it again takes %v allocations", n)
			}
		})
	}
}
