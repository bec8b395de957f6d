package spool

import (
	"errors"
	"io"
	"tallyman/collector"
	"tallyman/collector/record"
	"testing"
)

func TestDeliveredSegmentsAreRemoved(t *testing.T) {
	var saved []record.Position
	s := openSpool(t, Options{SegmentSize: 4000, Saved: func(string) []record.Position { return saved }})
	l := openLog(t, s)
	slow, fast := openReader(t, l, record.Oldest()), openReader(t, l, record.Oldest())
	for i := 0; i < 500; i += 10 {
		appendLines(t, l, i, i+10, 100)
		flush(t, l)
	}
	sync := func() int {
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		return len(segmentFiles(t, s))
	}
	all := sync()
	wantRange(t, readNumbers(t, fast, 100), 0, 500)
	if n := sync(); n != all {
		t.Fatalf("%d of %d segments are left though a reader has read nothing", n, all)
	}
	saved = []record.Position{{Gen: fast.position().Gen, Off: 200}}
	saved[0].Gen.Inode = 4
	wantRange(t, readNumbers(t, slow, 100), 0, 500)
	if n := sync(); n != all-3 {
		t.Fatalf("%d segments are left, want %d: a saved position needs them", n, all-3)
	}
	saved[0].Off = 1 << 30 // Its end: the next one is where it would go on.
	if n := sync(); n != all-4 {
		t.Fatalf("%d segments are left, want %d", n, all-4)
	}
	// That end lies in what is gone now, and nothing was lost.
	r := openReader(t, l, saved[0])
	saved = nil
	_ = r.Close()
	if n := sync(); n != 1 {
		t.Fatalf("%d segments are left, want the last", n)
	}
	if got := s.Held(); got != l.bytes() {
		t.Errorf("the spool counts %d bytes, the log has %d", got, l.bytes())
	}
}

func TestBudget(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 10000, Budget: collector.NewBudget(50000)})
	small, err := s.Log("small")
	if err != nil {
		t.Fatal(err)
	}
	if err := small.Begin(Mark{}); err != nil {
		t.Fatal(err)
	}
	appendLines(t, small, 0, 50, 100)
	flush(t, small)
	l := openLog(t, s)
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	lost, next := int64(0), 0
	for i := 0; i < 2000; i += 20 {
		appendLines(t, l, i, i+20, 100)
		flush(t, l)
		if s.Held() > 50000 {
			t.Fatalf("the spool takes %d bytes", s.Held())
		}
		if i != 300 {
			continue
		}
		if err := r.Next(b); err != nil {
			t.Fatal(err)
		}
		next = number(t, &b.Records[len(b.Records)-1], 100) + 1
	}
	told := int64(0)
	for {
		err := r.Next(b)
		if errors.Is(err, collector.ErrIdle) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		told += b.Lost
		for i := range b.Records {
			n := number(t, &b.Records[i], 100)
			lost += int64(n - next)
			next = n + 1
		}
	}
	if next != 2000 || lost == 0 || told != lost || s.Stats().Dropped.Load() != lost {
		t.Errorf("read up to %d; %d are missing, the batches tell of %d, the counter of %d", next, lost, told, s.Stats().Dropped.Load())
	}
	// Nothing was taken from the small one.
	wantRange(t, readNumbers(t, openReader(t, small, record.Oldest()), 100), 0, 50)
}

// What was evicted to the last record is told though nothing follows it, once.
func TestEvictedToTheEnd(t *testing.T) {
	for _, ended := range []bool{false, true} {
		s := openSpool(t, Options{})
		l := openLog(t, s)
		r := openReader(t, l, record.Oldest())
		b := record.NewBatch()
		appendLines(t, l, 0, 20, 100)
		flush(t, l)
		if err := r.Next(b); err != nil {
			t.Fatal(err)
		}
		back := b.Start
		back.Skip += 5 // Five of them were delivered.
		if s.GiveUp(1) == 0 {
			t.Fatal("nothing was given up")
		}
		if err := r.Seek(back); err != nil {
			t.Fatal(err)
		}
		if ended {
			l.End()
		}
		lost := int64(0)
		err := r.Next(b)
		for ; err == nil; err = r.Next(b) {
			lost += b.Lost
			r.Release(b.End)
		}
		if lost != 15 || s.Stats().Dropped.Load() != 15 || errors.Is(err, io.EOF) != ended {
			t.Errorf("ended=%v: the batches tell of %d missing records, the counter of %d, then %v", ended, lost, s.Stats().Dropped.Load(), err)
		}
		appendLines(t, l, 20, 30, 100)
		flush(t, l)
		wantRange(t, readNumbers(t, r, 100), 20, 30)
		if r.lost != 15 {
			t.Errorf("%d are counted in the end", r.lost)
		}
	}
}

// What was read and evicted before it was delivered is counted when the cursor
// is moved back to it.
func TestSeekIntoWhatWasEvicted(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 5000, Budget: collector.NewBudget(20000)})
	l := openLog(t, s)
	r := openReader(t, l, record.Oldest())
	appendLines(t, l, 0, 20, 100)
	flush(t, l)
	b := record.NewBatch()
	if err := r.Next(b); err != nil {
		t.Fatal(err)
	}
	back := b.Start
	back.Skip += 5 // Five of them were delivered.
	for i := 20; i < 1000; i += 20 {
		appendLines(t, l, i, i+20, 100)
		flush(t, l)
	}
	if err := r.Seek(back); err != nil {
		t.Fatal(err)
	}
	got := readNumbers(t, r, 100)
	wantRange(t, got, got[0], 1000)
	if want := int64(got[0] - 5); r.lost != want {
		t.Errorf("the reader has lost %d, want %d", r.lost, want)
	}
}
