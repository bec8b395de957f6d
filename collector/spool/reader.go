package spool

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"tallyman/collector"
	"tallyman/collector/record"
)

// positionLen stands in Generation.Len of every position of a spool. It is
// longer than any fingerprint of a file, so that no other log takes such a
// position for its own.
const positionLen = math.MaxUint32

// batchRecords is how many records a batch may have before no further block is
// added to it.
const batchRecords = 2 * maxRecords

// Reader is a cursor in a Log.
type Reader struct {
	log     *Log
	changed func()
	// lost counts the records passed over because they were removed before they
	// were read, or were damaged; told is how many of them Next has told of.
	lost, told int64

	// seg is the segment with the next record, nil while there is none, and file
	// its file. off is where the next record's block begins.
	seg  *segment
	file file
	off  int64
	// skip is how many of that block's records come before the cursor, next is
	// the number of the record at the cursor.
	skip uint32
	next uint64
	// given holds where batches began that have not been released, oldest first.
	given []given
	// gaps are the numbers that were counted as lost and may be passed over
	// again.
	gaps []gap

	// kept is the number of the oldest segment that Seek may still ask for,
	// released the last position that Release was given. Guarded by the log's
	// mutex.
	kept     uint64
	released record.Position
	// origin is where a reader begins that was opened before there was a segment
	// or an end; waiting says that the end is not known yet, tail how many
	// records before it are wanted. Guarded by the log's mutex.
	origin  origin
	waiting bool
	tail    uint32
}

// origin is a place in a segment, nil for the first, and the number of the record
// there.
type origin struct {
	seg    *segment
	off    int64
	number uint64
}

// given is a position that Next has given and the number of the record there.
type given struct {
	at     record.Position
	number uint64
}

// gap is a range of numbers whose records are not there: from is the first one,
// to the first that is.
type gap struct{ from, to uint64 }

// givenMax bounds how many positions are remembered for a reader that releases
// none.
const givenMax = 256

var _ collector.Reader = (*Reader)(nil)

// Reader returns a cursor that starts at from; see collector.Log.
func (l *Log) Reader(from record.Position, changed func()) (collector.Reader, error) {
	r := &Reader{log: l, changed: changed}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := r.placeLocked(from)
	var lost *collector.LostError
	if err != nil && !errors.As(err, &lost) {
		l.letGoLocked(r.seg)
		return nil, fmt.Errorf("opening a spooled log: %w", err)
	}
	r.origin.number = r.next
	r.keepLocked()
	l.readers[r] = struct{}{}
	return r, err
}

func (r *Reader) keepLocked() {
	switch {
	case r.seg != nil:
		r.kept = r.seg.number
	case r.waiting && r.tail == 0:
		// What comes before the end is not wanted.
		r.kept = math.MaxUint64
	default:
		r.kept = 0
	}
}

// position returns the cursor.
func (r *Reader) position() record.Position {
	if r.seg == nil {
		return record.Oldest()
	}
	return record.Position{
		Gen: record.Generation{Inode: r.seg.number, Len: positionLen, Sum: r.log.epoch},
		Off: r.off, Skip: r.skip,
	}
}

// Position returns the cursor; see collector.Reader.
func (r *Reader) Position() record.Position { return r.position() }

// ready makes sure that the cursor is in a segment, and reports whether it is.
func (r *Reader) ready() (bool, error) {
	if r.seg != nil && !r.seg.gone.Load() {
		return true, nil
	}
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.waiting || len(l.segments) == 0 {
		return false, nil
	}
	if r.seg == nil {
		return true, r.beginLocked()
	}
	// The segment with the cursor was removed. The numbers of the records that
	// follow tell how many are lost.
	return true, r.enterLocked(l.segments[0], r.next)
}

// beginLocked places a cursor at the reader's origin.
func (r *Reader) beginLocked() error {
	o := r.origin
	if o.seg != nil && !o.seg.gone.Load() {
		return r.enterAtLocked(o)
	}
	return r.enterLocked(r.log.segments[0], o.number)
}

// settleLocked tells a waiting reader that the end is here.
func (r *Reader) settleLocked() {
	if !r.waiting {
		return
	}
	r.waiting = false
	if len(r.log.segments) > 0 {
		r.origin = r.log.beforeEndLocked(r.tail)
		r.kept = r.origin.seg.number
	} else {
		r.kept = 0
	}
}

// Next fills b with the records after the cursor; see collector.Reader.
func (r *Reader) Next(b *record.Batch) error {
	b.Reset()
	b.Container = r.log.Container()
	for {
		// Whether anything can still come has to be known before the size: only
		// then does the end mean that nothing will.
		ended := r.log.ended.Load()
		ok, err := r.ready()
		if err != nil {
			return r.failed(err)
		}
		if !ok {
			if ended {
				return io.EOF
			}
			return collector.ErrIdle
		}
		next := r.seg.next.Load()
		size := r.seg.size.Load()
		if r.off < size {
			b.Start = r.position()
			number := r.next
			if err := r.fill(b, size); err != nil {
				if r.seg.gone.Load() {
					continue
				}
				return r.failed(err)
			}
			r.remember(b.Start, number)
			b.End = r.position()
			b.More = r.off < size || next != nil || ended
			b.Lost, r.told = r.lost-r.told, r.lost
			return nil
		}
		r.missBefore(r.seg)
		switch {
		case r.lost > r.told:
			// What is missing before the end is told without what follows.
			b.Start, b.End, b.More = r.position(), r.position(), next != nil || ended
			b.Lost, r.told = r.lost-r.told, r.lost
			return nil
		case next != nil:
			r.log.mu.Lock()
			err := r.enterLocked(next, r.next)
			r.log.mu.Unlock()
			if err != nil && !next.gone.Load() {
				return r.failed(err)
			}
			if err != nil {
				r.jump()
			}
		case ended:
			return io.EOF
		default:
			return collector.ErrIdle
		}
	}
}

// jump leaves a segment behind which the log has been removed.
func (r *Reader) jump() {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if len(r.log.segments) > 0 {
		// Where this fails the next attempt ends here again.
		_ = r.enterLocked(r.log.segments[0], r.next)
	}
}

func (r *Reader) failed(err error) error {
	r.log.spool.stats.ReadErrors.Add(1)
	return fmt.Errorf("reading the spooled log of container %q: %w", r.log.id, err)
}

func (r *Reader) remember(at record.Position, number uint64) {
	if n := len(r.given); n > 0 && r.given[n-1].at == at {
		return
	}
	if len(r.given) == givenMax {
		r.given = append(r.given[:0], r.given[1:]...)
	}
	r.given = append(r.given, given{at, number})
}

// Seek moves the cursor back; see collector.Reader.
func (r *Reader) Seek(to record.Position) error {
	number, known := r.numberOf(to)
	n := 0
	for n < len(r.given) && before(r.given[n].at, to) {
		n++
	}
	r.given = r.given[:n]
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if to.IsOldest() {
		// It began before there was a place to name: where the first record is.
		return r.enterLocked(nil, r.origin.number)
	}
	err := r.placeLocked(to)
	var lost *collector.LostError
	if errors.As(err, &lost) && known {
		// How many are lost is counted with the next record.
		r.next = number
		return nil
	}
	return err
}

// numberOf returns the number of the record at a position that Next has given.
func (r *Reader) numberOf(to record.Position) (uint64, bool) {
	for _, g := range slices.Backward(r.given) {
		if g.at.Gen == to.Gen && g.at.Off == to.Off && g.at.Skip <= to.Skip {
			return g.number + uint64(to.Skip-g.at.Skip), true
		}
	}
	return 0, false
}

// Release lets go of what lies before a position; see collector.Reader. Its
// segments are removed with a later Sync.
func (r *Reader) Release(to record.Position) {
	if to.Gen.Len != positionLen || to.Gen.Sum != r.log.epoch {
		return
	}
	n := 0
	for n < len(r.given) && before(r.given[n].at, to) {
		n++
	}
	// The last one before it is needed for a position in the middle of it.
	if n > 1 {
		r.given = append(r.given[:0], r.given[n-1:]...)
	}
	if len(r.given) > 0 {
		r.gaps = slices.DeleteFunc(r.gaps, func(g gap) bool { return g.to <= r.given[0].number })
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.released = to
	r.kept = max(r.kept, r.log.segmentOfLocked(to))
}

func before(a, b record.Position) bool {
	if a.Gen.Inode != b.Gen.Inode {
		return a.Gen.Inode < b.Gen.Inode
	}
	return a.Off < b.Off || a.Off == b.Off && a.Skip <= b.Skip
}

// GivenUp is always false: what a spool gives up is gone at once, and Next tells
// how much it was; see collector.Reader.
func (r *Reader) GivenUp(record.Position) bool { return false }

// Lag returns how many bytes lie behind a position; see collector.Reader.
func (r *Reader) Lag(from record.Position) int64 {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	total := int64(0)
	for _, seg := range l.segments {
		switch {
		case seg.number < from.Gen.Inode:
		case seg.number == from.Gen.Inode:
			total += max(0, seg.size.Load()-from.Off)
		default:
			total += seg.size.Load() - segmentHeaderSize
		}
	}
	return total
}

// Close ends the use of the reader.
func (r *Reader) Close() error {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.readers[r]; !open {
		return os.ErrClosed
	}
	delete(l.readers, r)
	l.letGoLocked(r.seg)
	r.seg, r.file = nil, nil
	return nil
}
