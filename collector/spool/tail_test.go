package spool

import (
	"testing"

	"tallyman/collector/record"
)

// TestBeforeEnd: a reader that begins n records before the end reads the last n,
// from any segment and any place in a block, and again after it was sought back.
func TestBeforeEnd(t *testing.T) {
	const lines, size = 3000, 400
	s := openSpool(t, Options{SegmentSize: 300 << 10})
	l := openLog(t, s)
	appendLines(t, l, 0, lines, size)
	flush(t, l)
	if len(segmentFiles(t, s)) < 3 {
		t.Fatal("there are too few segments")
	}
	for _, n := range []int{0, 1, 2, 163, 1000, lines - 1, lines, lines + 1} {
		r := openReader(t, l, record.BeforeEnd(uint32(n)))
		begun := r.Position()
		wantRange(t, readNumbers(t, r, size), max(0, lines-n), lines)
		if err := r.Seek(begun); err != nil {
			t.Fatal(err)
		}
		wantRange(t, readNumbers(t, r, size), max(0, lines-n), lines)
		if r.lost > 0 {
			t.Errorf("%d records count as lost", r.lost)
		}
	}
}

// TestBeforeAnEndNotYetKnown: it begins when the end is known.
func TestBeforeAnEndNotYetKnown(t *testing.T) {
	s := openSpool(t, Options{})
	l, err := s.Log(testID)
	if err != nil {
		t.Fatal(err)
	}
	r := openReader(t, l, record.BeforeEnd(3))
	if err := l.Begin(Mark{Head: 77}); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		rec, m := line(i, 50), markOf(i+1)
		m.Head = 77
		if err := l.Append(&rec, m); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, l)
	wantRange(t, readNumbers(t, r, 50), 0, 0)
	if err := l.SettleEnd(); err != nil {
		t.Fatal(err)
	}
	appendLines(t, l, 10, 12, 50)
	flush(t, l)
	wantRange(t, readNumbers(t, r, 50), 7, 12)
	if err := r.Seek(record.Oldest()); err != nil {
		t.Fatal(err)
	}
	wantRange(t, readNumbers(t, r, 50), 7, 12)
}
