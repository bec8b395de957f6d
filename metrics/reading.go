package metrics

import (
	"maps"
	"strings"
	"time"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// What a unit of the kernel is in seconds, as a divisor: dividing keeps the
// decimal digits that multiplying by a fraction would blur.
const (
	nanosecond  = 1e9
	microsecond = 1e6
	millisecond = 1e3
)

// largestLimit is where cAdvisor takes a limit for none: version 1 writes "no
// limit" as the largest number of whole pages.
const largestLimit = 1 << 62

// reading is all that is known of a container at one moment.
type reading struct {
	// container is nil for the root cgroup, which is the whole machine.
	container *record.Container
	// path is the cgroup's.
	path   string
	labels *block
	sample *cgroup.Sample
	// at is when the sample was taken.
	at time.Time
	// killed is how many processes of the container were killed for want of
	// memory, in this run and earlier ones.
	killed uint64
	// sharedWith is whose network the container uses, empty for its own.
	sharedWith string
	// layer is the use of the writable layer, nil while it is not known.
	layer *layerUse
	// log is what the container has written to its log, nil where nobody reads it.
	log  *record.LogUse
	host *hostState
}

// hostState is what containers are told about the machine.
type hostState struct {
	bootTime    time.Time
	memory      memory
	disks       []diskStats
	filesystems []filesystem
	devices     map[cgroup.Device]*deviceName
	processors  []string

	files keptFiles
}

// deviceName is how a block device is called.
type deviceName struct {
	path, major, minor string
	// named says that the kernel tells of the device by this name.
	named bool
}

// nameDevices takes in how the devices of disks are called. Numbers may pass from
// one device to another.
func (h *hostState) nameDevices() {
	for _, name := range h.devices {
		name.named = false
	}
	for i := range h.disks {
		disk := &h.disks[i]
		name := h.devices[disk.device]
		if name == nil || strings.TrimPrefix(name.path, devices) != disk.name {
			name = newDeviceName(disk.device, devices+disk.name)
			h.devices[disk.device] = name
		}
		name.named = true
	}
	maps.DeleteFunc(h.devices, func(_ cgroup.Device, name *deviceName) bool { return !name.named })
}

// devices is the folder that block devices are named in.
const devices = "/dev/"

// isRoot reports whether it is about the whole machine.
func (r *reading) isRoot() bool { return r.container == nil }

// hasCPU reports whether the cgroup has a CPU controller.
func (r *reading) hasCPU() bool {
	c := &r.sample.CPU
	return c.Usage.OK || c.User.OK || c.Period.OK || c.Shares.OK || c.Quota.OK
}

// hasMemory reports whether the cgroup has a memory controller.
func (r *reading) hasMemory() bool {
	m := &r.sample.Memory
	return m.Usage.OK || m.Limit.OK || m.OOMKills.OK
}

// readHostLocked reads what containers are told of the machine.
func (c *Containers) readHostLocked() {
	h := &c.host
	if h.bootTime.IsZero() {
		h.bootTime = readBootTime(&h.files)
	}
	h.memory, h.filesystems = readMemory(&h.files), nil
	if !c.kinds.has(kindDiskIO) && !c.kinds.has(kindDisk) {
		return
	}
	var err error
	if h.disks, err = readDisks(&h.files, h.disks); err != nil {
		c.logger.Debug("reading block devices", "error", err)
	}
	h.nameDevices()
	if c.omitRoot {
		return
	}
	if h.filesystems, err = readFilesystems(c.root, &c.mounts, h.disks); err != nil {
		c.logger.Debug("reading file systems", "error", err)
	}
}
