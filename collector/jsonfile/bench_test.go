package jsonfile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"tallyman/collector"
	"tallyman/collector/record"
)

// BenchmarkRead reads a log from its beginning to its end: the blocks, the lines
// in them, their positions.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{80, 200, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			const bytes = 8 << 20
			root := openRoot(b)
			w := newWriter(b, root.dir)
			text := strings.Repeat("10.0.0.1 GET /api/v1/items 200 5123 rt=0.012 ", size/40+1)[:size]
			var written strings.Builder
			for range bytes / size {
				written.Write(dockerLine(text+"\n", record.Stdout, w.tick()))
			}
			_, err := w.file.WriteString(written.String())
			w.must(err)
			r := openReader(b, mustLog(b, root, running(w.id)), record.Position{})
			batch := record.NewBatch()
			b.SetBytes(int64(written.Len()))
			b.ReportAllocs()
			lines := 0
			for b.Loop() {
				w.must(r.Seek(record.Position{}))
				for {
					err := r.Next(batch)
					if errors.Is(err, collector.ErrIdle) {
						break
					}
					w.must(err)
					lines += len(batch.Records)
				}
			}
			if lines != b.N*(bytes/size) {
				b.Fatalf("%d lines were read in %d rounds", lines, b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines), "ns/line")
		})
	}
}

// BenchmarkUnescape undoes the escapes of a line that is JSON itself.
func BenchmarkUnescape(b *testing.B) {
	text := []byte(strings.Repeat(`{\"level\":\"info\",\"path\":\"C:\\\\srv\",\"html\":\"\u003cb\u003e\",\"status\":200} `, 3)[:200] + `\n"`)
	scratch := make([]byte, len(text))
	first := strings.IndexByte(string(text), '\\')
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		copy(scratch, text)
		unescape(scratch, first)
	}
}

// BenchmarkMemory reports what the log of a container takes that has been read,
// and each reader of it.
func BenchmarkMemory(b *testing.B) {
	const logs, readers = 200, 4
	root := openRoot(b)
	for range logs {
		w := newWriter(b, root.dir)
		w.line("a line\n", record.Stdout)
	}
	entries, err := os.ReadDir(root.dir)
	if err != nil {
		b.Fatal(err)
	}
	var before, between, after runtime.MemStats
	measure := func(m *runtime.MemStats) {
		runtime.GC()
		runtime.GC() // What pools hold goes in the second.
		runtime.ReadMemStats(m)
	}
	batch, changed := record.NewBatch(), func() {}
	for b.Loop() {
		measure(&before)
		for _, e := range entries {
			mustLog(b, root, running(e.Name()))
		}
		measure(&between)
		for _, e := range entries {
			l := mustLog(b, root, running(e.Name()))
			for range readers {
				r, err := l.Reader(record.Position{}, changed)
				if err != nil {
					b.Fatal(err)
				}
				if lines, _, _ := drain(b, r, batch); len(lines) != 1 {
					b.Fatalf("%d lines were read", len(lines))
				}
			}
		}
		measure(&after)
		for _, e := range entries {
			root.drop(e.Name())
		}
	}
	b.ReportMetric(float64(between.HeapAlloc-before.HeapAlloc)/logs, "B/log")
	b.ReportMetric(float64(after.HeapAlloc-between.HeapAlloc)/logs/readers, "B/reader")
}
