package agent

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"tallyman/cmd/agent/api"
)

// mergedWindow is by how much a line of a merged stream may be older than one
// before it; docs/api.md states it. The past is in order.
const mergedWindow = time.Second

// TestMergedOrder follows 20 containers at once, and looks at their past.
func TestMergedOrder(t *testing.T) {
	besideOthers(t)
	const containers, lines = 20, 150
	d := newDocker(t)
	p := startReady(t, t.TempDir())
	path, ids := "", []string{}
	for i := range containers {
		id := d.create(fmt.Sprintf("merged-%d", i), jsonFile(nil), "-lines", fmt.Sprint(lines), "-rate", "50")
		ids, path = append(ids, id), path+"&container="+id
		p.eventually("the container is known", func() bool {
			code, _, err := p.get("/api/v1/containers/" + id)
			return err == nil && code == http.StatusOK
		})
	}
	stream := openEvents(t, p, "/api/v1/logs/stream?"+path[1:], "")
	for _, id := range ids {
		d.start(id)
	}
	got, _ := stream.lines(containers * lines)
	newest, late := time.Time{}, time.Duration(0)
	for _, l := range got {
		late = max(late, newest.Sub(l.Time))
		if l.Time.After(newest) {
			newest = l.Time
		}
	}
	t.Logf("the latest of %d lines came %v behind a newer one", len(got), late)
	// A machine that does other things besides may delay what the engine writes.
	if most := mergedWindow * time.Duration(size(10, 1)); late > most {
		t.Errorf("a line came %v behind a newer one, want %v at most", late, most)
	}
	past := fetch[api.Page](p, "/api/v1/logs?limit=5000"+path).Lines
	if len(past) != containers*lines {
		t.Fatalf("the past has %d lines, want %d", len(past), containers*lines)
	}
	of := make(map[string]int)
	for i := range past {
		of[past[i].Container]++
		if i > 0 && past[i].Time.Before(past[i-1].Time) {
			t.Errorf("line %d of the past is older than the one before it", i)
		}
	}
	for _, id := range ids {
		if of[id] != lines {
			t.Errorf("the past has %d lines of container %s, want %d", of[id], id, lines)
		}
	}
}
