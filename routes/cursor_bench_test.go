package routes

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"tallyman/adapters"
	"tallyman/collector"
	"tallyman/collector/record"
)

// stillLog is a log in which nothing is to be read.
type stillLog struct{ container *record.Container }

func (l *stillLog) Container() *record.Container { return l.container }

func (l *stillLog) Reader(record.Position, func()) (collector.Reader, error) {
	return &stillReader{}, nil
}

type stillReader struct{ collector.Reader }

func (*stillReader) Position() record.Position { return record.Position{} }

// BenchmarkMemory reports what a route keeps of a container of which it has
// delivered something: its cursor and account.
func BenchmarkMemory(b *testing.B) {
	const containers = 1000
	logs := make([]*stillLog, containers)
	for i := range logs {
		logs[i] = &stillLog{container: &record.Container{ID: fmt.Sprintf("%064x", i)}}
	}
	f := func(options string) {
		b.Run(cmp.Or(options, "plain"), func(b *testing.B) {
			catalog := Catalog{Adapters: []adapters.Description{{Name: "fake"}}}
			d, err := catalog.Parse("fake://h:1?" + options)
			if err != nil {
				b.Fatal(err)
			}
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				r := newRoute(routeConfig{Filter: d.Filter, Lines: d.Lines, Stats: new(Stats), Logger: slog.New(slog.DiscardHandler)})
				for _, l := range logs {
					if err := r.found(l); err != nil {
						b.Fatal(err)
					}
				}
				r.mu.Lock()
				for _, c := range r.cursors {
					n := record.Count{Lines: 1, Bytes: 200}
					r.takeOffLocked(c, n)
					r.enterLocked(c, record.Generation{Inode: 1}, &record.Account{Delivered: n})
				}
				r.saveLocked(r.first)
				r.mu.Unlock()
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(r)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/containers, "B/container")
		})
	}
	f("")
	f("filter.include=GET")
	f("multiline=java")
}
