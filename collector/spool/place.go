package spool

import (
	"tallyman/collector"
	"tallyman/collector/record"
)

// placeLocked moves the cursor to a position.
func (r *Reader) placeLocked(to record.Position) error {
	l := r.log
	r.waiting = false
	n := len(l.segments)
	tail, fromEnd := to.FromEnd()
	switch {
	case (fromEnd || to.IsEnd()) && l.unsettled:
		r.waiting, r.tail = true, tail
		return r.enterLocked(nil, 0)
	case n == 0 && (to.IsOldest() || to.IsEnd() || fromEnd):
		return r.enterLocked(nil, 0)
	case to.IsEnd():
		return r.endLocked()
	case fromEnd:
		return r.enterAtLocked(l.beforeEndLocked(tail))
	case to.IsOldest():
		return r.enterLocked(l.segments[0], l.segments[0].first)
	case to.Gen.Len != positionLen || to.Gen.Sum != l.epoch || n == 0:
		return r.lostLocked(to)
	}
	oldest, newest := l.segments[0], l.segments[n-1]
	switch number := to.Gen.Inode; {
	case number+1 == oldest.number && oldest.before > 0 && to.Off >= oldest.before:
		// The end of the last one that was removed.
		return r.enterLocked(oldest, oldest.first)
	case number < oldest.number:
		return r.lostLocked(to)
	case number > newest.number:
		// A crash of the host has taken what was delivered already. It is copied
		// again, behind what is left.
		return r.endLocked()
	}
	for _, seg := range l.segments {
		switch {
		case seg.number == to.Gen.Inode:
			return r.placeInLocked(seg, to)
		case seg.number > to.Gen.Inode:
			// It was damaged beyond use, and what it held is copied again.
			return r.enterLocked(seg, seg.first)
		}
	}
	return r.lostLocked(to)
}

func (r *Reader) lostLocked(to record.Position) error {
	if err := r.placeLocked(record.Oldest()); err != nil {
		return err
	}
	return &collector.LostError{Position: to}
}

func (r *Reader) endLocked() error {
	last := r.log.segments[len(r.log.segments)-1]
	if err := r.enterLocked(last, last.end.Load()); err != nil {
		return err
	}
	r.off = last.size.Load()
	return nil
}

// beforeEndLocked returns the place that has n records behind it, or that of the
// oldest record where there are fewer. There is a segment.
func (l *Log) beforeEndLocked(n uint32) origin {
	last := l.segments[len(l.segments)-1]
	if n == 0 {
		return origin{last, last.size.Load(), last.end.Load()}
	}
	o := origin{l.segments[0], segmentHeaderSize, l.segments[0].first}
	if end := last.end.Load(); end-o.number > uint64(n) {
		o.number = end - uint64(n)
	}
	for _, seg := range l.segments {
		if seg.first <= o.number {
			o.seg = seg
		}
	}
	return o
}

// enterAtLocked moves the cursor to a place that beforeEndLocked has returned.
func (r *Reader) enterAtLocked(o origin) error {
	if err := r.enterLocked(o.seg, o.number); err != nil {
		return err
	}
	if r.off = o.off; o.off != segmentHeaderSize {
		return nil
	}
	_, err := scan(r.file, o.seg.size.Load(), r.log.epoch, false, func(off int64, h *header) bool {
		if r.off, r.skip = off, 0; h.first < o.number {
			r.skip = uint32(min(o.number, h.end()) - h.first)
		}
		return h.end() <= o.number
	})
	return err
}

// enterLocked moves the cursor to the beginning of a segment. number is that of
// the record that is wanted next.
func (r *Reader) enterLocked(seg *segment, number uint64) error {
	if seg != nil {
		if err := r.log.holdLocked(seg); err != nil {
			return err
		}
		r.file = seg.file
	} else {
		r.file = nil
	}
	r.log.letGoLocked(r.seg)
	r.seg, r.off, r.skip, r.next = seg, segmentHeaderSize, 0, number
	return nil
}

// placeInLocked moves the cursor to a place in a segment.
func (r *Reader) placeInLocked(seg *segment, to record.Position) error {
	if err := r.enterLocked(seg, seg.first); err != nil {
		return err
	}
	size := seg.size.Load()
	if to.Off >= size {
		if next := seg.next.Load(); next != nil {
			return r.enterLocked(next, next.first)
		}
		r.off, r.next = size, seg.end.Load()
		return nil
	}
	var b [headerSize]byte
	n, err := readAt(r.file, b[:], max(to.Off, segmentHeaderSize))
	if err != nil {
		return err
	}
	if h, err := getHeader(b[:n], r.log.epoch); err == nil {
		r.off, r.skip, r.next = max(to.Off, segmentHeaderSize), to.Skip, h.first+uint64(to.Skip)
		return nil
	}
	// No block begins there, or a damaged one: the last that begins before it,
	// whose records may come a second time, or the place behind its end.
	_, err = scan(r.file, size, r.log.epoch, false, func(off int64, h *header) bool {
		switch end := off + h.size(); {
		case end == to.Off:
			r.off, r.next = end, h.end()
		case off <= to.Off:
			r.off, r.next = off, h.first
		}
		return off <= to.Off
	})
	return err
}
