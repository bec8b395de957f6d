package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tallyman/cmd/agent/api"
)

// resetter is a TCP server that resets each connection after some bytes until it
// is told to take everything. It remembers the lines that it has read.
type resetter struct {
	listener net.Listener
	healthy  atomic.Bool
	resets   atomic.Int64
	mu       sync.Mutex
	lines    map[string]int
}

func newResetter(t *testing.T) *resetter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resetter{listener: l, lines: make(map[string]int)}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { r.take(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	return r
}

// take reads whole lines; a reset comes only behind one that was noted.
func (r *resetter) take(conn *net.TCPConn) {
	defer conn.Close()
	var rest string
	buf := make([]byte, 4<<10)
	for {
		n, err := conn.Read(buf)
		text := rest + string(buf[:n])
		end := strings.LastIndexByte(text, '\n') + 1
		r.mu.Lock()
		for line := range strings.Lines(text[:end]) {
			r.lines[line]++
		}
		r.mu.Unlock()
		rest = text[end:]
		if err != nil {
			return
		}
		if !r.healthy.Load() {
			r.resets.Add(1)
			_ = conn.SetLinger(0) // Closing sends a reset then.
			return
		}
	}
}

func (r *resetter) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// TestResetOfARawSink: a raw TCP destination that resets its connections neither
// ends the agent nor keeps lines from another, and is served again when it is
// well. What it had in its kernel when it threw the connection away is gone: no
// sender can know of that.
func TestResetOfARawSink(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	healthy, bad := newSink(t, "tcp"), newResetter(t)
	filter := filterLabel("reset-")
	p := startReady(t, t.TempDir(), "raw+tcp://"+healthy.Address()+"?"+filter, "raw+tcp://"+bad.listener.Addr().String()+"?"+filter)
	const lines = 3000
	healthy.Expect("reset-0", "1", lines)
	d.run("reset-0", nil, "-lines", fmt.Sprint(lines), "-rate", "2000")
	p.eventually("connections were reset", func() bool { return bad.resets.Load() > 3 })
	wantExact(t, "beside a destination that resets", wantComplete(t, healthy))
	bad.healthy.Store(true)
	before := bad.count()
	healthy.Expect("reset-1", "1", lines)
	d.run("reset-1", nil, "-lines", fmt.Sprint(lines))
	p.eventually("the bad one is served again", func() bool { return bad.count() >= before+lines })
	wantExact(t, "beside a destination that is well again", wantComplete(t, healthy))
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
}

// TestNothingStandsStill: with a destination that takes nothing and a client of
// /logs that reads nothing, new containers are read, /routes answers, and a dead
// route can be replaced and deleted.
func TestNothingStandsStill(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	dead, healthy := newSink(t, "tcp"), newSink(t, "tcp")
	dead.Pause()
	filter := filterLabel("standstill-")
	p := startReady(t, t.TempDir(), "syslog+tcp://"+healthy.Address()+"?"+filter, "syslog+tcp://"+dead.Address()+"?name=dead&"+filter)
	p.open("/logs?colors=off")
	const lines = 50_000
	flood := func(name string) {
		healthy.Expect(name, "1", lines)
		d.run(name, logOptions{"max-size": "5m", "max-file": "3"}, "-lines", fmt.Sprint(lines))
	}
	flood("standstill-0")
	wantExact(t, "beside a dead destination and a client that does not read", wantComplete(t, healthy))
	put := `{"adapter":"syslog+tcp","address":"` + dead.Address() + `","filter_labels":["` + testLabel + `:standstill-*"],"options":{"append_tag":".x"}}`
	if response, body := p.ask(http.MethodPut, "/routes/dead", put); response.StatusCode != http.StatusOK {
		t.Fatalf("replacing the dead route answers %d %s", response.StatusCode, body)
	}
	for range 2 {
		if response, body := p.ask(http.MethodPost, "/routes", strings.Replace(put, "{", `{"id":"dead",`, 1)); response.StatusCode != http.StatusCreated {
			t.Fatalf("posting the dead route answers %d %s", response.StatusCode, body)
		}
	}
	if response, _ := p.ask(http.MethodDelete, "/routes/dead", ""); response.StatusCode != http.StatusOK {
		t.Fatalf("deleting the dead route answers %d", response.StatusCode)
	}
	if response, _ := p.ask(http.MethodGet, "/routes/dead", ""); response.StatusCode != http.StatusNotFound {
		t.Fatalf("the dead route is there: %d", response.StatusCode)
	}
	flood("standstill-1")
	wantExact(t, "after the dead route was deleted", wantComplete(t, healthy))
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
}

// TestRouteMovesWhileLinesCome: a route with a name is given another destination
// again and again under load. Together the destinations have every line once.
func TestRouteMovesWhileLinesCome(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	all := newSink(t, "")
	var mu sync.Mutex
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, l.Addr().String())
		var group sync.WaitGroup
		group.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				group.Go(func() {
					defer conn.Close()
					text, _ := io.ReadAll(conn) // A reset ends it too.
					mu.Lock()
					defer mu.Unlock()
					for line := range strings.Lines(string(text)) {
						all.Feed([]byte(strings.TrimSuffix(line, "\n")))
					}
				})
			}
		})
		t.Cleanup(func() { _ = l.Close(); group.Wait() })
	}
	p := startReady(t, t.TempDir())
	put := func(i int) {
		t.Helper()
		body := fmt.Sprintf(`{"adapter":"raw+tcp","address":%q,"filter_labels":["%s:moves-*"]}`, addresses[i%2], testLabel)
		if response, text := p.ask(http.MethodPut, "/routes/mover", body); response.StatusCode >= 300 {
			t.Fatalf("moving the route answers %d %s", response.StatusCode, text)
		}
	}
	put(0)
	const lines = 20_000
	all.Expect("moves-0", "1", lines)
	d.run("moves-0", nil, "-lines", fmt.Sprint(lines), "-rate", "10000")
	for i := 1; i < 20; i++ {
		put(i)
	}
	p.eventually("everything is delivered", func() bool {
		_, body, err := p.get("/api/v1/tally")
		var report api.Tally
		if err != nil || json.Unmarshal([]byte(body), &report) != nil || len(report.Routes) != 1 {
			return false
		}
		containers := report.Routes[0].Containers
		return len(containers) == 1 && containers[0].Delivered.Lines == lines
	})
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
	// Whichever of two connections is read to its end first comes first.
	if r := wantComplete(t, all); r.Missing > 0 || r.Duplicates > 0 || r.Unmarked > 0 || r.Torn > 0 {
		t.Fatalf("over twenty destinations:\n%s", r)
	}
}
