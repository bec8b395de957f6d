package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestManyViewers has 200 clients follow a container while a route delivers its
// lines. Every second one does not read what it is sent.
func TestManyViewers(t *testing.T) {
	besideOthers(t)
	const viewers = 200
	lines := size(5000, 20000)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	sink.Expect("viewers", "1", uint64(lines))
	id := d.create("viewers", jsonFile(nil), "-lines", fmt.Sprint(lines), "-rate", "4000")
	p := startReady(t, t.TempDir(), "raw+tcp://"+sink.Address()+"?"+filterLabel("viewers"))
	p.eventually("the container is known", func() bool {
		code, _, err := p.get("/api/v1/containers/" + id)
		return err == nil && code == http.StatusOK
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var group sync.WaitGroup
	defer group.Wait()
	counts := make([]int, viewers)
	ready := make(chan struct{}, viewers)
	var reading sync.WaitGroup
	for i := range viewers {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+"/api/v1/logs/stream?container="+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		follow := func() {
			response, err := transport.RoundTrip(request)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("viewer %d: %v", i, err)
				ready <- struct{}{}
				return
			}
			defer response.Body.Close()
			ready <- struct{}{}
			if i%2 == 1 {
				<-ctx.Done()
				return
			}
			scanner := bufio.NewScanner(response.Body)
			scanner.Buffer(nil, 16<<20)
			for counts[i] < lines && scanner.Scan() {
				if text, ok := strings.CutPrefix(scanner.Text(), `data: {"lines":[`); ok {
					counts[i] += strings.Count(text, `{"cursor":`)
				} else if rest, ok := strings.CutPrefix(scanner.Text(), "data: "); ok {
					var dropped struct{ Lines int }
					if json.Unmarshal([]byte(rest), &dropped) == nil {
						counts[i] += dropped.Lines
					}
				}
			}
		}
		if i%2 == 0 {
			reading.Go(follow)
		} else {
			group.Go(follow)
		}
	}
	for range viewers {
		<-ready
	}
	d.start(id)
	wantExact(t, "with 200 viewers", wantComplete(t, sink))
	memory, ok := p.metric("process_resident_memory_bytes")
	if !ok || !raceDetector && memory > 256<<20 {
		t.Errorf("with %d viewers the agent takes %.0f MiB, want 256 at most", viewers, memory/(1<<20))
	}
	t.Logf("%d viewers: %.0f MiB", viewers, memory/(1<<20))
	reading.Wait()
	for i := 0; i < viewers; i += 2 {
		if counts[i] != lines {
			t.Errorf("viewer %d was sent or told of %d lines, want %d", i, counts[i], lines)
		}
	}
	cancel()
}
