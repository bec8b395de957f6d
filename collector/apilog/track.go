package apilog

import "tallyman/collector/spool"

const (
	// slack is how far the time from which the engine is asked again lies behind
	// the newest record, at least. The two streams of a container race each
	// other into its log, by microseconds when the engine is idle: what was
	// overtaken by less than this is found again by engines that leave out every
	// older record, as those before 24.0 do.
	slack = 20e6
	// setBack is by how much a record must be older than the rest for the
	// engine's clock to have been set back. Times before are of no use then.
	setBack = 1e9
)

// base is a time, and how much of the log has been seen from it on.
type base struct {
	time        int64
	count, late uint32
}

// tracker knows what to ask the engine for, and what to leave out of its answer,
// to go on behind what has been seen. An answer holds the records that are not
// older than a time, or all behind the first of them; either way what has been
// seen is the beginning of it, in the same order. So it is enough to know how
// many records from that time on have been seen, and how many behind the first
// of them are older.
type tracker struct {
	// now is the base in use, next the one that will follow it: there are two so
	// that the one in use is always old enough.
	now, next base
	last      int64
	begun     bool

	// leave is what is still to be left out of the answer, up to the time
	// leaveLast; left says that some of it has been.
	leave     base
	leaveLast int64
	leaving   bool
	left      bool
}

// newTracker goes on from a mark.
func newTracker(m spool.Mark) tracker {
	if m.Base == 0 {
		return tracker{}
	}
	b := base{m.Base, m.Count, m.Late}
	return tracker{now: b, next: b, last: m.Last, begun: true, leave: b, leaveLast: m.Last, leaving: m.Count > 0}
}

// mark returns the mark of what has been seen.
func (t *tracker) mark() spool.Mark {
	return spool.Mark{Base: t.now.time, Last: t.last, Count: t.now.count, Late: t.now.late}
}

// wanted reports whether a record of the answer is new. gap says that the answer
// does not go back to what was seen before: the engine has rotated that away,
// and perhaps more.
func (t *tracker) wanted(at int64) (wanted, gap bool) {
	if !t.leaving {
		return true, false
	}
	switch {
	case at > t.leaveLast:
		t.leaving = false
		return true, !t.left
	case at >= t.leave.time && t.leave.count > 0:
		t.leave.count--
	case at < t.leave.time && t.leave.late > 0:
		t.leave.late--
	default:
		// It came late, and behind what has been seen.
		return true, false
	}
	t.left = true
	t.leaving = t.leave.count > 0 || t.leave.late > 0
	return false, false
}

// see takes in a new record.
func (t *tracker) see(at int64) {
	if !t.begun || at < t.now.time-setBack {
		// After the clock was set back, asking from here on brings records a
		// second time. Asking from before would leave out all until the clock
		// has caught up.
		t.begun = true
		t.now, t.last = base{time: at, count: 1}, at
		t.next = t.now
		return
	}
	t.now.add(at)
	t.next.add(at)
	if at <= t.last {
		return
	}
	t.last = at
	if at >= t.next.time+slack {
		t.now = t.next
		t.next = base{time: at, count: 1}
	}
}

func (b *base) add(at int64) {
	if at >= b.time {
		b.count++
	} else {
		b.late++
	}
}
