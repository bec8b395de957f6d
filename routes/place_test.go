package routes_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestPlaceOfALateEnd: a route that begins at the end of a log whose end is not
// known yet keeps the place where that turned out to be, whether or not lines have
// come since that cannot be delivered. A restart goes on there, and not at the
// oldest line.
func TestPlaceOfALateEnd(t *testing.T) {
	for _, lines := range []int{0, 7} {
		synctest.Test(t, func(t *testing.T) {
			a := &syncAdapter{book: newLedger(), answer: func(context.Context, []string) error { return errBroken }}
			p := newPositions()
			table := newTable(t, routes.TableConfig{Positions: p}, map[string]adapters.Adapter{uri: a})
			l := newLog(t, record.Container{ID: "old", Created: time.Unix(1, 0)})
			l.write(25)
			l.unsettled = true
			table.Found(l)
			stop := run(t, table)
			synctest.Wait()
			l.change(func() { l.unsettled = false })
			synctest.Wait()
			l.write(lines)
			time.Sleep(time.Second)
			stop()
			if at := p.saved(uri)["old"]; at != place(25) {
				t.Errorf("with %d lines behind the end the position is %v", lines, at)
			}
		})
	}
}
