package spool

import (
	"bytes"
	"hash/crc32"
	"path/filepath"
	"testing"

	"tallyman/collector"
	"tallyman/collector/record"
)

// makeBlock makes a block of records.
func makeBlock(records []record.Record, epoch uint64) []byte {
	b := make([]byte, headerSize)
	h := header{epoch: epoch, count: uint32(len(records)), first: 42, mark: markOf(7), firstTime: records[0].Time, lastTime: records[0].Time}
	for i := range records {
		b = appendRecord(b, &records[i], h.lastTime)
		h.lastTime = records[i].Time
	}
	h.length = uint32(len(b) - headerSize)
	h.sum = crc32.Checksum(b[headerSize:], castagnoli)
	h.put(b)
	return b
}

func FuzzBlock(f *testing.F) {
	good := makeBlock([]record.Record{line(0, 10), line(1, 0), line(2, 300)}, 9)
	f.Add(good, uint32(0))
	f.Add(good[headerSize:], uint32(1))
	f.Add([]byte{}, uint32(3))
	f.Fuzz(func(t *testing.T, data []byte, skip uint32) {
		_, _, _ = getBlock(data, 9)
		_ = findBlock(data, 9)
		_, _ = getSegmentHeader(data)
		// As a payload whose checksum is right.
		if len(data) < 2 || len(data) > 1<<16 {
			return
		}
		for _, count := range []uint32{1, uint32(data[0]) + 1, uint32(len(data) / 2)} {
			b := make([]byte, headerSize, headerSize+len(data))
			h := header{epoch: 9, count: count, length: uint32(len(data)), sum: crc32.Checksum(data, castagnoli)}
			h.put(b)
			b = append(b, data...)
			got, payload, err := getBlock(b, 9)
			if err != nil {
				continue
			}
			all, err := appendRecords(nil, &got, payload, 0, 0)
			if err != nil {
				continue
			}
			if uint32(len(all)) != count {
				t.Fatalf("%d records, want %d", len(all), count)
			}
			rest, err := appendRecords(nil, &got, payload, 0, skip)
			if err != nil || uint32(len(rest)) != count-min(skip, count) {
				t.Fatalf("behind %d: %d records, %v", skip, len(rest), err)
			}
			// What was read is written the same.
			again, _, err := getBlock(makeBlock(all, 9), 9)
			if err != nil || again.count != count {
				t.Fatalf("written again: %+v, %v", again, err)
			}
		}
	})
}

func TestFindBlockAcrossDamage(t *testing.T) {
	block := makeBlock([]record.Record{line(0, 100)}, 9)
	if at := findBlock(append(bytes.Repeat([]byte("TYBK"), 50), block...), 9); at != 200 {
		t.Errorf("found at %d, want 200", at)
	}
	if at := findBlock(block, 8); at != -1 {
		t.Errorf("a block of another log was found at %d", at)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "s"), Budget: collector.NewBudget(64 << 20)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := openLog(b, s)
	rec := line(1, 200)
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(&rec, markOf(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s, err := Open(Options{Dir: filepath.Join(b.TempDir(), "s")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l := openLog(b, s)
	appendLines(b, l, 0, 100000, 200)
	flush(b, l)
	r, err := l.Reader(record.Oldest(), func() {})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	batch := record.NewBatch()
	b.SetBytes(200)
	b.ReportAllocs()
	for n := 0; n < b.N; {
		switch err := r.Next(batch); err {
		case nil:
			n += len(batch.Records)
		case collector.ErrIdle:
			// Once more from the beginning.
			_ = r.Close()
			if r, err = l.Reader(record.Oldest(), func() {}); err != nil {
				b.Fatal(err)
			}
		default:
			b.Fatal(err)
		}
	}
}
