package routes_test

import (
	"context"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestLogUse: each line is counted once, whatever two routes, one of which has to
// send everything twice and the other does not want all of it, and a viewer read.
func TestLogUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, levels := range []bool{false, true} {
			var times atomic.Int64
			failing := &syncAdapter{answer: func(context.Context, []string) error {
				if times.Add(1)%2 == 1 {
					return errBroken
				}
				return nil
			}, book: newLedger()}
			book := newLedger()
			table := newTable(t, routes.TableConfig{LogLevels: levels}, map[string]adapters.Adapter{
				uri + "?filter.name=c":          failing,
				uri + "?filter.sources=stdout":  &syncAdapter{book: book},
				uri + "?filter.name=not-a-name": &syncAdapter{book: newLedger()},
			})
			c := newContainer("c")
			c.Name = "c"
			l := newLog(t, c)
			if _, ok := table.LogUse("c"); ok {
				t.Error("something is known of a container that there is not")
			}
			table.Found(l)
			if use, ok := table.LogUse("c"); !ok || !reflect.DeepEqual(use, record.LogUse{}) {
				t.Errorf("before the first line there is %v, %v", use, ok)
			}
			stop := run(t, table)
			viewing, leave := context.WithCancel(t.Context())
			left := make(chan struct{})
			go func() {
				defer close(left)
				table.Stream(viewing, "viewer", routes.Filter{ID: "c"}, &syncAdapter{book: newLedger()})
			}()
			eventually(t, "all read", func() bool { return l.open() == 3 })
			l.write(95)
			l.add(entry{text: "c:95", stream: record.Stderr}, entry{text: "c:96 level=warning", stream: record.Stderr}, entry{text: "c:97 level=error"})
			settled := func() bool {
				for _, r := range table.Routes() {
					if r.Lag().Bytes > 0 {
						return false
					}
				}
				return true
			}
			eventually(t, "all is delivered", settled)
			use, _ := table.LogUse("c")
			out, err := use[record.Stdout], use[record.Stderr]
			if out.Lines != 96 || out.Bytes != 10*3+85*4+16 || out.Newest != 1097 || err.Lines != 2 || err.Bytes != 22 || err.Newest != 1096 {
				t.Errorf("counted are %+v", use)
			}
			wantOut := []record.LevelCount{{Level: "unknown", Lines: 95}, {Level: "error", Lines: 1}}
			wantErr := []record.LevelCount{{Level: "unknown", Lines: 1}, {Level: "warning", Lines: 1}}
			if !levels {
				wantOut, wantErr = nil, nil
			}
			if !reflect.DeepEqual(out.Levels, wantOut) || !reflect.DeepEqual(err.Levels, wantErr) {
				t.Errorf("levels are %v and %v", out.Levels, err.Levels)
			}
			table.Gone("c")
			if _, ok := table.LogUse("c"); ok {
				t.Error("a container that is gone is remembered")
			}
			leave()
			<-left
			l.end()
			stop()
		}
	})
}
