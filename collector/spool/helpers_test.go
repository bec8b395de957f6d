package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
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
