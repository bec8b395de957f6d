package agent

import (
	"context"
	"sync"
	"testing"
	"time"

	"tallyman/collector/record"
	"tallyman/metrics/recent"
)

// TestSamplerOfAContainer samples a container while it runs and when it is gone.
func TestSamplerOfAContainer(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.run("sampler", nil, "-lines", "0", "-rate", "100")
	now, err := d.client.ContainerInspect(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	list := []*record.Container{{ID: id, PID: now.State.Pid, Running: true}}
	s := recent.New(recent.Options{Containers: func() []*record.Container {
		mu.Lock()
		defer mu.Unlock()
		return list
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { s.Run(ctx) })
	defer group.Wait()
	defer cancel()
	eventually := func(what string, condition func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it has not come true that %s", what)
			}
		}
	}
	eventually("there are two points, as somebody looks", func() bool {
		now, ok := s.Now(id)
		return ok && now.MemoryBytes > 0 && now.Pids > 0 && len(s.Points(id, "5m")) >= 2
	})
	if points := s.Points(id, "a year"); len(points) != 0 {
		t.Errorf("an unknown window has %d points", len(points))
	}
	s.Stopped(id)
	mu.Lock()
	list = nil
	mu.Unlock()
	eventually("a container that is gone is forgotten", func() bool { return len(s.Points(id, "5m")) == 0 })
}
