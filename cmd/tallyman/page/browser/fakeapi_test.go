package browser

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyman/cmd/tallyman/page"
)

// The limits of the real API that the page has to live with.
const (
	batchLines   = 500
	batchEvery   = 50 * time.Millisecond
	viewerLines  = 20000 // more behind than this, and lines are left out
	defaultLimit = 500
	maxLimit     = 5000
)

type usage struct {
	CPU         float64 `json:"cpu_percent"`
	Memory      int64   `json:"memory_bytes"`
	MemoryLimit int64   `json:"memory_limit_bytes,omitempty"`
	RX          float64 `json:"network_rx_bps"`
	TX          float64 `json:"network_tx_bps"`
	Read        float64 `json:"disk_read_bps"`
	Write       float64 `json:"disk_write_bps"`
	PIDs        int     `json:"pids,omitempty"`
}

type fakeContainer struct {
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	Image          string            `json:"image"`
	State          string            `json:"state"`
	Status         string            `json:"status"`
	Health         string            `json:"health"`
	ExitCode       int               `json:"exit_code"`
	OOMKilled      bool              `json:"oom_killed"`
	Restarts       int               `json:"restarts"`
	Labels         map[string]string `json:"labels"`
	Group          string            `json:"group"`
	Service        string            `json:"service"`
	LogDriver      string            `json:"log_driver"`
	Reader         string            `json:"reader"`
	Reason         string            `json:"reason"`
	Now            *usage            `json:"now"`
	LinesPerSecond float64           `json:"lines_per_second"`
}

type fakeLine struct {
	Cursor    string    `json:"cursor"`
	Container string    `json:"container"`
	Name      string    `json:"name"`
	Time      time.Time `json:"time"`
	Stream    string    `json:"stream"`
	Level     string    `json:"level"`
	Line      string    `json:"line"`
}

// agent is a server that speaks the agent's API about containers that do not exist, and
// serves the page. It can be stopped and started again with the same lines.
type agent struct {
	t          *testing.T
	containers []fakeContainer
	routes     []map[string]any
	// viewerLines is how many lines a client may be behind before some are left out.
	viewerLines int
	// beforePage is called before a page of the past is read; nil for nothing.
	beforePage func()

	mu       sync.Mutex
	lines    []fakeLine
	events   []map[string]any
	changed  chan struct{} // closed when lines grows
	requests []string
	streams  int // that are open

	server  *http.Server
	address string
	stopped chan struct{} // closed when the server is being stopped
	ended   chan struct{}
}

func startAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{t: t, containers: demoContainers(), routes: demoRoutes(), viewerLines: viewerLines, changed: make(chan struct{}), address: "127.0.0.1:0"}
	a.lines = demoLines(a.containers, time.Now())
	a.events = demoEvents(a.containers, time.Now())
	a.start()
	t.Cleanup(a.stop)
	return a
}

func (a *agent) url(hash string) string { return "http://" + a.address + "/" + hash }

func (a *agent) start() {
	a.t.Helper()
	listener, err := net.Listen("tcp4", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.address = listener.Addr().String()
	a.stopped, a.ended = make(chan struct{}), make(chan struct{})
	a.server = &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func(server *http.Server, ended chan struct{}) {
		defer close(ended)
		// It ends when stop closes it.
		_ = server.Serve(listener)
	}(a.server, a.ended)
}

// stop breaks all connections, as a killed agent does.
func (a *agent) stop() {
	select {
	case <-a.stopped:
		return
	default:
	}
	close(a.stopped)
	_ = a.server.Close()
	<-a.ended
}

func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/host", a.serveHost)
	mux.HandleFunc("GET /api/v1/containers", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		answer(w, map[string]any{"containers": a.containers})
	})
	mux.HandleFunc("GET /api/v1/containers/{id}/stats", a.serveStats)
	mux.HandleFunc("GET /api/v1/routes", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"routes": a.routes}) })
	mux.HandleFunc("GET /api/v1/tally", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"routes": demoTally(a.routes, a.containers)})
	})
	mux.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		answer(w, map[string]any{"events": a.events})
	})
	mux.HandleFunc("GET /api/v1/logs", a.serveLogs)
	mux.HandleFunc("GET /api/v1/logs/stream", a.serveStream)
	mux.HandleFunc("GET /api/v1/logs/download", a.serveDownload)
	mux.Handle("/", page.New())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.requests = append(a.requests, r.URL.Path)
		a.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The browser may have gone.
	_ = json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// write adds lines to the log of a container, at the time of now, and wakes the
// streams.
func (a *agent) write(name, stream, level string, texts ...string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.containers, func(c fakeContainer) bool { return c.Name == name })
	var cursors []string
	now := time.Now()
	for n, text := range texts {
		line := lineOf(a.containers[i], len(a.lines), now.Add(time.Duration(n)), stream, level, text)
		a.lines = append(a.lines, line)
		cursors = append(cursors, line.Cursor)
	}
	close(a.changed)
	a.changed = make(chan struct{})
	return cursors
}

// end lets a container end.
func (a *agent) end(name string, code int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.containers, func(c fakeContainer) bool { return c.Name == name })
	a.events = append(a.events, map[string]any{
		"time": time.Now().Format(time.RFC3339Nano), "container": a.containers[i].ID, "name": name, "what": "die", "exit_code": code,
	})
	a.containers[i].State, a.containers[i].ExitCode, a.containers[i].Now = "exited", code, nil
}

func lineOf(c fakeContainer, number int, at time.Time, stream, level, text string) fakeLine {
	return fakeLine{fmt.Sprintf("%s-%d", c.ID[:12], number), c.ID, c.Name, at, stream, level, strings.ToValidUTF8(text, "�")}
}

// seen returns the lines so far, and a channel that is closed when there are more.
func (a *agent) seen() ([]fakeLine, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines, a.changed
}

// serveLogs answers one page of the past. Its cursor is the number of a line.
func (a *agent) serveLogs(w http.ResponseWriter, r *http.Request) {
	query, err := a.queryOf(r)
	if err != nil {
		refuse(w, err)
		return
	}
	if a.beforePage != nil {
		a.beforePage()
	}
	lines, _ := a.seen()
	end := len(lines)
	if before := r.FormValue("before"); before != "" {
		if end, err = strconv.Atoi(before); err != nil || end < 0 || end > len(lines) {
			refuse(w, fmt.Errorf("the cursor %q is not one of this agent's", before))
			return
		}
	}
	limit := defaultLimit
	if text := r.FormValue("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			refuse(w, fmt.Errorf("limit %q is not a number from 1 to %d", text, maxLimit))
			return
		}
	}
	found := []fakeLine{}
	var scanned int64
	i := end
	for ; i > 0 && len(found) < limit; i-- {
		line := lines[i-1]
		scanned += int64(len(line.Line))
		if query.fits(line) {
			found = append(found, line)
		}
	}
	slices.Reverse(found)
	report := map[string]any{"lines": found, "before": nil, "after": strconv.Itoa(end), "scanned_bytes": scanned, "truncated": false}
	if slices.ContainsFunc(lines[:i], query.fits) {
		report["before"] = strconv.Itoa(i)
	}
	answer(w, report)
}

// serveStream sends lines as events. The id of an event is the number of the line
// after its last.
func (a *agent) serveStream(w http.ResponseWriter, r *http.Request) {
	query, err := a.queryOf(r)
	if err != nil {
		refuse(w, err)
		return
	}
	lines, _ := a.seen()
	at := len(lines)
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		if at, err = strconv.Atoi(id); err != nil || at < 0 || at > len(lines) {
			refuse(w, fmt.Errorf("the id %q is not one of this agent's", id))
			return
		}
	} else if tail, _ := strconv.Atoi(r.FormValue("tail")); tail > 0 {
		for n := 0; at > 0 && n < tail; at-- {
			if query.fits(lines[at-1]) {
				n++
			}
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	a.count(1)
	defer a.count(-1)
	control := http.NewResponseController(w)
	fmt.Fprintf(w, "id: %d\nevent: ping\ndata: {}\n\n", at)
	_ = control.Flush()
	stopped := a.stopped
	for {
		lines, changed := a.seen()
		if behind := len(lines) - at; behind > a.viewerLines {
			lost := 0
			for ; at < len(lines)-a.viewerLines/2; at++ {
				if query.fits(lines[at]) {
					lost++
				}
			}
			fmt.Fprintf(w, "event: dropped\ndata: {\"lines\":%d}\n\n", lost)
		}
		var batch []fakeLine
		for ; at < len(lines) && len(batch) < batchLines; at++ {
			if query.fits(lines[at]) {
				batch = append(batch, lines[at])
			}
		}
		if len(batch) > 0 {
			data, err := json.Marshal(map[string]any{"lines": batch})
			if err != nil {
				panic(err)
			}
			// The agent escapes what has to be, and no more.
			text := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(string(data))
			fmt.Fprintf(w, "event: batch\nid: %d\ndata: %s\n\n", at, text)
			if control.Flush() != nil {
				return
			}
		}
		if at < len(lines) {
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-stopped:
			return
		case <-time.After(15 * time.Second):
			fmt.Fprintf(w, "id: %d\nevent: ping\ndata: {}\n\n", at)
			_ = control.Flush()
			continue
		case <-changed:
		}
		// What comes within a moment goes into one event.
		select {
		case <-r.Context().Done():
			return
		case <-time.After(batchEvery):
		}
	}
}

// count counts streams.
func (a *agent) count(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.streams += n
	return a.streams
}

func (a *agent) serveDownload(w http.ResponseWriter, r *http.Request) {
	query, err := a.queryOf(r)
	if err != nil {
		refuse(w, err)
		return
	}
	lines, _ := a.seen()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="log.txt"`)
	for _, line := range lines {
		if query.fits(line) {
			fmt.Fprintf(w, "%s %s %s\n", line.Time.Format(time.RFC3339Nano), line.Stream, line.Line)
		}
	}
}

// ask calls the API without a browser.
func (a *agent) ask(path string) []fakeLine {
	a.t.Helper()
	recorder := httptest.NewRecorder()
	a.handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	var report struct {
		Lines []fakeLine `json:"lines"`
	}
	if err := json.NewDecoder(recorder.Body).Decode(&report); err != nil || recorder.Code != http.StatusOK {
		a.t.Fatalf("%s: %d %v", path, recorder.Code, err)
	}
	return report.Lines
}
