package routes

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// shaped are lines like those of a busy service.
var shaped = []string{
	`10.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET /api/orders/17?page=2 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64)"`,
	`{"level":"info","ts":"2026-11-21T10:00:00.123Z","caller":"orders/place.go:42","msg":"order placed","order":"17","took":"3.2ms"}`,
	`2026-11-21 10:00:00.123  INFO 1 --- [nio-8080-exec-1] c.e.shop.Orders : order 17 is placed`,
	`time="2026-11-21T10:00:00Z" level=warning msg="slow query" took=1.2s table=orders`,
}

// bench is a batch of 256 KiB of lines of a length, and what a route does with it.
type bench struct {
	stages  *stages
	batch   *record.Batch
	records []record.Record
	m       manifest
	flight  flight
}

func newBench(t testing.TB, options string, length int) *bench {
	t.Helper()
	catalog := Catalog{Adapters: []adapters.Description{{Name: "fake"}}}
	d, err := catalog.Parse("fake://h:1?" + options)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlan(&d.Filter, &d.Lines)
	b := &bench{batch: record.NewBatch(), stages: newStages(&p, new(desk))}
	for n := range record.BlockSize / length {
		text := strings.Repeat(shaped[n%len(shaped)], length/len(shaped[n%len(shaped)])+1)[:length]
		b.records = append(b.records, record.Record{Time: int64(n) * 1e6, Line: []byte(text)})
	}
	return b
}

// run does what a turn does between reading and sending.
func (b *bench) run() {
	b.batch.Reset()
	b.batch.Records = append(b.batch.Records, b.records...)
	b.m.reset()
	for i := range b.records {
		b.m.lengths = append(b.m.lengths, uint32(len(b.records[i].Line)))
	}
	b.stages.run(b.batch, &b.m)
	b.flight.manifest = b.m
	b.stages.hold(&b.flight)
}

// processorTime returns how much time the processors have spent on this process,
// which does not depend on what else a machine does.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tenFilters are all filters there are, of which those of containers are asked
// once for each container only.
const tenFilters = "filter.id=0a&filter.name=web*,!*_test&filter.image=shop*&filter.project=shop&filter.service=web,api&filter.labels=a|b" +
	"&filter.sources=stdout&filter.include=order|slow&filter.exclude=/health|(?i)favicon&filter.level=info"

func BenchmarkStages(b *testing.B) {
	f := func(name, options string) {
		for _, length := range []int{80, 200, 1000} {
			b.Run(fmt.Sprint(name, "/", length), func(b *testing.B) {
				bench := newBench(b, options, length)
				b.SetBytes(int64(len(bench.records) * length))
				b.ReportAllocs()
				before := processorTime(b)
				for b.Loop() {
					bench.run()
				}
				b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/float64(len(bench.records)), "cpu-ns/line")
			})
		}
	}
	f("stream", "filter.sources=stdout")
	f("ten filters and redaction", tenFilters+"&redact=bearer,card,email")
	f("level", "filter.level=warning")
	f("rate", "rate=1000000/s")
	f("java", "multiline=java")
	f("pattern", "multiline=^[0-9{]")
}
