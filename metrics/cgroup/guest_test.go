//go:build guest

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// This file makes the test's program the first process of a machine of its own,
// whose kernel has cgroups of version 2 and nothing else: see .ci/test-cgroup2.

// hogged is how much memory the hog holds, written how much the writer writes.
const (
	hogged  = 64 << 20
	written = 8 << 20
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "load-") {
		load(os.Args[1])
	}
	if os.Getpid() != 1 {
		os.Exit(m.Run())
	}
	code := 1
	if err := startMachine(); err != nil {
		fmt.Println("starting the machine:", err)
	} else {
		code = m.Run()
	}
	fmt.Println("guest: exit", code)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // There is nobody to tell.
	select {}
}

// startMachine mounts what the kernel shows and makes a disk.
func startMachine() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"cgroup2", "/sys/fs/cgroup"}} {
		if err := os.MkdirAll(m[1], 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mounting %q: %w", m[1], err)
		}
	}
	module, err := os.Open("/brd.ko")
	if err != nil {
		return err
	}
	defer module.Close()
	if err := unix.FinitModule(int(module.Fd()), "rd_nr=1 rd_size=16384", 0); err != nil {
		return fmt.Errorf("loading %q: %w", module.Name(), err)
	}
	return nil
}

// load is what the processes in the cgroups do.
func load(what string) {
	switch what {
	case "load-burn":
		for n := 0; ; n++ {
			_ = n * n
		}
	case "load-hog":
		held := make([]byte, hogged)
		for i := 0; i < len(held); i += 4096 {
			held[i] = 1
		}
		for {
			time.Sleep(time.Second)
			held[time.Now().Nanosecond()%len(held)]++
		}
	case "load-write":
		memory, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		disk, err := unix.Open("/dev/ram0", unix.O_RDWR|unix.O_DIRECT, 0)
		if err != nil {
			panic(err)
		}
		for range written / len(memory) {
			if _, err := unix.Write(disk, memory); err != nil {
				panic(err)
			}
		}
		if _, err := unix.Pread(disk, memory[:4096], 0); err != nil {
			panic(err)
		}
		select {}
	}
}

// guest is a cgroup with a process in it.
type guest struct {
	id, path string
	command  *exec.Cmd
	group    *Cgroup
	fs       *FS
}

// folder returns the cgroup's folder.
func (g *guest) folder() string { return filepath.Join("/sys/fs/cgroup", g.path) }

// read takes a sample.
func (g *guest) read(t *testing.T) Sample {
	t.Helper()
	g.fs.Notice()
	return read(t, g.group)
}

// set writes a file of the cgroup.
func (g *guest) set(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(g.folder(), name), []byte(content), 0); err != nil {
		t.Fatal(err)
	}
}

// startGuest makes a cgroup as an engine would, with limits as file, content, and
// starts a process in it.
func startGuest(t *testing.T, fs *FS, number int, path, what string, limits ...string) *guest {
	t.Helper()
	g := &guest{id: fmt.Sprintf("%064x", number), fs: fs}
	g.path = strings.ReplaceAll(path, "ID", g.id)
	above := "/sys/fs/cgroup"
	for _, part := range strings.Split(strings.Trim(g.path, "/"), "/") {
		if err := os.WriteFile(filepath.Join(above, "cgroup.subtree_control"), []byte("+cpu +memory +io +pids"), 0); err != nil {
			t.Fatal(err)
		}
		above = filepath.Join(above, part)
		if err := os.Mkdir(above, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(limits); i += 2 {
		g.set(t, limits[i], limits[i+1])
	}
	folder, err := os.Open(g.folder())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	g.command = exec.Command("/proc/self/exe", what)
	g.command.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	if err := g.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.end(t) })
	if g.group, err = fs.Open(g.command.Process.Pid, g.id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.group.Close)
	if g.group.Path() != g.path {
		t.Errorf("the path is %q, want %q", g.group.Path(), g.path)
	}
	return g
}

// end ends the process and removes the cgroup. It may be called more than once.
func (g *guest) end(t *testing.T) {
	t.Helper()
	_ = g.command.Process.Kill() // It may have ended.
	_ = g.command.Wait()
	until(t, "the cgroup's end", func() bool {
		err := os.Remove(g.folder())
		return err == nil || errors.Is(err, os.ErrNotExist)
	})
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestGuest compares what is read with what the processes are known to do.
func TestGuest(t *testing.T) {
	fs, err := NewFS("/", usual)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if fs.Version() != 2 {
		t.Fatalf("the version is %d", fs.Version())
	}

	// The burner may use a fifth of a processor.
	burner := startGuest(t, fs, 1, "/docker/ID", "load-burn", "cpu.max", "20000 100000", "cpu.weight", "50", "pids.max", "40")
	until(t, "the quota to run out", func() bool { return burner.read(t).CPU.Throttled.N >= 5 })
	at := time.Now()
	first := burner.read(t)
	until(t, "the burner to go on", func() bool { return burner.read(t).CPU.Usage.N > first.CPU.Usage.N+1e8 })
	s := burner.read(t)
	used, elapsed := s.CPU.Usage.N-first.CPU.Usage.N, time.Since(at).Nanoseconds()
	// A period's quota may be used before the first reading or after the last, and
	// a tick late.
	if most := elapsed/5 + 2*30e6; int64(used) > most {
		t.Errorf("the burner used %d ns in %d, more than %d", used, elapsed, most)
	}
	if sum := s.CPU.User.N + s.CPU.System.N; sum+1000 < s.CPU.Usage.N || sum > s.CPU.Usage.N+1000 {
		t.Errorf("user %d and system %d are not the usage %d", s.CPU.User.N, s.CPU.System.N, s.CPU.Usage.N)
	}
	if s.CPU.Quota != v(20000) || s.CPU.Period != v(100000) || s.CPU.Shares != v(2+49*262142/9999) || s.Pids.Max != v(40) {
		t.Errorf("the limits are %+v %+v", s.CPU, s.Pids)
	}
	if s.CPU.Periods.N < s.CPU.Throttled.N || s.CPU.ThrottledTime.N == 0 || s.Pids.Current.N == 0 {
		t.Errorf("the burner is %+v %+v", s.CPU, s.Pids)
	}
	if !s.Pressure.CPU.Some.OK || !s.Pressure.Memory.Full.OK || !s.Pressure.IO.Full.OK {
		t.Errorf("the pressure is %+v", s.Pressure)
	}
	burner.set(t, "cpu.max", "max 50000")
	if s = burner.read(t); s.CPU.Quota != v(NoLimit) || s.CPU.Period != v(50000) {
		t.Errorf("a limit that was changed is %+v", s.CPU)
	}

	// The hog holds 64 MiB, and a Go program's own few.
	hog := startGuest(t, fs, 2, "/system.slice/docker-ID.scope", "load-hog", "memory.max", "134217728", "memory.low", "33554432")
	until(t, "the hog to hold its memory", func() bool { return hog.read(t).Memory.RSS.N >= hogged })
	m := hog.read(t).Memory
	const most = hogged + 16<<20
	if m.RSS.N > most || m.Usage.N < hogged || m.Usage.N > most || m.WorkingSet.N < hogged || m.WorkingSet.N > m.Usage.N || m.MaxUsage.OK && m.MaxUsage.N < m.Usage.N-(1<<20) {
		t.Errorf("the hog's memory is %+v", m)
	}
	if m.Limit != v(128<<20) || m.Reservation != v(32<<20) || m.OOMKills != v(0) || m.PageFaults.N < hogged/4096/2 {
		t.Errorf("the hog's memory is %+v", m)
	}
	hog.end(t)
	if err := hog.group.Read(new(Sample), new(Buffer)); !errors.Is(err, ErrGone) {
		t.Errorf("reading a cgroup that was removed: %v", err)
	}

	// A victim may have half of that.
	victim := startGuest(t, fs, 3, "/batch.slice/docker-ID.scope", "load-hog", "memory.max", fmt.Sprint(hogged/2))
	until(t, "the kill", func() bool { return victim.read(t).Memory.OOMKills.N > 0 })
	if m := victim.read(t).Memory; m.OOMKills != v(1) || m.EventsMax.N == 0 || m.Failures != m.EventsMax {
		t.Errorf("the victim's memory is %+v", m)
	}

	// The writer puts 8 MiB on a disk, past the page cache, and reads a page.
	writer := startGuest(t, fs, 4, "/docker/ID", "load-write")
	until(t, "the page to be read", func() bool {
		s := writer.read(t)
		return len(s.Devices) == 1 && s.Devices[0].Bytes[Read].N > 0
	})
	device := writer.read(t).Devices[0]
	if device.Major != 1 || device.Minor != 0 || device.Bytes[Write] != v(written) || device.Bytes[Read] != v(4096) ||
		device.Requests[Write].N < written>>20 || device.Requests[Read] != v(1) {
		t.Errorf("the writer's disk is %+v", device)
	}

	// The whole machine has used no less than the burner.
	root, err := fs.OpenRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s = burner.read(t)
	if whole := read(t, root); root.Path() != "/" || whole.CPU.Usage.N < s.CPU.Usage.N || whole.Memory.Usage.N < s.Memory.RSS.N {
		t.Errorf("the root is %+v", whole)
	}
}
