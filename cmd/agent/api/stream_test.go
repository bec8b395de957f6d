package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// host is an engine and the source of its logs, in memory.
type host struct {
	mu     sync.Mutex // guards what follows
	list   map[string]*record.Container
	logs   map[string]*memoryLog
	events chan engine.Event
}

func newHost() *host {
	return &host{list: make(map[string]*record.Container), logs: make(map[string]*memoryLog), events: make(chan engine.Event, 100)}
}

// idOf makes an ID of a digit.
func idOf(digit string) string { return strings.Repeat(digit, 64) }

// create makes a container that has written some lines.
func (h *host) create(digit string, lines ...string) *memoryLog {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &record.Container{ID: idOf(digit), Name: "c" + digit, LogDriver: "json-file", Status: "running", Running: true, Created: time.Now()}
	log := &memoryLog{container: c, readers: make(map[*memoryReader]bool)}
	h.list[c.ID], h.logs[c.ID] = c, log
	log.write(lines...)
	h.events <- engine.Event{Time: time.Now(), Action: engine.ActionCreate, ID: c.ID}
	return log
}

func (h *host) remove(digit string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.list, idOf(digit))
	h.events <- engine.Event{Time: time.Now(), Action: engine.ActionDestroy, ID: idOf(digit)}
}

func (h *host) Info(context.Context) (engine.Info, error) { return engine.Info{}, nil }

func (h *host) List(context.Context) (list []engine.Entry, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.list {
		list = append(list, engine.Entry{ID: id})
	}
	return list, nil
}

func (h *host) Inspect(_ context.Context, id string) (*record.Container, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.list[id]; c != nil {
		return c, nil
	}
	return nil, engine.ErrNotFound
}

func (h *host) Events(ctx context.Context, _ time.Time) (<-chan engine.Event, <-chan error) {
	events, failed := make(chan engine.Event), make(chan error, 1)
	go func() {
		defer close(failed)
		defer close(events)
		for {
			select {
			case e := <-h.events:
				events <- e
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	return events, failed
}

func (h *host) Log(c *record.Container) (collector.Log, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logs[c.ID], nil
}

func (h *host) End(id string) {
	h.mu.Lock()
	log := h.logs[id]
	h.mu.Unlock()
	log.end()
}

func (h *host) Orphans() []*record.Container { return nil }
func (h *host) Sweep()                       {}
func (h *host) Run(ctx context.Context)      { <-ctx.Done() }

// memoryLog is a log in memory. Its positions count lines.
type memoryLog struct {
	container *record.Container

	mu    sync.Mutex // guards what follows
	lines []record.Record
	ended bool
	// endless says that there is always a line more.
	endless bool
	// rotated says that what a reader asks for is not there any more.
	rotated bool
	readers map[*memoryReader]bool
}

func (l *memoryLog) write(lines ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range lines {
		l.lines = append(l.lines, record.Record{Time: time.Now().UnixNano(), Line: []byte(line)})
	}
	for r := range l.readers {
		r.changed()
	}
}

func (l *memoryLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for r := range l.readers {
		r.changed()
	}
}

func (l *memoryLog) Container() *record.Container { return l.container }

func (l *memoryLog) Reader(from record.Position, changed func()) (collector.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &memoryReader{log: l, changed: changed, at: from.Off}
	if from.IsEnd() {
		r.at = int64(len(l.lines))
	}
	l.readers[r] = true
	if l.rotated {
		return r, &collector.LostError{Position: from}
	}
	return r, nil
}

type memoryReader struct {
	log     *memoryLog
	changed func()
	at      int64
}

func (r *memoryReader) Next(b *record.Batch) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	b.Reset()
	b.Container = r.log.container
	switch {
	case r.log.endless:
		b.Records = append(b.Records, record.Record{Time: time.Now().UnixNano(), Line: []byte("more")})
	case r.at < int64(len(r.log.lines)):
		b.Records = append(b.Records, r.log.lines[r.at])
		r.at++
	case r.log.ended:
		return io.EOF
	default:
		return collector.ErrIdle
	}
	b.Records[0].Resume = r.at
	b.End = r.Position()
	return nil
}

func (r *memoryReader) Position() record.Position {
	if r.at == 0 {
		return record.Oldest()
	}
	return record.Position{Gen: record.Generation{Inode: 1, Len: 1}, Off: r.at}
}

func (r *memoryReader) Close() error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	delete(r.log.readers, r)
	return nil
}

func (r *memoryReader) Seek(record.Position) error        { return nil }
func (r *memoryReader) Release(record.Position)           {}
func (r *memoryReader) GivenUp(record.Position) bool      { return false }
func (r *memoryReader) Lag(record.Position) (bytes int64) { return 0 }

// serve runs the API of a host until the test ends.
func serve(t *testing.T, h *host) *Server {
	c := collector.New(collector.Config{
		Engine: h, Found: func(collector.Log) {}, Gone: func(string) {}, Logger: slog.New(slog.DiscardHandler),
		Open: func(engine.Info) (collector.Source, error) { return h, nil },
	})
	var files Files
	files.Set("/nowhere", nil)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return New(Config{Collector: c, Files: &files, TempDir: os.TempDir, Logger: slog.New(slog.DiscardHandler)})
}

// viewer is a client of a stream.
type viewer struct {
	header http.Header
	// pause is what each piece takes to be read.
	pause time.Duration
	leave func()

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// watch opens a stream, which ends when the test does or the viewer leaves.
func watch(t *testing.T, a *Server, path, lastID string, pause time.Duration) *viewer {
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	r.Header.Set("Last-Event-ID", lastID)
	v := &viewer{header: make(http.Header), pause: pause}
	var served sync.WaitGroup
	served.Go(func() {
		if err := a.serveLogStream(v, r); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	})
	v.leave = func() {
		cancel()
		served.Wait()
	}
	t.Cleanup(v.leave)
	return v
}

func (v *viewer) Header() http.Header              { return v.header }
func (v *viewer) WriteHeader(int)                  {}
func (v *viewer) Flush()                           {}
func (v *viewer) SetWriteDeadline(time.Time) error { return nil }

func (v *viewer) Write(p []byte) (int, error) {
	time.Sleep(v.pause)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.Write(p)
}

func (v *viewer) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

// lastID is the ID of the last event that has one.
func (v *viewer) lastID() string {
	_, rest, _ := cutLast(v.String(), "id: ")
	id, _, _ := strings.Cut(rest, "\n")
	return id
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// settle lets what goes on come to rest.
func settle() {
	time.Sleep(2 * lookEvery)
	synctest.Wait()
}

// TestStreamGoesOnWithNewContainers: a client that was cut off gets the lines of
// containers that were made meanwhile, and the first lines of those that had none.
func TestStreamGoesOnWithNewContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.create("1", "old")
		silent := h.create("2")
		a := serve(t, h)
		settle()
		first := watch(t, a, "/api/v1/logs/stream", "", 0)
		settle()
		first.leave()
		if strings.Contains(first.String(), "old") {
			t.Fatalf("the stream begins in the past:\n%s", first)
		}
		silent.write("first word")
		h.create("3", "born meanwhile")
		settle()
		again := watch(t, a, "/api/v1/logs/stream", first.lastID(), 0)
		settle()
		for _, line := range []string{"first word", "born meanwhile"} {
			if n := strings.Count(again.String(), line); n != 1 {
				t.Errorf("the line %q comes %d times, want once:\n%s", line, n, again)
			}
		}
		if strings.Contains(again.String(), "old") {
			t.Errorf("the stream goes back further than it had begun:\n%s", again)
		}
	})
}

// TestStreamLetsGoOfContainers: of a container that is gone a stream keeps neither
// its log, whose file would stay on the disk, nor a place in the IDs of events.
func TestStreamLetsGoOfContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.create("1", "stays")
		a := serve(t, h)
		settle()
		v := watch(t, a, "/api/v1/logs/stream", "", 0)
		settle()
		small := len(v.lastID())
		for i := range 20 {
			digit := fmt.Sprintf("%x", i%8+2)
			log := h.create(digit, fmt.Sprintf("line-%d", i))
			settle()
			h.remove(digit)
			settle()
			if n := len(log.readers); n != 0 {
				t.Fatalf("%d readers have a log that is gone", n)
			}
			if !strings.Contains(v.String(), fmt.Sprintf(`"line-%d"`, i)) {
				t.Fatalf("the line of container %d is missing", i)
			}
		}
		time.Sleep(2 * pingEvery)
		synctest.Wait()
		if id := v.lastID(); len(id) > small {
			t.Errorf("an ID takes %d bytes, at first %d", len(id), small)
		}
	})
}

// TestFloodHidesNoContainer: while one log is written faster than a client reads, the
// client still meets new containers.
func TestFloodHidesNoContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		flood := h.create("1")
		a := serve(t, h)
		settle()
		v := watch(t, a, "/api/v1/logs/stream", "", 10*time.Millisecond)
		settle()
		flood.mu.Lock()
		flood.endless = true
		flood.mu.Unlock()
		flood.write()
		time.Sleep(lookEvery)
		h.create("2", "a quiet word")
		time.Sleep(4 * lookEvery)
		v.leave()
		if !strings.Contains(v.String(), "a quiet word") {
			t.Errorf("the line of the quiet container is not among %d bytes", len(v.String()))
		}
	})
}

// TestLossIsTold: a client is told that lines are missing of a log that it meets
// while it follows others.
func TestLossIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		a := serve(t, h)
		settle()
		v := watch(t, a, "/api/v1/logs/stream", "", 0)
		settle()
		h.mu.Lock()
		c := &record.Container{ID: idOf("1"), Name: "c1", LogDriver: "json-file", Created: time.Now()}
		h.list[c.ID], h.logs[c.ID] = c, &memoryLog{container: c, rotated: true, readers: make(map[*memoryReader]bool)}
		h.mu.Unlock()
		h.events <- engine.Event{Time: time.Now(), Action: engine.ActionCreate, ID: c.ID}
		settle()
		if n := strings.Count(v.String(), "event: dropped"); n != 1 {
			t.Errorf("the loss is told %d times, want once:\n%s", n, v)
		}
	})
}
