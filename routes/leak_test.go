package routes_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"tallyman/routes"
)

// TestManyShortContainers: a thousand containers with large labels come, write
// and go: nothing of them is kept.
func TestManyShortContainers(t *testing.T) {
	f := &factory{book: newLedger()}
	p := newPositions()
	table := newTable(t, routes.TableConfig{Positions: p}, nil)
	stop := run(t, table)
	apply(t, table, f.catalog(), "fake://a:1", "fake://b:1")
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // What pools hold goes in the second.
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const containers, label = 1000, 100 << 10
	before := heap()
	for i := range containers {
		id := fmt.Sprint("c", i)
		c := newContainer(id)
		c.Labels = map[string]string{"big": strings.Repeat("x", label)}
		l := newLog(t, c)
		table.Found(l)
		l.write(1)
		l.end()
		table.Gone(id)
		eventually(t, "the log is let go", func() bool { return l.open() == 0 })
	}
	table.Save() // What has moved is kept until then.
	if after := heap(); after > before+containers*label/10 {
		t.Fatalf("%d bytes are held after %d containers", after-before, containers)
	}
	stop()
	if f.book.total() != 2*containers || len(p.saved("fake://a:1")) != 0 {
		t.Fatalf("%d lines came and %d positions are left", f.book.total(), len(p.saved("fake://a:1")))
	}
}
