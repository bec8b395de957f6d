package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"tallyman/collector"
	"tallyman/collector/record"
	"testing"
	"time"
)

func TestAppendAndRead(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 100 << 10})
	l := openLog(t, s)
	r := openReader(t, l, record.Oldest())
	if err := r.Next(record.NewBatch()); !errors.Is(err, collector.ErrIdle) {
		t.Fatalf("Next on an empty log: %v", err)
	}
	appendLines(t, l, 0, 2000, 200)
	flush(t, l)
	wantRange(t, readNumbers(t, r, 200), 0, 2000)
	// The end is after what was written.
	end := openReader(t, l, record.End())
	appendLines(t, l, 2000, 2001, 200)
	flush(t, l)
	wantRange(t, readNumbers(t, end, 200), 2000, 2001)
	if err := r.Next(record.NewBatch()); err != nil {
		t.Fatal(err)
	}
	l.End()
	if err := r.Next(record.NewBatch()); !errors.Is(err, io.EOF) {
		t.Fatalf("Next after the end: %v", err)
	}
}

func TestLongLines(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 1 << 20})
	l := openLog(t, s)
	r := openReader(t, l, record.Oldest())
	sizes := []int{0, 1, blockBytes - 1, blockBytes, record.BlockSize, 1 << 20, 10, 3 << 20}
	for i, n := range sizes {
		rec := record.Record{Time: int64(i), Line: bytes.Repeat([]byte{byte('a' + i)}, n)}
		if err := l.Append(&rec, markOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, l)
	i := 0
	for b := record.NewBatch(); i < len(sizes); {
		if err := r.Next(b); err != nil {
			t.Fatal(err)
		}
		for _, rec := range b.Records {
			if !bytes.Equal(rec.Line, bytes.Repeat([]byte{byte('a' + i)}, sizes[i])) {
				t.Fatalf("line %d has %d bytes, want %d", i, len(rec.Line), sizes[i])
			}
			i++
		}
	}
	if err := l.Append(&record.Record{Line: make([]byte, MaxLine+1)}, Mark{}); err == nil {
		t.Error("a line over the maximum was taken")
	}
}

// Every record says from where a reader gets what follows it.
func TestResumeAfterEachRecord(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 3000})
	l := openLog(t, s)
	for i := range 60 {
		appendLines(t, l, i, i+1, 100)
		if i%7 == 6 {
			flush(t, l)
		}
	}
	flush(t, l)
	r := openReader(t, l, record.Oldest())
	for b, n := record.NewBatch(), 0; n < 60; {
		if err := r.Next(b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			n++
			at := record.Position{Gen: b.End.Gen, Off: b.Records[i].Resume, Skip: b.Records[i].Skip}
			wantRange(t, readNumbers(t, openReader(t, l, at), 100), n, 60)
			at = b.Start
			at.Skip += uint32(i + 1)
			wantRange(t, readNumbers(t, openReader(t, l, at), 100), n, 60)
		}
	}
}

func TestPositionsOfOthersDoNotMatch(t *testing.T) {
	s := openSpool(t, Options{})
	l := openLog(t, s)
	appendLines(t, l, 0, 10, 50)
	flush(t, l)
	at := openReader(t, l, record.End()).Position()
	for name, change := range map[string]func(*record.Position){
		"a file's":          func(p *record.Position) { p.Gen.Len = 120 },
		"another spool's":   func(p *record.Position) { p.Gen.Sum++ },
		"an evicted place":  func(p *record.Position) { p.Gen.Inode = 0; p.Off = 100 },
		"a file's by inode": func(p *record.Position) { p.Gen = record.Generation{Inode: 1} },
	} {
		p := at
		change(&p)
		r, err := l.Reader(p, func() {})
		var lost *collector.LostError
		if !errors.As(err, &lost) {
			t.Fatalf("%s: %v, want a LostError", name, err)
		}
		wantRange(t, readNumbers(t, r, 50), 0, 10)
		_ = r.Close()
	}
}

func TestReopenKeepsMarkAndPositions(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir, SegmentSize: 2000})
	l := openLog(t, s)
	l.SetContainer(&record.Container{ID: testID, Name: "web", Labels: map[string]string{"a": "b"}})
	appendLines(t, l, 0, 100, 100)
	flush(t, l)
	appendLines(t, l, 100, 105, 100) // Never written: the process dies.
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	if err := r.Next(b); err != nil {
		t.Fatal(err)
	}
	n := len(b.Records)

	l = openLog(t, openSpool(t, Options{Dir: dir, SegmentSize: 2000}))
	if got := l.Mark(); got != markOf(100) {
		t.Fatalf("mark %+v, want %+v", got, markOf(100))
	}
	if c := l.Container(); c.Name != "web" || c.Label("a") != "b" {
		t.Errorf("the container is %+v", c)
	}
	appendLines(t, l, 100, 120, 100)
	flush(t, l)
	wantRange(t, readNumbers(t, openReader(t, l, b.End), 100), n, 120)
	wantRange(t, readNumbers(t, openReader(t, l, b.Start), 100), 0, 120)
}

func TestCorruptBlockCostsItselfOnly(t *testing.T) {
	for name, at := range map[string]int64{"header": 20, "length": 5, "payload": headerSize + 30} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openSpool(t, Options{Dir: dir})
			l := openLog(t, s)
			blocks := []int64{}
			for i := 0; i < 50; i += 10 {
				blocks = append(blocks, l.last().size.Load())
				appendLines(t, l, i, i+10, 100)
				flush(t, l)
			}
			path := l.last().path
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{0xff, 0xfe}, blocks[2]+at); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			s = openSpool(t, Options{Dir: dir})
			l = openLog(t, s)
			if got := l.Mark(); got != markOf(50) {
				t.Errorf("mark %+v", got)
			}
			for range 2 {
				r := openReader(t, l, record.Oldest())
				got := readNumbers(t, r, 100)
				if len(got) != 40 || got[19] != 19 || got[20] != 30 {
					t.Fatalf("read %v", got)
				}
				if r.lost != 10 {
					t.Errorf("the reader has lost %d, want 10", r.lost)
				}
			}
			if dropped := s.Stats().Dropped.Load(); dropped != 20 || s.Stats().CorruptBlocks.Load() != 1 {
				t.Errorf("dropped %d, corrupt blocks %d", dropped, s.Stats().CorruptBlocks.Load())
			}
			list, err := Verify(dir)
			if err != nil || len(list) != 1 || list[0].Corrupt != 1 || list[0].Records != 40 || len(list[0].Damages) != 1 ||
				list[0].First.UnixNano() != line(0, 0).Time || list[0].Last.UnixNano() != line(49, 0).Time {
				t.Errorf("Verify: %+v, %v", list, err)
			}
			if list, err = List(dir); err != nil || list[0].Segments != 1 || (list[0].Corrupt == 1) != (name != "payload") {
				t.Errorf("List: %+v, %v", list, err)
			}
		})
	}
}

// A line that looks like a block is not taken for one.
func TestForgedBlock(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, openSpool(t, Options{Dir: dir}))
	forged := make([]byte, headerSize)
	h := header{length: 20, count: 1, epoch: l.epoch + 1, first: 1}
	h.put(forged)
	rec := record.Record{Line: append(forged, make([]byte, 20)...)}
	if err := l.Append(&rec, markOf(1)); err != nil {
		t.Fatal(err)
	}
	flush(t, l)
	appendLines(t, l, 1, 2, 100)
	flush(t, l)
	f, err := os.OpenFile(l.last().path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0}, segmentHeaderSize)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	wantRange(t, readNumbers(t, openReader(t, openLog(t, openSpool(t, Options{Dir: dir})), record.Oldest()), 100), 1, 2)
}

func TestReadersAtAnEndNotYetKnown(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir})
	l, err := s.Log(testID)
	if err != nil {
		t.Fatal(err)
	}
	early := openReader(t, l, record.End())
	if err := l.Begin(Mark{Head: 77}); err != nil {
		t.Fatal(err)
	}
	history := openReader(t, l, record.Oldest())
	for i := range 10 {
		rec, m := line(i, 50), markOf(i+1)
		m.Head = 77
		if err := l.Append(&rec, m); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, l)
	if early.Position() != record.Oldest() {
		t.Errorf("the position of a waiting reader is %+v", early.Position())
	}
	wantRange(t, readNumbers(t, early, 50), 0, 0)
	// Also after a restart the end is not known.
	again, err := openSpool(t, Options{Dir: dir}).Log(testID)
	if err != nil {
		t.Fatal(err)
	}
	if m := again.Mark(); m.Head != 77 || !again.Begun() {
		t.Errorf("after a restart the mark is %+v", m)
	}
	wantRange(t, readNumbers(t, openReader(t, again, record.End()), 50), 0, 0)
	if err := l.SettleEnd(); err != nil {
		t.Fatal(err)
	}
	appendLines(t, l, 10, 15, 50)
	flush(t, l)
	wantRange(t, readNumbers(t, early, 50), 10, 15)
	wantRange(t, readNumbers(t, history, 50), 0, 15)
	if err := early.Seek(record.Oldest()); err != nil {
		t.Fatal(err)
	}
	wantRange(t, readNumbers(t, early, 50), 10, 15)
}

func TestWriteFailures(t *testing.T) {
	for name, fault := range map[string]fault{
		"the disk is full":           {write: syscall.ENOSPC, short: 50, create: syscall.ENOSPC},
		"the disk is read-only":      {write: syscall.EROFS, create: syscall.EROFS, mkdir: syscall.EROFS},
		"no new file can be made":    {create: syscall.ENOSPC},
		"the folder can't be synced": {syncDir: syscall.EIO},
		"a segment can't be synced":  {sync: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			files := &faultyFiles{}
			o := Options{Dir: t.TempDir(), SegmentSize: 3000, Settle: time.Nanosecond}
			s, err := open(o, files)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			l := openLog(t, s)
			r := openReader(t, l, record.Oldest())
			appendLines(t, l, 0, 25, 100)
			flush(t, l)
			written := l.Mark()
			files.set(fault)
			i := 25
			for ; i < 5000; i++ {
				rec := line(i, 100)
				if err := l.Append(&rec, markOf(i+1)); err != nil {
					break
				}
			}
			if i == 5000 {
				t.Fatal("a broken disk took everything")
			}
			if err := l.Flush(); err == nil {
				t.Fatal("Flush told no error")
			}
			if got := l.Mark(); got != markOf(i) {
				t.Errorf("the mark is %+v though record %d was not taken", got, i)
			}
			if s.Stats().WriteErrors.Load() < 2 {
				t.Error("the errors were not counted")
			}
			// A crash now: what was not written is copied again.
			other, err := openSpool(t, Options{Dir: o.Dir}).Log(testID)
			if err != nil {
				t.Fatal(err)
			}
			if got := other.Mark(); got != written {
				t.Errorf("on disk the mark is %+v, want %+v", got, written)
			}
			files.set(faultNone)
			appendLines(t, l, i, i+10, 100)
			flush(t, l)
			wantRange(t, readNumbers(t, r, 100), 0, i+10)
		})
	}
}

var faultNone fault

func TestRemove(t *testing.T) {
	s := openSpool(t, Options{})
	l := openLog(t, s)
	appendLines(t, l, 0, 10, 100)
	flush(t, l)
	if err := s.Remove(testID); err != nil {
		t.Fatal(err)
	}
	if len(s.Containers()) != 0 || s.Held() != 0 {
		t.Errorf("%v is left with %d bytes", s.Containers(), s.Held())
	}
	if l := openLog(t, s); l.Mark() != (Mark{}) {
		t.Errorf("the mark of a new log is %+v", l.Mark())
	}
	if _, err := s.Log("../x"); err == nil {
		t.Error("a path was taken for a container's ID")
	}
}

// A writer, readers, evictions and syncs at the same time.
func TestConcurrent(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 20 << 10, Budget: collector.NewBudget(200 << 10)})
	l := openLog(t, s)
	const lines = 20000
	var group sync.WaitGroup
	for range 3 {
		wake := make(chan struct{}, 1)
		r, err := l.Reader(record.Oldest(), func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			next, lost := 0, int64(0)
			for b := record.NewBatch(); ; {
				err := r.Next(b)
				if errors.Is(err, io.EOF) {
					break
				}
				if errors.Is(err, collector.ErrIdle) {
					<-wake
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				for i := range b.Records {
					n := number(t, &b.Records[i], 100)
					lost += int64(n - next)
					next = n + 1
				}
				r.Release(b.End)
			}
			if next != lines || r.(*Reader).lost != lost {
				t.Errorf("read up to %d of %d; %d are missing, the reader says %d", next, lines, lost, r.(*Reader).lost)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	stop := make(chan struct{})
	var syncing sync.WaitGroup
	syncing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := 0; i < lines; i += 10 {
		appendLines(t, l, i, i+10, 100)
		flush(t, l)
	}
	l.End()
	group.Wait()
	close(stop)
	syncing.Wait()
}
