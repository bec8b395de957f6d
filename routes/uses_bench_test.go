package routes

import (
	"fmt"
	"testing"

	"tallyman/collector/record"
)

// BenchmarkLogUse counts batches of 1,000 lines: the first time, and when another
// route has read them before.
func BenchmarkLogUse(b *testing.B) {
	const lines = 1000
	batch := record.NewBatch()
	for i := range lines {
		batch.Records = append(batch.Records, record.Record{Line: fmt.Appendf(nil, "10.0.0.1 GET /api/v1/things/%d 200", i), Stream: record.Stream(i % 2)})
	}
	f := func(name string, levels bool, step int64) {
		b.Run(name, func(b *testing.B) {
			use := newLogUse(levels)
			now := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				if now == 0 || step > 0 {
					for i := range batch.Records {
						now++
						batch.Records[i].Time = now
					}
				}
				use.add(batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
		})
	}
	f("first", false, 1)
	f("again", false, 0)
	f("levels", true, 1)
}
