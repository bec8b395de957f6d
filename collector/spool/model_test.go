package spool

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// model is what a log must be: record i has number i, whatever happens, since a
// writer that goes on from the mark appends the same again.
type model struct {
	t       *testing.T
	random  *rand.Rand
	options Options
	spool   *Spool
	log     *Log
	// appended counts the records, also those that a crash takes back.
	appended int
	readers  []*modelReader
	budget   int64
}

type modelReader struct {
	*Reader
	// next is the record that comes next; at and saved what was released, and
	// the number of the record there.
	next, savedNext int
	saved           record.Position
	// starts are the batches that were read and not released.
	starts []given
	lost   map[int]bool
}

func (m *model) open() {
	var err error
	m.options.Budget = collector.NewBudget(m.budget)
	m.options.Saved = func(string) (at []record.Position) {
		for _, r := range m.readers {
			if r.saved != (record.Position{}) {
				at = append(at, r.saved)
			}
		}
		return at
	}
	if m.spool, err = Open(m.options); err != nil {
		m.t.Fatal(err)
	}
	m.log = openLog(m.t, m.spool)
	// The writer goes on from the mark.
	m.appended = int(m.log.Mark().Count)
}

func (m *model) attach(r *modelReader) {
	reader, err := m.log.Reader(r.saved, func() {})
	var lost *collector.LostError
	switch {
	case errors.As(err, &lost):
		// Only the budget takes what a saved position needs; how much is not
		// known any more.
		if m.budget > 1<<20 {
			m.t.Fatalf("the saved position %+v was lost", r.saved)
		}
	case err != nil:
		m.t.Fatal(err)
	}
	r.Reader, r.starts, r.lost = reader.(*Reader), nil, map[int]bool{}
	r.next = int(r.Reader.next)
	// After a crash that took delivered records they come a second time.
	if lost == nil && r.saved != (record.Position{}) && r.next > r.savedNext {
		m.t.Fatalf("a reader goes on at record %d, not %d", r.next, r.savedNext)
	}
}

// crash ends the process, and with the host's end may tear the newest file.
func (m *model) crash() {
	for _, l := range m.spool.openLogs() {
		l.closeFiles()
	}
	last := m.log.last()
	if m.random.IntN(2) == 0 {
		floor := int64(0)
		if len(m.log.segments) == 1 && m.random.IntN(4) > 0 {
			floor = segmentHeaderSize
		}
		if size := last.size.Load(); size > floor {
			if err := os.Truncate(last.path, floor+m.random.Int64N(size-floor)); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	was := m.log.epoch
	m.open()
	for _, r := range m.readers {
		if m.log.epoch != was {
			// Nothing was left: positions are not those of this log.
			r.saved = record.Position{}
		}
		m.attach(r)
	}
}

func (m *model) read(r *modelReader, b *record.Batch) {
	err := r.Next(b)
	if errors.Is(err, collector.ErrIdle) || errors.Is(err, io.EOF) {
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	first := -1
	for i := range b.Records {
		n := number(m.t, &b.Records[i], 0)
		if first < 0 {
			first = n
		}
		if n < r.next {
			m.t.Fatalf("record %d comes after record %d", n, r.next-1)
		}
		for ; r.next < n; r.next++ {
			r.lost[r.next] = true
		}
		r.next = n + 1
	}
	if first < 0 && b.Lost > 0 {
		// Nothing has come yet behind what is missing.
		for ; r.next < int(r.Reader.next); r.next++ {
			r.lost[r.next] = true
		}
	}
	if r.Reader.lost != int64(len(r.lost)) {
		m.t.Fatalf("the reader says that %d are lost, want %d", r.Reader.lost, len(r.lost))
	}
	if first >= 0 {
		// What was lost before it stays lost.
		r.starts = append(r.starts, given{b.Start, uint64(first)})
	}
}

func (m *model) release(r *modelReader) {
	if len(r.starts) > 0 {
		n := m.random.IntN(len(r.starts))
		r.saved, r.savedNext = r.starts[n].at, int(r.starts[n].number)
		r.starts = r.starts[n:]
		r.Release(r.saved)
	}
}

// seek moves a cursor back to a batch that was not released.
func (m *model) seek(r *modelReader) {
	if len(r.starts) == 0 {
		return
	}
	n := m.random.IntN(len(r.starts))
	to := r.starts[n]
	r.starts = r.starts[:n]
	if err := r.Seek(to.at); err != nil {
		m.t.Fatal(err)
	}
	r.next = int(to.number)
}

func (m *model) step(b *record.Batch) {
	r := m.readers[m.random.IntN(len(m.readers))]
	switch m.random.IntN(20) {
	case 0, 1, 2, 3, 4, 5:
		for range m.random.IntN(30) {
			rec := line(m.appended, m.random.IntN(300))
			m.appended++
			if err := m.log.Append(&rec, markOf(m.appended)); err != nil {
				m.t.Fatal(err)
			}
		}
	case 6, 7, 8:
		flush(m.t, m.log)
	case 9, 10, 11, 12, 13:
		m.read(r, b)
	case 14, 15:
		m.release(r)
	case 16:
		m.seek(r)
	case 17, 18:
		if err := m.spool.Sync(); err != nil {
			m.t.Fatal(err)
		}
	case 19:
		if m.random.IntN(5) == 0 {
			m.crash()
		}
	}
	if total, log := m.spool.Held(), m.log.bytes(); total != log {
		m.t.Fatalf("the spool counts %d bytes, its only log has %d", total, log)
	}
}

func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	for range 40 {
		seeds = append(seeds, rand.Uint64())
	}
	for _, budget := range []int64{DefaultBudget, 40 << 10} {
		for _, seed := range seeds {
			t.Run(fmt.Sprintf("%d/%d", budget, seed), func(t *testing.T) {
				m := &model{t: t, random: rand.New(rand.NewPCG(seed, 0)), budget: budget, options: Options{
					Dir: t.TempDir(), SegmentSize: 5000, Settle: time.Nanosecond,
				}}
				m.open()
				for range 3 {
					r := &modelReader{}
					m.readers = append(m.readers, r)
					m.attach(r)
				}
				b := record.NewBatch()
				for range 400 {
					m.step(b)
				}
				flush(t, m.log)
				for _, r := range m.readers {
					for before := -2; before != r.next; {
						before = r.next
						m.read(r, b)
					}
					if r.next != m.appended {
						t.Errorf("a reader has come to %d of %d", r.next, m.appended)
					}
					if budget == DefaultBudget && len(r.lost) != 0 {
						t.Errorf("a reader has lost %d within the budget", len(r.lost))
					}
				}
				for _, l := range m.spool.openLogs() {
					l.closeFiles()
				}
			})
		}
	}
}
