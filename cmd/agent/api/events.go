package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tallyman/collector/engine"
)

// keptEvents is how many events are remembered.
const keptEvents = 1000

// Event is what happened to a container, as the API tells it.
type Event struct {
	Time      time.Time `json:"time"`
	Container string    `json:"container"`
	Name      string    `json:"name"`
	// What is the engine's word: create, start, die, oom, health_status,
	// destroy, rename, pause, unpause, update; health for health_status.
	What     string `json:"what"`
	ExitCode *int   `json:"exit_code,omitempty"`
	Health   string `json:"health,omitempty"`
}

// EventLog remembers the last events and tells those who wait of new ones.
type EventLog struct {
	mu sync.Mutex // guards what follows
	// events are the last ones, oldest first; number is that of the one after
	// the newest.
	events []Event
	number int64
	// changed is closed with the next event.
	changed chan struct{}
}

func NewEventLog() *EventLog { return &EventLog{changed: make(chan struct{})} }

// add takes in an event of the engine.
func (l *EventLog) Add(e engine.Event) {
	c := engine.FromEvent(e)
	event := Event{Time: e.Time, Container: e.ID, Name: c.Name, What: e.Action}
	switch e.Action {
	case engine.ActionDie:
		event.ExitCode = &c.ExitCode
	case engine.ActionHealth:
		event.What, event.Health = "health", e.Health
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == keptEvents {
		l.events = append(l.events[:0], l.events[1:]...)
	}
	l.events = append(l.events, event)
	l.number++
	close(l.changed)
	l.changed = make(chan struct{})
}

// since returns the events from a number on, as far as they are remembered, the
// number to go on from, and what is closed when there are more. A number that is
// still to come was given by an agent before this one, of which nothing is
// remembered.
func (l *EventLog) since(number int64) ([]Event, int64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number > l.number {
		number = 0
	}
	n := min(max(l.number-number, 0), int64(len(l.events)))
	list := append([]Event{}, l.events[len(l.events)-int(n):]...)
	return list, l.number, l.changed
}

// serveEvents answers GET /api/v1/events: the last ones as JSON with ?recent=N,
// else those to come as server-sent events.
func (a *Server) serveEvents(w http.ResponseWriter, r *http.Request) error {
	_, next, _ := a.Events.since(0)
	if r.URL.Query().Has("recent") {
		n, err := parseCount(r, "recent", 0, keptEvents)
		if err != nil {
			return err
		}
		list, _, _ := a.Events.since(next - int64(n))
		return writeJSON(w, map[string]any{"events": list})
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		var err error
		if next, err = strconv.ParseInt(id, 10, 64); err != nil {
			return badRequest("the Last-Event-ID %q is no number", id)
		}
	}
	leave, err := a.enter()
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	out := newSender(r.Context(), w)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	fmt.Fprint(out, "event: ping\ndata: {}\n\n")
	for {
		list, after, changed := a.Events.since(next)
		for i := range list {
			text, err := json.Marshal(&list[i])
			if err != nil {
				return nil
			}
			fmt.Fprintf(out, "id: %d\nevent: event\ndata: %s\n\n", after-int64(len(list)-1-i), text)
		}
		next = after
		if err := out.flush(); err != nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-changed:
		case <-ping.C:
			fmt.Fprint(out, "event: ping\ndata: {}\n\n")
		}
	}
}
