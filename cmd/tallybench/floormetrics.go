package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// metricsFiles returns the files that an agent reads in every scrape of a container
// without limits, by the hierarchy that they lie in: that of a controller of version
// 1, or version 2's under the empty name.
func metricsFiles(mounts map[string]string) map[string][]string {
	pressure := []string{"cpu.pressure", "memory.pressure", "io.pressure"}
	if mounts["memory"] == "" {
		return map[string][]string{"": append(pressure, "cpu.stat", "memory.current", "memory.peak", "memory.swap.current",
			"memory.stat", "memory.events", "io.stat")}
	}
	return map[string][]string{
		"cpuacct": {"cpuacct.usage_percpu", "cpuacct.stat"},
		"memory":  {"memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.kmem.usage_in_bytes", "memory.stat"},
		"":        pressure,
	}
}

// floorOfMetrics is the least that scraping the fleet can cost: what the kernel takes
// to tell the numbers, with all files open and nothing done with what they say.
func (f *fleet) floorOfMetrics(ctx context.Context) (v values, err error) {
	files, err := f.openMetricsFiles(ctx)
	defer func() {
		for _, fd := range files {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	if err != nil {
		return nil, err
	}
	// The thread's account has nothing then of what else this program does.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var (
		cpu    time.Duration
		s      scraper
		buffer = make([]byte, 64<<10)
	)
	for range scrapesPerRun {
		began, before := time.Now(), threadTime()
		s.size = 0
		for _, fd := range files {
			n, err := unix.Pread(fd, buffer, 0)
			if err != nil {
				return nil, fmt.Errorf("reading a container's file: %w", err)
			}
			s.size += int64(n)
		}
		cpu += threadTime() - before
		s.took = append(s.took, float64(time.Since(began))/float64(time.Millisecond))
		pause(ctx, betweenScrapes)
	}
	v = values{cpuPerScrape.key: float64(cpu) / float64(time.Millisecond) / scrapesPerRun}
	return v, errors.Join(s.into(v), ctx.Err())
}

// threadTime returns the CPU time of this thread.
func threadTime() time.Duration {
	var now unix.Timespec
	// The clock is there.
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now)
	return time.Duration(now.Nano())
}

// openMetricsFiles opens those of every container that the kernel has.
func (f *fleet) openMetricsFiles(ctx context.Context) ([]int, error) {
	pids, err := docker(ctx, append([]string{"inspect", "--format", "{{.State.Pid}}"}, f.names...)...)
	if err != nil {
		return nil, err
	}
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	names := metricsFiles(mounts)
	var files []int
	for _, pid := range strings.Fields(pids) {
		paths := []string{filepath.Join("/proc", pid, "net/dev")}
		membership, err := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
		if err != nil {
			return files, fmt.Errorf("finding a container's cgroups: %w", err)
		}
		for line := range strings.Lines(string(membership)) {
			// The fields are a number, controllers and the path.
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(fields) < 3 {
				continue
			}
			for controller := range strings.SplitSeq(fields[1], ",") {
				for _, name := range names[controller] {
					paths = append(paths, filepath.Join(mounts[controller], fields[2], name))
				}
			}
		}
		for _, path := range paths {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			if err != nil {
				return files, fmt.Errorf("opening %q: %w", path, err)
			}
			// A kernel may have a file and not tell what belongs there, as pressure.
			if _, err := unix.Pread(fd, make([]byte, 1), 0); errors.Is(err, unix.EOPNOTSUPP) {
				_ = unix.Close(fd) // It was only opened.
				continue
			}
			files = append(files, fd)
		}
	}
	return files, nil
}

// cgroupMounts returns where the hierarchies of cgroups are mounted, by controller,
// version 2's under the empty name.
func cgroupMounts() (map[string]string, error) {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("finding the cgroups: %w", err)
	}
	mounts := make(map[string]string)
	for line := range bytes.Lines(content) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) < 4:
		case fields[2] == "cgroup2":
			mounts[""] = fields[1]
		case fields[2] == "cgroup":
			for option := range strings.SplitSeq(fields[3], ",") {
				mounts[option] = fields[1]
			}
		}
	}
	return mounts, nil
}
