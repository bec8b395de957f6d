package spool

import (
	"errors"
	"slices"

	"tallyman/collector/record"
)

// fill reads blocks at the cursor and moves it behind them. size is how far the
// segment may be read.
func (r *Reader) fill(b *record.Batch, size int64) error {
	off := r.off
	n, err := readAt(r.file, b.Block[:min(int64(len(b.Block)), size-off)], off)
	if err != nil {
		return err
	}
	if n == 0 {
		// Someone else has cut the file.
		return r.passDamage(off, size, nil, errHeader)
	}
	buf, first := b.Block[:n], true
	for len(buf) > 0 && len(b.Records) < batchRecords {
		h, payload, err := getBlock(buf, r.log.epoch)
		if errors.Is(err, errShort) && off+headerSize <= size && (h.count == 0 || off+h.size() <= size) {
			if !first {
				return nil
			}
			// A single record, longer than the batch's memory.
			h, payload, err = r.readLong(b, &h, off)
			if err != nil && !errors.Is(err, errPayload) {
				return err
			}
		}
		if err == nil {
			err = r.take(b, &h, payload, off)
		}
		if err != nil {
			return r.passDamage(off, size, &h, err)
		}
		off += h.size()
		r.off, r.skip = off, 0
		buf = buf[min(h.size(), int64(len(buf))):]
		first = false
	}
	return nil
}

// readLong reads a block into memory of its own, which b then owns.
func (r *Reader) readLong(b *record.Batch, h *header, off int64) (header, []byte, error) {
	if h.count == 0 {
		return *h, nil, errPayload
	}
	buf := slices.Grow(b.TakeBuffer(), int(h.size()))[:h.size()]
	b.KeepBuffer(buf)
	n, err := readAt(r.file, buf, off)
	if err != nil {
		return *h, nil, err
	}
	got, payload, err := getBlock(buf[:n], r.log.epoch)
	if err != nil {
		// It was there a moment ago, and is shorter now.
		return *h, nil, errPayload
	}
	return got, payload, nil
}

// take adds the records of a block to b and counts those that are missing before
// it.
func (r *Reader) take(b *record.Batch, h *header, payload []byte, off int64) error {
	skip := uint32(0)
	if r.next > h.first {
		skip = uint32(min(r.next-h.first, uint64(h.count)))
	}
	records, err := appendRecords(b.Records, h, payload, off, skip)
	if err != nil {
		return err
	}
	b.Records = records
	if h.first > r.next {
		r.miss(gap{r.next, h.first})
	}
	r.next = max(r.next, h.end())
	return nil
}

// missBefore counts the records that are missing before a segment with nothing in
// it: no record tells of them.
func (r *Reader) missBefore(seg *segment) {
	if r.off == segmentHeaderSize && r.next < seg.first {
		r.miss(gap{r.next, seg.first})
		r.next = seg.first
	}
}

// miss counts the records of a gap that were not counted before, when the cursor
// was here already.
func (r *Reader) miss(g gap) {
	missing := int64(g.to - g.from)
	r.gaps = slices.DeleteFunc(r.gaps, func(old gap) bool {
		if old.to <= g.from || g.to <= old.from {
			return false
		}
		missing -= int64(min(old.to, g.to) - max(old.from, g.from))
		g.from, g.to = min(old.from, g.from), max(old.to, g.to)
		return true
	})
	r.gaps = append(r.gaps, g)
	if missing == 0 {
		return
	}
	r.lost += missing
	r.log.spool.stats.Dropped.Add(missing)
}

// passDamage moves the cursor behind a block that cannot be read. The numbers
// of the records that follow will tell how many are lost.
func (r *Reader) passDamage(off, size int64, h *header, why error) error {
	next, err := resync(r.file, off, size, r.log.epoch, h, why)
	if err != nil {
		return err
	}
	r.off, r.skip = next, 0
	l := r.log
	l.mu.Lock()
	at := place{r.seg.number, off}
	_, told := l.reported[at]
	l.reported[at] = struct{}{}
	l.mu.Unlock()
	if !told {
		l.spool.stats.CorruptBlocks.Add(1)
		l.spool.logger.Error("a block of a spooled log is damaged and is passed over",
			"container", l.Container().Name, "file", r.seg.path, "offset", off, "bytes", next-off)
	}
	return nil
}
