package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"tallyman/collector/record"
)

// Mark returns the mark of the last record appended.
func (l *Log) Mark() Mark {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	return l.mark
}

// Begun reports whether the log has a beginning on disk: if not, nothing has
// ever been copied into it.
func (l *Log) Begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.segments) > 0
}

// Begin makes a new log's beginning with the mark from which it is copied. With
// a Head in it, the end of the log is not known until SettleEnd is called, and
// readers that were opened at the end wait for that.
func (l *Log) Begin(mark Mark) error {
	l.wmu.Lock()
	if !l.Begun() {
		l.mark, l.written = mark, mark
		if err := l.rollLocked(); err != nil {
			l.failedLocked(err)
			l.wmu.Unlock()
			return err
		}
		l.healedLocked()
	}
	l.wmu.Unlock()
	if mark.Head == 0 {
		return l.SettleEnd()
	}
	return nil
}

// SettleEnd says that what comes now is newer than what the source had when the
// copy began: the end of the log is here.
func (l *Log) SettleEnd() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.mu.Lock()
	unsettled := l.unsettled
	l.mu.Unlock()
	if !unsettled {
		return nil
	}
	if err := l.flushLocked(); err != nil {
		return err
	}
	l.mark.Head, l.written.Head = 0, 0
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsettled = false
	for r := range l.readers {
		r.settleLocked()
		r.changed()
	}
	return nil
}

// Append adds a record, whose line is copied, and the mark that holds after it.
// It is called by one goroutine at a time. With an error the record has not been
// taken and the mark has not moved: it is to be appended again later. What was
// taken is in memory until its block is full or Flush is called, and is kept
// there while the disk refuses it.
func (l *Log) Append(r *record.Record, mark Mark) error {
	if len(r.Line) > MaxLine {
		return fmt.Errorf("appending to a spooled log: a line of %d bytes is longer than %d", len(r.Line), MaxLine)
	}
	l.wmu.Lock()
	wrote := false
	if l.head.count > 0 && (len(l.block)+len(r.Line) > blockBytes || l.head.count >= maxRecords) {
		if err := l.flushLocked(); err != nil {
			l.wmu.Unlock()
			return err
		}
		wrote = true
	}
	if l.block == nil {
		l.block = make([]byte, headerSize, 4<<10)
	}
	if l.head.count == 0 {
		l.head.firstTime, l.head.lastTime = r.Time, r.Time
	}
	l.block = appendRecord(l.block, r, l.head.lastTime)
	l.head.lastTime = r.Time
	l.head.count++
	l.mark = mark
	l.wmu.Unlock()
	if wrote {
		l.spool.options.Budget.Balance()
	}
	return nil
}

// Flush writes what was appended, so that readers see it. It may be called from
// any goroutine.
func (l *Log) Flush() error {
	l.wmu.Lock()
	wrote := l.head.count > 0
	err := l.flushLocked()
	l.wmu.Unlock()
	if wrote && err == nil {
		l.spool.options.Budget.Balance()
	}
	return err
}

// flushLocked writes the block that is being filled. wmu is held.
func (l *Log) flushLocked() error {
	if l.head.count == 0 {
		return nil
	}
	err := l.writeLocked()
	if err != nil {
		l.failedLocked(err)
		return fmt.Errorf("writing to the spool: %w", err)
	}
	l.healedLocked()
	l.notify()
	return nil
}

// failedLocked counts a failed write and says it when the one before succeeded.
func (l *Log) failedLocked(err error) {
	l.spool.stats.WriteErrors.Add(1)
	if !l.failing {
		l.failing = true
		l.spool.logger.Error("a log cannot be copied to the spool; it is tried again, and nothing is taken from the engine meanwhile",
			"container", l.Container().Name, "folder", l.dir, "error", err)
	}
}

func (l *Log) healedLocked() {
	if l.failing {
		l.failing = false
		l.spool.logger.Info("a log is copied to the spool again", "container", l.Container().Name, "folder", l.dir)
	}
}

func (l *Log) writeLocked() error {
	h := &l.head
	h.length = uint32(len(l.block) - headerSize)
	h.sum = crc32.Checksum(l.block[headerSize:], castagnoli)
	h.epoch, h.first, h.mark = l.epoch, l.next, l.mark
	h.put(l.block)

	seg := l.last()
	if seg == nil || l.torn || seg.size.Load() > segmentHeaderSize && seg.size.Load()+h.size() > l.spool.options.SegmentSize {
		if err := l.rollLocked(); err != nil {
			return err
		}
		seg = l.last()
	}
	if c := l.Container(); l.described.Load() != c && l.describe(c) == nil {
		// It is for people and for after the container's removal: the log is
		// kept without it too.
		l.described.Store(c)
	}
	// A write that fails half-way is made again at the same place: until it has
	// succeeded nobody reads there.
	if _, err := seg.file.WriteAt(l.block, seg.size.Load()); err != nil {
		return err
	}
	l.next = h.end()
	l.spool.total.Add(h.size())
	// Whoever takes both under the lock gets two that belong together.
	l.mu.Lock()
	seg.end.Store(l.next)
	seg.size.Add(h.size())
	l.mu.Unlock()
	l.written = l.mark
	l.dirty.Store(true)
	l.head = header{}
	if cap(l.block) > 2*blockBytes {
		l.block = nil
	} else {
		l.block = l.block[:headerSize]
	}
	return nil
}

// last returns the segment that is written to, nil when there is none.
func (l *Log) last() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 {
		return l.segments[n-1]
	}
	return nil
}

// rollLocked closes the last segment, if there is one, and begins a new one.
// wmu is held.
func (l *Log) rollLocked() error {
	old := l.last()
	h := segmentHeader{epoch: l.epoch, number: l.number + 1, first: l.next, mark: l.written}
	if old != nil {
		h.before = old.size.Load()
		if err := old.file.Sync(); err != nil {
			return err
		}
	}
	seg := &segment{path: filepath.Join(l.dir, segmentName(h.number)), number: h.number, first: h.first, before: h.before, users: 1}
	if err := l.spool.files.MkdirAll(l.dir); err != nil {
		return err
	}
	f, err := l.spool.files.Open(seg.path, true)
	if err != nil {
		return err
	}
	var b [segmentHeaderSize]byte
	h.put(b[:])
	_, err = f.WriteAt(b[:], 0)
	if err == nil {
		err = l.spool.files.SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), l.spool.files.Remove(seg.path))
	}
	seg.file = f
	seg.size.Store(segmentHeaderSize)
	seg.end.Store(h.first)
	l.spool.total.Add(segmentHeaderSize)
	l.dirty.Store(true)
	l.number, l.torn = h.number, false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, seg)
	if old != nil {
		old.next.Store(seg)
		l.letGoLocked(old)
	}
	return nil
}
