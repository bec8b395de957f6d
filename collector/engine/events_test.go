package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// drain receives until both channels are closed and returns the one error.
func drain(t *testing.T, events <-chan engine.Event, failed <-chan error) error {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var errs []error
	for events != nil || failed != nil {
		select {
		case _, ok := <-events:
			if !ok {
				events = nil
			}
		case err, ok := <-failed:
			if !ok {
				failed = nil
				break
			}
			errs = append(errs, err)
		case <-deadline:
			t.Fatal("the stream did not end")
		}
	}
	if len(errs) != 1 {
		t.Fatalf("the stream ended with %d errors: %v", len(errs), errs)
	}
	return errs[0]
}

func next(t *testing.T, events <-chan engine.Event, failed <-chan error) engine.Event {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatalf("the stream ended: %v", <-failed)
		}
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event came")
	}
	return engine.Event{}
}

const (
	startMessage = `{"Type":"container","Action":"start","Actor":{"ID":"a","Attributes":{"name":"n","image":"i"}},"time":1795225145,"timeNano":1795225145847927820}`
	execMessage  = `{"Type":"container","Action":"exec_start: sh ","Actor":{"ID":"a"},"time":1795225145,"timeNano":1795225145847927820}`
	pullMessage  = `{"Type":"image","Action":"create","Actor":{"ID":"i"},"time":1795225145,"timeNano":1795225145847927820}`
	healthOld    = `{"Type":"container","Action":"health_status: healthy","Actor":{"ID":"b","Attributes":{}},"time":1795225146}`
)

func TestEventsAskForWhatIsWanted(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		for _, want := range []string{`"container"`, `"create"`, `"start"`, `"die"`, `"destroy"`, `"rename"`,
			`"pause"`, `"unpause"`, `"oom"`, `"update"`, `"health_status"`,
		} {
			if !strings.Contains(query.Get("filters"), want) {
				refuse(w, http.StatusBadRequest, "no "+want+" in "+query.Get("filters"))
				return
			}
		}
		if got := query.Get("since"); got != "1795225145.000000042" {
			refuse(w, http.StatusBadRequest, "since is "+got)
			return
		}
		// The second and third would not come from dockerd.
		_, _ = io.WriteString(w, startMessage+execMessage+pullMessage+healthOld)
		_ = http.NewResponseController(w).Flush()
		fake.hang(w, r)
	})
	c := newClient(t, engine.Options{Host: fake.host})
	ctx, cancel := context.WithCancel(t.Context())
	events, failed := c.Events(ctx, time.Unix(1795225145, 42))
	first := next(t, events, failed)
	if first.Action != engine.ActionStart || first.ID != "a" || first.Attributes["name"] != "n" ||
		!first.Time.Equal(time.Unix(0, 1795225145847927820)) {
		t.Errorf("first event: %+v", first)
	}
	second := next(t, events, failed)
	if second.Action != engine.ActionHealth || second.ID != "b" || !second.Time.Equal(time.Unix(1795225146, 0)) {
		t.Errorf("second event: %+v", second)
	}
	cancel()
	if err := drain(t, events, failed); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v, want %v", err, context.Canceled)
	}
}

func TestStreamCutInTheMiddle(t *testing.T) {
	f := func(sent string) {
		t.Helper()
		fake := newFake(t)
		fake.ping()
		fake.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, sent)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		c := newClient(t, engine.Options{Host: fake.host})
		events, failed := c.Events(t.Context(), time.Time{})
		if e := next(t, events, failed); e.ID != "a" {
			t.Errorf("event: %+v", e)
		}
		if err := drain(t, events, failed); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the stream ended with %v", err)
		}
	}
	f(startMessage)
	f(startMessage + startMessage[:40])
}

func TestStreamThatEndsIsAnError(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/events", answer(startMessage))
	c := newClient(t, engine.Options{Host: fake.host})
	events, failed := c.Events(t.Context(), time.Time{})
	if err := drain(t, events, failed); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestCloseEndsStreams(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		fake.hang(w, r)
	})
	c := newClient(t, engine.Options{Host: fake.host})
	events, failed := c.Events(t.Context(), time.Time{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := drain(t, events, failed); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestStreamEndsThoughNobodyReceives(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, startMessage); err != nil {
				return
			}
		}
	})
	c := newClient(t, engine.Options{Host: fake.host})
	ctx, cancel := context.WithCancel(t.Context())
	_, failed := c.Events(ctx, time.Time{})
	cancel()
	select {
	case err := <-failed:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the stream ended with %v, want %v", err, context.Canceled)
		}
	case <-time.After(30 * time.Second):
		t.Error("the stream did not end")
	}
}

func TestFromEvent(t *testing.T) {
	at := time.Unix(1795225145, 42).UTC()
	attributes := func(more ...string) map[string]string {
		m := map[string]string{"name": "n", "image": "i:1", "team": "a"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	f := func(action string, attributes map[string]string, want record.Container) {
		t.Helper()
		before := fmt.Sprint(attributes)
		want.ID, want.Name, want.Image = "x", "n", "i:1"
		if want.Labels == nil {
			want.Labels = map[string]string{"team": "a"}
		}
		got := engine.FromEvent(engine.Event{Time: at, Action: action, ID: "x", Attributes: attributes})
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("FromEvent(%s) = %+v, want %+v", action, *got, want)
		}
		if fmt.Sprint(attributes) != before {
			t.Errorf("FromEvent(%s) changed the attributes", action)
		}
	}
	f(engine.ActionCreate, attributes(), record.Container{Status: "created", Created: at})
	f(engine.ActionStart, attributes(), record.Container{Status: "running", Running: true, Started: at})
	f(engine.ActionPause, attributes(), record.Container{Status: "paused", Running: true})
	f(engine.ActionOOM, attributes(), record.Container{Status: "running", Running: true, OOMKilled: true})
	f(engine.ActionDie, attributes("exitCode", "137", "execDuration", "3"),
		record.Container{Status: "exited", Finished: at, ExitCode: 137})
	f(engine.ActionDestroy, attributes(), record.Container{Status: "dead"})
	f(engine.ActionRename, attributes("oldName", "/m"), record.Container{})
	// What belongs to one action is a label in another.
	f(engine.ActionStart, attributes("exitCode", "1"), record.Container{
		Status: "running", Running: true, Started: at,
		Labels: map[string]string{"team": "a", "exitCode": "1"},
	})
	empty := engine.FromEvent(engine.Event{ID: "x", Action: engine.ActionDestroy})
	if empty.ID != "x" || empty.Name != "" || len(empty.Labels) != 0 {
		t.Errorf("without attributes: %+v", empty)
	}
}
