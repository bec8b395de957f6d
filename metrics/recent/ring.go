package recent

import (
	"slices"
	"time"
)

// Point is what a container used at a time: memory as it was then, all else as
// the mean since the point before.
type Point struct {
	Time time.Time `json:"t"`
	// CPUPercent is in hundredths of one processor.
	CPUPercent float64 `json:"cpu_percent"`
	// MemoryBytes is without the file cache that the kernel would drop first.
	MemoryBytes float64 `json:"memory_bytes"`
	// The rates are in bytes a second.
	NetworkRx float64 `json:"network_rx_bps"`
	NetworkTx float64 `json:"network_tx_bps"`
	DiskRead  float64 `json:"disk_read_bps"`
	DiskWrite float64 `json:"disk_write_bps"`
}

// values are those of a Point: 24 bits of precision are more than a chart can
// show.
type values [6]float32

func valuesOf(p Point) values {
	return values{
		float32(p.CPUPercent), float32(p.MemoryBytes), float32(p.NetworkRx),
		float32(p.NetworkTx), float32(p.DiskRead), float32(p.DiskWrite),
	}
}

func (v *values) point(at time.Time) Point {
	return Point{
		Time: at, CPUPercent: float64(v[0]), MemoryBytes: float64(v[1]),
		NetworkRx: float64(v[2]), NetworkTx: float64(v[3]), DiskRead: float64(v[4]), DiskWrite: float64(v[5]),
	}
}

// stamp is a time in hundredths of a second, without the bits that tell it from
// one that is more than 248 days away.
type stamp uint32

const stampUnit = 10 * time.Millisecond

func stampOf(t time.Time) stamp { return stamp(t.UnixMilli() / stampUnit.Milliseconds()) }

// since returns for how long s had been past at a time; below 0 before.
func (s stamp) since(at stamp) time.Duration { return time.Duration(int32(at-s)) * stampUnit }

// run is a series of points that are alike and equally far apart. A container
// that does nothing has one for hours.
type run struct {
	first, last stamp
	count       uint32
	values      values
}

// at returns the time of a point, where now is the time of nowStamp.
func (r *run) at(i int, now time.Time, nowStamp stamp) time.Time {
	length := r.first.since(r.last)
	if r.count > 1 {
		length = length * time.Duration(i) / time.Duration(r.count-1)
	}
	return now.Truncate(stampUnit).Add(length - r.first.since(nowStamp)).UTC()
}

// ring keeps the points of one window. It grows as points come, so that a
// container that lives for a minute costs no more than that.
type ring struct {
	window *Window
	// runs are a circle, of which next is the oldest.
	runs []run
	next int
	// last is the reading at the newest point.
	last counters
}

// add takes in a reading, where enough time has gone by since the last point.
func (r *ring) add(c counters) {
	elapsed := c.at.Sub(r.last.at)
	switch {
	case r.last.at.IsZero():
		r.last = c
		return
	case elapsed < r.window.Interval-r.window.Interval/10:
		return
	}
	v, at := valuesOf(c.since(&r.last)), stampOf(c.at)
	r.last = c
	n := len(r.runs)
	if n > 0 {
		newest := &r.runs[(r.next+n-1)%n]
		even := elapsed < 2*max(r.window.Interval, quietEvery)
		if newest.values == v && even && newest.first.since(at) <= r.window.Length {
			newest.last = at
			newest.count++
			return
		}
	}
	fresh := run{at, at, 1, v}
	if n > 0 && (n == r.window.points() || r.runs[r.next].last.since(at) > r.window.Length) {
		r.runs[r.next] = fresh
		r.next = (r.next + 1) % n
		return
	}
	if r.next == 0 {
		r.runs = append(r.runs, fresh)
		return
	}
	r.runs = slices.Insert(r.runs, r.next, fresh)
	r.next++
}

// list returns the points that are not older than the window, oldest first.
func (r *ring) list(now time.Time) []Point {
	all := []Point{}
	if now.Sub(r.last.at) > r.window.Length {
		return all
	}
	nowStamp := stampOf(now)
	for i := range r.runs {
		run := &r.runs[(r.next+i)%len(r.runs)]
		if run.last.since(nowStamp) > r.window.Length {
			continue
		}
		for i := range int(run.count) {
			if at := run.at(i, now, nowStamp); now.Sub(at) <= r.window.Length {
				all = append(all, run.values.point(at))
			}
		}
	}
	return all[max(0, len(all)-r.window.points()):]
}
