package spool

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// Log is one container's log. It owns the segments and their files.
type Log struct {
	spool *Spool
	id    string
	dir   string
	// epoch is random and names this log in positions and blocks, so that those
	// of another are never taken for its own. Immutable.
	epoch  uint64
	opened time.Time

	container atomic.Pointer[record.Container]
	// described is the container as it is on disk, nil where it is not.
	described atomic.Pointer[record.Container]
	// ended says that nothing will be appended any more.
	ended atomic.Bool
	// dirty says that something was written and not synced.
	dirty atomic.Bool

	// wmu guards the writer's side below, and all writes, however long the disk
	// takes: only the writer waits for it, and who makes room. It is taken before mu.
	wmu sync.Mutex
	// block is the block that is being filled, with room for its header in
	// front; nil when there is none. head is its header so far.
	block []byte
	head  header
	// mark is that of the last record appended, written that of the last block
	// written.
	mark, written Mark
	// next is the number of the next record to be written.
	next uint64
	// number is the highest number that a segment has had: none is given twice,
	// so that no position ever names another place than it did.
	number uint64
	// torn says that the end of the last segment was cut off: what was there is
	// written anew to a segment of its own, for the same reason.
	torn bool
	// failing says that the last write failed.
	failing bool

	mu sync.Mutex
	// segments are those there are, oldest first; the last one is written to.
	// Guarded by mu.
	segments []*segment
	// readers are those open; guarded by mu.
	readers map[*Reader]struct{}
	// unsettled says that the end is not known yet: what the source had when the
	// copy began has not been copied. Guarded by mu.
	unsettled bool
	// reported holds the damages that were counted, so that several readers do
	// not count them several times; guarded by mu.
	reported map[place]struct{}
}

// place is an offset in a segment.
type place struct {
	number uint64
	off    int64
}

var _ collector.Log = (*Log)(nil)

// Container returns the container as it is known now; after a restart, until
// SetContainer is called, as it was known before.
func (l *Log) Container() *record.Container { return l.container.Load() }

// Described reports whether it is known from an earlier life, or has been written
// down in this one, what the container is.
func (l *Log) Described() bool { return l.described.Load() == l.container.Load() }

// SetContainer replaces what is known of the container. It is written down with the
// next block.
func (l *Log) SetContainer(c *record.Container) {
	l.container.Store(c)
	l.notify()
}

// End says that nothing will be appended any more: readers get io.EOF when they
// have had everything.
func (l *Log) End() {
	if !l.ended.Swap(true) {
		l.notify()
	}
}

// Readers returns how many readers are open.
func (l *Log) Readers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.readers)
}

// notify tells every reader that something may have changed.
func (l *Log) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.readers {
		r.changed()
	}
}

// bytes returns how many bytes the segments take.
func (l *Log) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := int64(0)
	for _, seg := range l.segments {
		total += seg.size.Load()
	}
	return total
}

// holdLocked opens a segment's file for one more user.
func (l *Log) holdLocked(seg *segment) error {
	if seg.file == nil {
		f, err := l.spool.files.Open(seg.path, false)
		if err != nil {
			return err
		}
		seg.file = f
	}
	seg.users++
	return nil
}

// letGoLocked closes a segment's file when its last user leaves.
func (l *Log) letGoLocked(seg *segment) {
	if seg == nil {
		return
	}
	seg.users--
	if seg.users <= 0 && seg.file != nil {
		// What was written has been synced before.
		_ = seg.file.Close()
		seg.file = nil
	}
}

// removeFirstLocked removes the oldest segment.
func (l *Log) removeFirstLocked() (int64, error) {
	seg := l.segments[0]
	if err := l.spool.files.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.spool.stats.WriteErrors.Add(1)
		return 0, err
	}
	seg.gone.Store(true)
	l.segments = l.segments[1:]
	// Whoever still reads it finds it closed: an open file would keep the space.
	if seg.file != nil {
		_ = seg.file.Close()
	}
	size := seg.size.Load()
	l.spool.total.Add(-size)
	return size, nil
}

// neededLocked returns the number of the oldest segment that a reader, or one
// of the saved positions, can come back to; 0 when nobody can be asked.
func (l *Log) neededLocked(saved []record.Position) uint64 {
	if len(l.readers) == 0 || time.Since(l.opened) < l.spool.options.Settle {
		return 0
	}
	needed := uint64(math.MaxUint64)
	for r := range l.readers {
		needed = min(needed, r.kept)
	}
	for _, p := range saved {
		if p.Gen.Len == positionLen && p.Gen.Sum == l.epoch {
			needed = min(needed, l.segmentOfLocked(p))
		}
	}
	return needed
}

// segmentOfLocked returns the number of the segment that holds what follows a
// position.
func (l *Log) segmentOfLocked(p record.Position) uint64 {
	for _, seg := range l.segments {
		if seg.number == p.Gen.Inode && seg.next.Load() != nil && p.Off >= seg.size.Load() {
			return seg.number + 1
		}
	}
	return p.Gen.Inode
}

// trim removes the segments that nobody needs. The last one stays, since it has
// the mark; with hard it is closed for that if all of it is delivered.
func (l *Log) trim(hard bool) {
	var saved []record.Position
	if l.spool.options.Saved != nil {
		saved = l.spool.options.Saved(l.id)
	}
	if hard && l.delivered(saved) {
		l.wmu.Lock()
		// Without a new segment the old one has to stay.
		_ = l.rollLocked()
		l.wmu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	needed := l.neededLocked(saved)
	for len(l.segments) > 1 && l.segments[0].number < needed {
		if _, err := l.removeFirstLocked(); err != nil {
			return
		}
	}
}

// delivered reports whether every reader and saved position is at the end of the
// last segment, and that holds something.
func (l *Log) delivered(saved []record.Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.segments)
	if n == 0 || l.neededLocked(saved) < l.segments[n-1].number {
		return false
	}
	last := l.segments[n-1]
	size := last.size.Load()
	for r := range l.readers {
		if r.released.Gen.Inode != last.number || r.released.Off < size {
			return false
		}
	}
	for _, p := range saved {
		if p.Gen.Inode != last.number || p.Off < size {
			return false
		}
	}
	return size > segmentHeaderSize
}

// evict removes the oldest segment, whoever needs it, and returns its bytes and
// records.
func (l *Log) evict() (bytes int64, records uint64, err error) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.mu.Lock()
	only := len(l.segments) == 1 && l.segments[0].size.Load() > segmentHeaderSize
	l.mu.Unlock()
	if only {
		if err := l.rollLocked(); err != nil {
			return 0, 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) < 2 {
		return 0, 0, nil
	}
	records = l.segments[0].end.Load() - l.segments[0].first
	bytes, err = l.removeFirstLocked()
	for r := range l.readers {
		r.changed()
	}
	return bytes, records, err
}

// sync makes durable what was written.
func (l *Log) sync() error {
	if !l.dirty.Swap(false) {
		return nil
	}
	l.mu.Lock()
	var f file
	if n := len(l.segments); n > 0 {
		f = l.segments[n-1].file
	}
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	// A segment that is closed meanwhile has been synced for that.
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		l.dirty.Store(true)
		return err
	}
	return nil
}

func (l *Log) closeFiles() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seg := range l.segments {
		if seg.file != nil {
			_ = seg.file.Close() // It has been synced.
			seg.file = nil
		}
	}
}

// remove removes the log's folder.
func (l *Log) remove() error {
	l.closeFiles()
	l.mu.Lock()
	for _, seg := range l.segments {
		seg.gone.Store(true)
		l.spool.total.Add(-seg.size.Load())
	}
	l.segments = nil
	l.mu.Unlock()
	entries, err := l.spool.files.ReadDir(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, l.spool.files.Remove(filepath.Join(l.dir, e.Name())))
	}
	return errors.Join(err, l.spool.files.Remove(l.dir))
}
