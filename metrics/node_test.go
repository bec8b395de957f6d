package metrics

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tallyman/metrics/cgroup"
)

func TestHost(t *testing.T) {
	root := t.TempDir()
	copyTree(t, fixture("v1-cgroupfs"), root)
	for path, content := range map[string]string{
		"proc/stat":            "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 100 2 350 4000 5 6 7 8 0 0\nbtime 1795222228\n",
		"proc/loadavg":         "0.50 1.25 2.00 1/100 4242\n",
		"proc/meminfo":         "MemTotal:  1024 kB\nMemAvailable: 512 kB\nHugePages_Total: 3\n",
		"proc/pressure/cpu":    "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
		"proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n",
		"proc/diskstats": " 254 0 vda 100 10 2048 5000 200 20 4096 7000 1 9000 12000 0 0 0 0\n 7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n" +
			" 254 1 vda1 1 1 1 1 1 1 1 1 1 1 1\n 259 0 nvme0n1 1 1 1 1 1 1 1 1 1 1 1\n 259 1 nvme0n1p1 1 1 1 1 1 1 1 1 1 1 1\n 252 0 dm-0 1 1 1 1 1 1 1 1 1 1 1\n",
		"proc/1/mountinfo":       "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n28 27 0:99 / /nfs rw - nfs server:/ rw\n",
		"proc/1/net/dev":         "Inter-|\n face |\n  eth0: 10 1 2 3 0 0 0 0 20 4 5 6 0 0 0 0\n",
		"proc/sys/kernel/ignore": "",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := string(exposition(NewHost(HostOptions{Root: root})))
	for _, want := range []string{
		`node_cpu_seconds_total{cpu="0",mode="system"} 3.5`, `node_cpu_seconds_total{cpu="0",mode="idle"} 40`,
		`node_load1 0.5`, `node_load15 2`, `node_memory_MemTotal_bytes 1.048576e+06`, `node_memory_MemAvailable_bytes 524288`,
		`node_pressure_cpu_waiting_seconds_total 2.5`, `node_pressure_memory_stalled_seconds_total 1`,
		`node_disk_read_bytes_total{device="vda"} 1.048576e+06`, `node_disk_read_bytes_total{device="nvme0n1"} 512`, `node_disk_read_bytes_total{device="dm-0"} 512`, `node_disk_io_time_seconds_total{device="vda"} 9`,
		`node_network_transmit_drop_total{device="eth0"} 6`, `node_boot_time_seconds 1.795222228e+09`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	for _, none := range []string{"loop0", "vda1", "nvme0n1p1", "nfs", "HugePages", "cpu_stalled"} {
		if strings.Contains(text, none) {
			t.Errorf("%s is there", none)
		}
	}
	if !strings.Contains(text, `node_filesystem_size_bytes{device="/dev/vda",fstype="ext4",mountpoint="/"}`) {
		t.Error("the root's size is missing")
	}
	parse(t, []byte(text))
}

func TestIsPart(t *testing.T) {
	for name, want := range map[string]bool{
		"sda": false, "sda1": true, "hdb12": true, "vdz3": true, "xvdf1": true, "sdaa": false, "nvme0n1": false, "nvme0n1p2": true, "nvme0c0n1": false,
		"mmcblk0": false, "md0": false, "dm-1": false, "sr0": false, "ram0": true, "zram0": true, "loop17": true, "fd0": true, "": false, "7": false,
	} {
		if got := isPart(name); got != want {
			t.Errorf("isPart(%q) = %v", name, got)
		}
	}
}

func TestParseMounts(t *testing.T) {
	got := parseMounts([]byte("27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda ro,errors=remount-ro\n" +
		"28 27 254:0 /var /var rw - ext4 /dev/vda rw\n" +
		"29 27 0:24 / /dev/shm\\040x ro - tmpfs shm rw\n" +
		"30 27 0:90 / /merged rw - overlay overlay rw\n31 27 x / /a rw - ext4 /dev/b rw\nshort - x\n"))
	want := []mount{
		{device: cgroup.Device{Major: 254}, point: "/", source: "/dev/vda", fstype: "ext4", readOnly: true},
		{device: cgroup.Device{Minor: 24}, point: "/dev/shm x", source: "shm", fstype: "tmpfs"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("mounts %+v, want %+v", got, want)
	}
	if m := mountOf("/dev/shm x/a", want); m != &want[1] {
		t.Errorf("the mount of a path is %+v", m)
	}
	if m := mountOf("/dev/shm xy", want); m != &want[0] {
		t.Errorf("the mount of a path is %+v", m)
	}
}

func TestUpperDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mountinfo")
	f := func(options, want string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("9 1 0:4 / /proc rw - proc proc rw\n10 9 0:50 / / rw,relatime - overlay overlay rw,"+options+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := upperDir(path); got != want {
			t.Errorf("with %q: %q, want %q", options, got, want)
		}
	}
	f("lowerdir=/l/a:/l/b,upperdir=/var/lib/docker/overlay2/x/diff,workdir=/w", "/var/lib/docker/overlay2/x/diff")
	f("lowerdir=l/a,upperdir=x/diff", "")
	f("lowerdir=/l", "")
	if got := upperDir(path + "x"); got != "" {
		t.Errorf("without a file: %q", got)
	}
}

func FuzzParseHost(f *testing.F) {
	f.Add([]byte("27 1 254:0 / / ro,relatime - ext4 /dev/vda rw\n"))
	f.Add([]byte(" 254 0 vda 100 10 2048 5000 200 20 4096 7000 1 9000 12000\n"))
	f.Add([]byte("7 (a) b) S 1 1\nIpExt: InOctets OutOctets\nIpExt: 1 2\nbtime 7\n"))
	f.Add([]byte("some total=7\ncpu0 1 2 3\nMemTotal: 5 kB\n eth0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range parseMounts(b) {
			if m.source == "" || m.point == "" {
				t.Errorf("mount %+v", m)
			}
		}
		w := writer{block: new(block)}
		table := newNodeTable()
		table.writeDisks(&w, parseDisks(nil, b))
		table.writeCPU(&w, b)
		table.writeMemory(&w, b)
		table.writeLoad(&w, b)
		table.writeNetwork(&w, b)
		table.pressure[1].write(&w, b)
		for line := range strings.Lines(string(w.buf)) {
			if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "node_") {
				t.Errorf("a line is torn: %q", line)
			}
		}
		_, _ = parseRanges(string(b))
		bootTime(b)
		_, _ = parseStat(b)
		_, _, _ = parseOctets(b)
		if n := countEntries(b); n > len(b)/16 {
			t.Errorf("%d entries in %d bytes", n, len(b))
		}
		cacheSize(string(b))
	})
}
