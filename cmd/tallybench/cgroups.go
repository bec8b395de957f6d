package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// cgroupFiles are files of a container's cgroup of version 2, as the kernel
// writes them.
var cgroupFiles = map[string]string{
	"cpu.stat":        "usage_usec 387683\nuser_usec 350000\nsystem_usec 37683\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
	"cpu.max":         "max 100000\n",
	"cpu.weight":      "100\n",
	"memory.current":  "22325440\n",
	"memory.stat":     "anon 18374656\nfile 2801664\nkernel 458752\ninactive_file 1900544\nactive_file 901120\npgfault 6708\npgmajfault 38\n",
	"memory.max":      "536870912\n",
	"memory.swap.max": "536870912\n",
	"memory.low":      "0\n",
	"memory.min":      "0\n",
	"pids.current":    "5\n",
	"io.stat":         "254:0 rbytes=1388544 wbytes=8192 rios=31 wios=2 dbytes=0 dios=0\n",
}

const (
	hostMounts  = "32 23 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:8 - cgroup2 cgroup2 rw\n"
	hostNetwork = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
  eth0:  912381    6011    0    0    0     0          0         0   441203    4203    0    0    0     0       0          0
`
)

// makeHost makes the root folder of a host on which these containers run and
// rest, each with a process of the number that pidOf tells. Its files are plain
// ones, which are read faster than those that the kernel makes up.
func makeHost(root string, ids []string) error {
	if err := makeFiles(filepath.Join(root, "proc/1"), map[string]string{"mountinfo": hostMounts}); err != nil {
		return err
	}
	for i, id := range ids {
		group := "/system.slice/docker-" + id + ".scope"
		process := filepath.Join(root, "proc", strconv.Itoa(pidOf(i)))
		if err := makeFiles(process, map[string]string{"cgroup": "0::" + group + "\n", "net/dev": hostNetwork}); err != nil {
			return err
		}
		if err := makeFiles(filepath.Join(root, "sys/fs/cgroup", group), cgroupFiles); err != nil {
			return err
		}
	}
	return nil
}

// pidOf returns the process id of a host's container.
func pidOf(index int) int { return 1_000 + index }

func makeFiles(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making a host: %w", err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("making a host: %w", err)
		}
	}
	return nil
}
