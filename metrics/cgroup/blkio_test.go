package cgroup

import (
	"path/filepath"
	"reflect"
	"testing"
)

// A disk with the scheduler bfq or cfq tells more of a cgroup. What the throttle
// files count too counts once.
func TestReadSchedulerFiles(t *testing.T) {
	f := func(prefix string) {
		t.Helper()
		root := t.TempDir()
		copyTree(t, "testdata/v1-cgroupfs", root)
		folder := filepath.Join(root, "sys/fs/cgroup/blkio/docker", limited) + "/" + prefix
		write(t, folder+"io_service_bytes_recursive", "254:0 Read 1388544\n254:0 Write 9000\n8:16 Read 4096\nTotal 1\n")
		write(t, folder+"io_serviced_recursive", "254:0 Read 20\n254:0 Write 3\n8:16 Read 1\n")
		write(t, folder+"io_merged_recursive", "8:16 Read 7\n8:16 Write 8\n")
		write(t, folder+"io_service_time_recursive", "8:16 Read 1500000000\n8:16 Write 5\n")
		write(t, folder+"io_queued_recursive", "8:16 Read 1\n8:16 Total 2\n")
		write(t, folder+"time_recursive", "8:16 321\nx 1\n")
		want := devicesOfV1()
		want[0].Bytes[Write], want[0].Requests[Write] = v(9000), v(3)
		want = append(want, DeviceIO{Device: Device{8, 16}, Bytes: [Operations]Value{Read: v(4096)}, Requests: [Operations]Value{Read: v(1)},
			Merged: [Operations]Value{Read: v(7), Write: v(8)}, ServiceTime: [Operations]Value{Read: v(1500000000), Write: v(5)},
			Queued: [Operations]Value{Read: v(1), Total: v(2)}, Time: v(321)})
		if got := read(t, open(t, root, 5733, limited)).Devices; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the devices are\n%+v, want\n%+v", prefix, got, want)
		}
	}
	f("blkio.bfq.")
	f("blkio.")
}
