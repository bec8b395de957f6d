package metrics

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"tallyman/metrics/cgroup"
)

// sector is the unit of the kernel's counters of block devices, whatever the
// device's own is, in bytes.
const sector = 512

// sectors turns bytes into sectors.
func sectors(bytes cgroup.Value) cgroup.Value {
	bytes.N /= sector
	return bytes
}

// processor returns the value of the label "cpu", which is rendered once.
func (h *hostState) processor(number int) string {
	for len(h.processors) <= number {
		h.processors = append(h.processors, fmt.Sprintf("cpu%02d", len(h.processors)))
	}
	return h.processors[number]
}

// number returns a small number as a text.
func (h *hostState) number(n int) string { return strconv.Itoa(n) }

// device returns how a block device is called, as in "/dev/sda". One without a
// name is called by its numbers, so that two of them stay apart.
func (h *hostState) device(number cgroup.Device) *deviceName {
	name := h.devices[number]
	if name == nil {
		name = newDeviceName(number, number.String())
		h.devices[number] = name
	}
	return name
}

func newDeviceName(number cgroup.Device, path string) *deviceName {
	return &deviceName{path: path, major: strconv.Itoa(int(number.Major)), minor: strconv.Itoa(int(number.Minor))}
}

// costValue writes a time by the kernel's model of each block device.
func costValue(of func(*cgroup.Cost) cgroup.Value) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		for i := range r.sample.Devices {
			device := &r.sample.Devices[i]
			if v := of(&device.Cost); v.OK {
				w.with(float64(v.N)/microsecond, r.host.device(device.Device).path)
			}
		}
	}
}

// ioValue writes a value of each block device that the container has used, which
// is divided by unit. For the root it is that of each device with a mounted file
// system; only where these are not known it is what the root cgroup tells.
func ioValue(unit float64, of func(*cgroup.DeviceIO) cgroup.Value, ofDisk func(*diskStats) float64) func(*reading, *writer) {
	whole := diskValue(ofDisk)
	return func(r *reading, w *writer) {
		if r.isRoot() && r.host.hasDisks() {
			whole(r, w)
			return
		}
		for i := range r.sample.Devices {
			device := &r.sample.Devices[i]
			if v := of(device); v.OK {
				w.with(float64(v.N)/unit, r.host.device(device.Device).path)
			}
		}
	}
}

// diskValue writes a value of each device with a mounted file system, for the
// root: the kernel does not tell it for a container.
func diskValue(of func(*diskStats) float64) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if !r.isRoot() {
			return
		}
		for i := range r.host.filesystems {
			if fs := &r.host.filesystems[i]; fs.disk != nil {
				w.with(of(fs.disk), fs.label)
			}
		}
	}
}

// hasDisks reports whether the counters of some block device are known.
func (h *hostState) hasDisks() bool {
	for i := range h.filesystems {
		if h.filesystems[i].disk != nil {
			return true
		}
	}
	return false
}

// deviceUsage writes the bytes of each block device and operation.
func deviceUsage(r *reading, w *writer) {
	for i := range r.sample.Devices {
		device := &r.sample.Devices[i]
		name := r.host.device(device.Device)
		for op, v := range device.Bytes {
			if v.OK {
				w.with(float64(v.N), name.path, name.major, name.minor, cgroup.Operation(op).String())
			}
		}
	}
}

// interfaceValue writes a value of each network interface.
func interfaceValue(of func(*cgroup.Interface) uint64) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if !r.ownsNetwork() {
			return
		}
		for i := range r.sample.Interfaces {
			w.with(float64(of(&r.sample.Interfaces[i])), interfaceLabel(r.sample.Interfaces[i].Name))
		}
	}
}

// interfaceLabel returns the value of the label "interface". A container may
// name an interface with any bytes, and one that is not text would spoil the
// whole scrape.
func interfaceLabel(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strings.Trim(fmt.Sprintf("%+q", name), `"`)
}

// fsValue writes a value of the file system that holds the container's layer, or
// of every one of the host for the root.
func fsValue(ofLayer func(*layerUse) uint64, of func(*filesystem) uint64) func(*reading, *writer) {
	return func(r *reading, w *writer) {
		if !r.isRoot() {
			if r.layer != nil {
				w.with(float64(ofLayer(r.layer)), r.layer.fs.label)
			}
			return
		}
		for i := range r.host.filesystems {
			if fs := &r.host.filesystems[i]; fs.known {
				w.with(float64(of(fs)), fs.label)
			}
		}
	}
}

func layerInodes(r *reading, w *writer) {
	if r.layer != nil {
		w.with(float64(r.layer.inodes), r.layer.fs.label)
	}
}
