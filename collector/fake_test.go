package collector_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("the engine is away on purpose")

// fakeEngine is an Engine in memory. The zero value of each field that is a
// function does the ordinary.
type fakeEngine struct {
	// mu guards all below.
	mu         sync.Mutex
	away       error
	containers map[string]*record.Container
	streams    []*stream
	calls      []string
	inspecting int
	// onList is called by List after it has made its answer, onInspect by
	// Inspect before it looks.
	onList    func()
	onInspect func(ctx context.Context, id string) error
}

// stream is one call of Events.
type stream struct {
	since  time.Time
	events chan engine.Event
	broken chan error
}

func newEngine() *fakeEngine {
	return &fakeEngine{containers: make(map[string]*record.Container)}
}

func (e *fakeEngine) do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *fakeEngine) setAway(err error) { e.do(func() { e.away = err }) }

// called notes a call and returns why it fails.
func (e *fakeEngine) called(name string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, name)
	return e.away
}

func (e *fakeEngine) Info(context.Context) (engine.Info, error) {
	return engine.Info{Name: "host", Version: "1"}, e.called("info")
}

func (e *fakeEngine) List(context.Context) ([]engine.Entry, error) {
	if err := e.called("list"); err != nil {
		return nil, err
	}
	e.mu.Lock()
	var list []engine.Entry
	for id, c := range e.containers {
		list = append(list, engine.Entry{ID: id, Name: c.Name, State: c.Status})
	}
	then := e.onList
	e.mu.Unlock()
	if then != nil {
		then()
	}
	return list, nil
}

func (e *fakeEngine) Inspect(ctx context.Context, id string) (*record.Container, error) {
	e.mu.Lock()
	e.inspecting++
	first, away := e.onInspect, e.away
	e.mu.Unlock()
	if first != nil {
		if err := first(ctx, id); err != nil {
			return nil, err
		}
	}
	if away != nil {
		return nil, away
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		now := *c
		now.AsOf = time.Now()
		return &now, nil
	}
	return nil, engine.ErrNotFound
}

func (e *fakeEngine) Events(ctx context.Context, since time.Time) (<-chan engine.Event, <-chan error) {
	away := e.called("events")
	s := &stream{since: since, events: make(chan engine.Event, 2000), broken: make(chan error, 1)}
	e.do(func() { e.streams = append(e.streams, s) })
	events, failed := make(chan engine.Event), make(chan error, 1)
	go func() {
		defer close(failed)
		defer close(events)
		if away != nil {
			failed <- away
			return
		}
		for {
			select {
			case event := <-s.events:
				select {
				case events <- event:
				case <-ctx.Done():
				}
			case err := <-s.broken:
				failed <- err
				return
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	return events, failed
}

// stream returns the newest event stream, nil when there is none.
func (e *fakeEngine) stream() *stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.streams) == 0 {
		return nil
	}
	return e.streams[len(e.streams)-1]
}

// add makes containers and tell says what happened to one.
func (e *fakeEngine) add(ids ...string) {
	e.do(func() {
		for _, id := range ids {
			e.containers[id] = &record.Container{ID: id, Name: "name-" + id, Running: true}
		}
	})
}

func (e *fakeEngine) remove(id string) { e.do(func() { delete(e.containers, id) }) }

func (e *fakeEngine) tell(action, id string) {
	e.stream().events <- engine.Event{
		Time: time.Now(), Action: action, ID: id, Attributes: map[string]string{"name": "told-" + id},
	}
}

// fakeLog is a Log without lines.
type fakeLog struct {
	collector.Log
	container *record.Container
}

func (l fakeLog) Container() *record.Container { return l.container }

// fakeSource gives a log of every container but those it is told not to.
type fakeSource struct {
	mu      sync.Mutex
	refuses map[string]string
	orphans []*record.Container
	ended   []string
	sweeps  int
	running int
}

func (s *fakeSource) Log(c *record.Container) (collector.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason, ok := s.refuses[c.ID]; ok {
		return nil, errors.New(reason)
	}
	return fakeLog{container: c}, nil
}

func (s *fakeSource) Orphans() []*record.Container { return s.orphans }

func (s *fakeSource) End(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, id)
}

func (s *fakeSource) Sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweeps++
}

func (s *fakeSource) Run(ctx context.Context) {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.running--
	s.mu.Unlock()
}

// bench is a Collector that runs, and what it has told.
type bench struct {
	*collector.Collector
	t      *testing.T
	engine *fakeEngine
	source *fakeSource
	stop   func()

	// mu guards all below.
	mu      sync.Mutex
	openErr error
	told    []string // "found NAME" and "gone ID", in order
	busy    map[string]bool
	journal strings.Builder
}

// start runs a Collector. prepare, which may be nil, is called before.
func start(t *testing.T, e *fakeEngine, prepare func(*bench)) *bench {
	b := &bench{t: t, engine: e, source: &fakeSource{refuses: make(map[string]string)}, busy: make(map[string]bool)}
	if prepare != nil {
		prepare(b)
	}
	b.Collector = collector.New(collector.Config{
		Engine: e, Reconcile: time.Minute,
		Logger: slog.New(slog.NewTextHandler(writer{b}, nil)),
		Open: func(engine.Info) (collector.Source, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.openErr != nil {
				return nil, b.openErr
			}
			return b.source, nil
		},
		Found: func(l collector.Log) {
			id := l.Container().ID
			b.note("found "+l.Container().Name, func() {
				if b.busy[id] {
					t.Errorf("two calls for %s at once", id)
				}
				b.busy[id] = true
			})
			time.Sleep(time.Microsecond)
			b.note("", func() { delete(b.busy, id) })
		},
		Gone: func(id string) { b.note("gone "+id, nil) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { b.Run(ctx) })
	b.stop = func() {
		cancel()
		group.Wait()
		if b.source.running != 0 {
			t.Error("the source runs on")
		}
	}
	return b
}

func (b *bench) note(text string, f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f != nil {
		f()
	}
	if text != "" {
		b.told = append(b.told, text)
	}
}

type writer struct{ *bench }

func (w writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.journal.Write(p)
}

// logged returns how often a text is in the log.
func (b *bench) logged(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.journal.String(), text)
}

// count returns how often something was told.
func (b *bench) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, other := range b.told {
		if other == text {
			n++
		}
	}
	return n
}

func (b *bench) wasTold(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return b.count(text) == 0 })
}

// until polls until condition holds.
func (b *bench) until(what string, condition func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(10 * time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("waited in vain until %s; told was %v\n%s", what, b.told, b.journal.String())
		}
		time.Sleep(time.Millisecond)
	}
}

func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("id%04d", i)
	}
	return list
}
