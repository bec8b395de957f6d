package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/collector"
	"tallyman/collector/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testID = "c0ffee"

func openSpool(t testing.TB, o Options) *Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "spool")
	}
	if o.Settle == 0 {
		o.Settle = time.Nanosecond
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openLog(t testing.TB, s *Spool) *Log {
	t.Helper()
	l, err := s.Log(testID)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Begin(Mark{}); err != nil {
		t.Fatal(err)
	}
	return l
}

// line is the record with a number. Its mark is the number after it.
func line(i int, size int) record.Record {
	text := fmt.Appendf(nil, "%d ", i)
	for len(text) < size {
		text = append(text, byte('a'+i%26))
	}
	return record.Record{Time: int64(1e18) + int64(i)*1000, Line: text, Stream: record.Stream(i % 2), Cut: i%7 == 0}
}

func markOf(i int) Mark { return Mark{Base: int64(i), Last: int64(i) + 1, Count: uint32(i)} }

func appendLines(t testing.TB, l *Log, from, to, size int) {
	t.Helper()
	for i := from; i < to; i++ {
		r := line(i, size)
		if err := l.Append(&r, markOf(i+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

func openReader(t testing.TB, l *Log, from record.Position) *Reader {
	t.Helper()
	r, err := l.Reader(from, func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r.(*Reader)
}

// number reads the number in a line.
func number(t testing.TB, r *record.Record, size int) int {
	t.Helper()
	var i int
	if _, err := fmt.Sscan(string(r.Line[:min(len(r.Line), 20)]), &i); err != nil {
		t.Fatalf("line %.40q: %v", r.Line, err)
	}
	if want := line(i, size); size > 0 && (!bytes.Equal(r.Line, want.Line) || r.Time != want.Time || r.Stream != want.Stream || r.Cut != want.Cut) {
		t.Fatalf("record %d is %+.60v, want %+.60v", i, *r, want)
	}
	return i
}

// readNumbers reads until there is nothing more.
func readNumbers(t testing.TB, r collector.Reader, size int) []int {
	t.Helper()
	var got []int
	for b := record.NewBatch(); ; {
		err := r.Next(b)
		if errors.Is(err, collector.ErrIdle) || errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Records {
			got = append(got, number(t, &b.Records[i], size))
		}
		r.Release(b.End)
	}
}

func wantRange(t testing.TB, got []int, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("%d records, want %d (%d to %d): %.80v", len(got), to-from, from, to, fmt.Sprint(got))
	}
	for i, n := range got {
		if n != from+i {
			t.Fatalf("record %d is number %d, want %d", i, n, from+i)
		}
	}
}

func segmentFiles(t testing.TB, s *Spool) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.options.Dir, testID, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

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
			dropped := int64(0)
			s = openSpool(t, Options{Dir: dir, Dropped: func(_ string, n int64) { dropped += n }})
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
				if r.Lost() != 10 {
					t.Errorf("the reader has lost %d, want 10", r.Lost())
				}
			}
			if dropped != 20 || s.Stats().CorruptBlocks.Load() != 1 {
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
	if got := s.Bytes(); got != l.bytes() {
		t.Errorf("the spool counts %d bytes, the log has %d", got, l.bytes())
	}
}

func TestBudget(t *testing.T) {
	dropped := map[string]int64{}
	s := openSpool(t, Options{SegmentSize: 10000, Budget: 50000, Dropped: func(id string, n int64) { dropped[id] += n }})
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
		if s.Bytes() > 50000 {
			t.Fatalf("the spool takes %d bytes", s.Bytes())
		}
		if i != 300 {
			continue
		}
		if err := r.Next(b); err != nil {
			t.Fatal(err)
		}
		next = number(t, &b.Records[len(b.Records)-1], 100) + 1
	}
	for _, n := range readNumbers(t, r, 100) {
		lost += int64(n - next)
		next = n + 1
	}
	if next != 2000 || lost == 0 || r.Lost() != lost || dropped[testID] != lost {
		t.Errorf("read up to %d; %d are missing, the reader says %d, the callback %d", next, lost, r.Lost(), dropped[testID])
	}
	// Nothing was taken from the small one.
	wantRange(t, readNumbers(t, openReader(t, small, record.Oldest()), 100), 0, 50)
	if dropped["small"] != 0 {
		t.Errorf("%d were dropped of the small log", dropped["small"])
	}
}

// What was read and evicted before it was delivered is counted when the cursor
// is moved back to it.
func TestSeekIntoWhatWasEvicted(t *testing.T) {
	s := openSpool(t, Options{SegmentSize: 5000, Budget: 20000})
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
	if want := int64(got[0] - 5); r.Lost() != want {
		t.Errorf("the reader has lost %d, want %d", r.Lost(), want)
	}
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
	if len(s.Containers()) != 0 || s.Bytes() != 0 {
		t.Errorf("%v is left with %d bytes", s.Containers(), s.Bytes())
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
	s := openSpool(t, Options{SegmentSize: 20 << 10, Budget: 200 << 10})
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
			if next != lines || r.(*Reader).Lost() != lost {
				t.Errorf("read up to %d of %d; %d are missing, the reader says %d", next, lines, lost, r.(*Reader).Lost())
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
