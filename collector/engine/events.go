package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"tallyman/collector/record"
)

// eventBuffer is how many events may wait for the collector. The engine itself
// keeps 1024 for each listener and then drops them without a word.
const eventBuffer = 256

// errClosed is what a stream ends with when its client is closed.
var errClosed = errors.New("the client was closed")

// Events streams what happens to containers; see Engine.
func (c *Client) Events(ctx context.Context, since time.Time) (<-chan Event, <-chan error) {
	out := make(chan Event, eventBuffer)
	failed := make(chan error, 1)
	opened := make(chan struct{})
	c.streams.Go(func() {
		defer close(failed)
		defer close(out)
		failed <- c.stream(ctx, since, out, opened)
	})
	<-opened
	return out, failed
}

// stream copies events to out until ctx ends, the client is closed or the stream
// breaks, and says why. It closes opened when the engine has answered.
func (c *Client) stream(ctx context.Context, since time.Time, out chan<- Event, opened chan<- struct{}) error {
	const doing = "reading the engine's events"
	streamCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.stopped, func() { cancel(errClosed) })()

	// The stream has no deadline, its opening does.
	late := fmt.Errorf("no answer from the engine within %s: %w", c.options.Timeout, context.DeadlineExceeded)
	opening := time.AfterFunc(c.options.Timeout, func() { cancel(late) })
	messages, failed, err := c.open(streamCtx, since)
	opening.Stop()
	close(opened)
	if err != nil {
		return c.explain(streamCtx, doing, err)
	}
	// The library's goroutine ends when its context does, and closes failed.
	defer func() {
		cancel(nil)
		for range failed {
		}
	}()
	for {
		select {
		case message := <-messages:
			if event, ok := fromMessage(message); ok {
				select {
				case out <- event:
				case <-streamCtx.Done():
				}
			}
		case err := <-failed:
			if streamCtx.Err() == nil {
				// Whatever cut the stream, the engine may come back as another.
				c.forget()
			}
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return c.explain(streamCtx, doing, err)
		}
	}
}

// open asks for the stream and returns when the engine has answered.
func (c *Client) open(ctx context.Context, since time.Time) (<-chan events.Message, <-chan error, error) {
	api, err := c.negotiated(ctx)
	if err != nil {
		return nil, nil, err
	}
	options := events.ListOptions{Filters: filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)))}
	for _, action := range []string{
		ActionCreate, ActionStart, ActionDie, ActionDestroy, ActionRename,
		ActionPause, ActionUnpause, ActionOOM, ActionUpdate, ActionHealth,
	} {
		options.Filters.Add("event", action)
	}
	if !since.IsZero() {
		options.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	messages, failed := api.events(ctx, options)
	return messages, failed, nil
}

// fromMessage translates one of the engine's messages, if it is one that was
// asked for. Engines match a prefix of the action, and other implementations of
// the API may not filter at all.
func fromMessage(m events.Message) (Event, bool) {
	action, detail, _ := strings.Cut(string(m.Action), ":")
	if m.Type != events.ContainerEventType || m.Actor.ID == "" || !known(action) {
		return Event{}, false
	}
	at := time.Unix(0, m.TimeNano)
	if m.TimeNano == 0 {
		at = time.Unix(m.Time, 0)
	}
	e := Event{Time: at.UTC(), Action: action, ID: m.Actor.ID, Attributes: m.Actor.Attributes}
	if action == ActionHealth {
		e.Health = strings.TrimSpace(detail)
	}
	return e, true
}

func known(action string) bool {
	switch action {
	case ActionCreate, ActionStart, ActionDie, ActionDestroy, ActionRename,
		ActionPause, ActionUnpause, ActionOOM, ActionUpdate, ActionHealth:
		return true
	}
	return false
}

// FromEvent makes what can be known of a container from an event alone, for a
// container that vanished before it could be inspected.
func FromEvent(e Event) *record.Container {
	c := &record.Container{
		ID:     e.ID,
		Name:   strings.TrimPrefix(e.Attributes["name"], "/"),
		Image:  e.Attributes["image"],
		Labels: maps.Clone(e.Attributes),
	}
	delete(c.Labels, "name")
	delete(c.Labels, "image")
	switch e.Action {
	case ActionCreate:
		c.Status, c.Created = "created", e.Time
	case ActionStart:
		c.Status, c.Running, c.Started = "running", true, e.Time
	case ActionUnpause, ActionHealth, ActionOOM:
		c.Status, c.Running = "running", true
		c.OOMKilled = e.Action == ActionOOM
	case ActionPause:
		c.Status, c.Running = "paused", true
	case ActionDie:
		c.Status, c.Finished = "exited", e.Time
		// A label of this name is hidden by the engine's own attribute.
		if code, err := strconv.Atoi(e.Attributes["exitCode"]); err == nil {
			c.ExitCode = code
		}
		delete(c.Labels, "exitCode")
		delete(c.Labels, "execDuration")
	case ActionDestroy:
		c.Status = "dead"
	case ActionRename:
		delete(c.Labels, "oldName")
	}
	return c
}
