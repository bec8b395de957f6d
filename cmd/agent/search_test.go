package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tallyman/cmd/agent/api"
)

// readBytes returns how many bytes the agent has read of all files (proc(5)).
func (p *process) readBytes() (n int64) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// TestSearchLongHistory searches a container's history, at full length 1 GB, and
// leaves while a search goes on.
func TestSearchLongHistory(t *testing.T) {
	besideOthers(t)
	lines := size(30_000, 4_000_000)
	d := newDocker(t)
	id := d.run("search-long", logOptions{"max-size": "8g", "max-file": "1"}, "-lines", fmt.Sprint(lines))
	d.waitExit(id)
	p := startReady(t, t.TempDir())
	type result struct {
		hits         int
		first, whole time.Duration
		done         api.Done
	}
	search := func(query string) (r result) {
		t.Helper()
		begun := time.Now()
		response, err := http.Get("http://" + p.listen + "/api/v1/search?container=" + id + "&" + query)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v", query, err)
		}
		defer response.Body.Close()
		scanner := bufio.NewScanner(response.Body)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			var f api.Found
			if err := json.Unmarshal(scanner.Bytes(), &f); err != nil {
				t.Fatal(err)
			}
			switch {
			case f.Line != nil:
				if r.hits++; r.first == 0 {
					r.first = time.Since(begun)
				}
			case f.Done != nil:
				r.done = *f.Done
			}
		}
		r.whole = time.Since(begun)
		return r
	}
	for _, c := range []struct {
		query string
		hits  int
	}{{"order=newest&q=seq%3D%5Cd*77777%20", lines / 100_000}, {"order=oldest&q=seq%3D%5Cd*777%20", lines / 1000}, {"q=no+such+text", 0}} {
		r := search(c.query)
		if r.hits != c.hits || r.done.Scanned == 0 || r.done.Scanned != r.done.Total {
			t.Errorf("%s: %d hits, want %d, in %d bytes of %d", c.query, r.hits, c.hits, r.done.Scanned, r.done.Total)
		}
		memory, _ := p.metric("process_resident_memory_bytes")
		t.Logf("%s: %d hits, the first after %v, %.2f GB in %v: %.0f MB/s, %.0f MiB of memory", c.query, r.hits,
			r.first.Round(time.Millisecond), float64(r.done.Scanned)/1e9, r.whole.Round(time.Millisecond),
			float64(r.done.Scanned)/1e6/r.whole.Seconds(), memory/(1<<20))
		if !raceDetector && memory > 128<<20 {
			t.Errorf("the agent takes %.0f MiB, want 128 at most", memory/(1<<20))
		}
		if soaking() && r.hits > 0 && r.first > time.Second {
			t.Errorf("%s: the first hit came after %v", c.query, r.first)
		}
	}
	// A client that leaves at the first line.
	before := p.readBytes()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+"/api/v1/search?order=newest&q=seq%3D%5Cd*7%20&container="+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"line"`) {
		t.Fatalf("the search begins with %q: %v", line, err)
	}
	cancel()
	last := int64(-1)
	p.eventually("nothing more is read", func() bool {
		time.Sleep(100 * time.Millisecond)
		now := p.readBytes()
		still := now-last < 100_000
		last = now
		return still
	})
	total := search("q=no+such+text").done.Total
	t.Logf("%d of %d bytes were read for a client that left", last-before, total)
	if soaking() && last-before > total/2 {
		t.Errorf("%d of %d bytes were read for a client that left at the first line", last-before, total)
	}
}
