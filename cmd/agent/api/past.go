package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tallyman/collector/apilog"
	"tallyman/collector/engine"
	"tallyman/collector/history"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
)

// copyTime is how long the engine may take to give a part of a log.
const copyTime = 30 * time.Second

// isCopied reports whether a container's log is read through the engine.
func (a *Server) isCopied(c *record.Container) bool {
	if log := a.Collector.Log(c.ID); log != nil {
		_, copied := log.(*apilog.Log)
		return copied
	}
	_, err := a.Files.Get()
	return err != nil || c.LogDriver != "" && c.LogDriver != jsonfile.Driver
}

// readable says why a container's past cannot be read, nil when it can.
func (a *Server) readable(c *record.Container) error {
	for _, u := range a.Collector.Status().Unreadable {
		if u.ID == c.ID {
			return apiError{http.StatusUnprocessableEntity, fmt.Errorf("the past of container %s cannot be shown: %s", c.Name, u.Reason)}
		}
	}
	if dir, err := a.Files.Get(); dir == "" && err == nil {
		return apiError{http.StatusServiceUnavailable, errors.New("the container engine has not answered yet; try again")}
	}
	return nil
}

// targets returns those of the containers whose past can be read. The error is
// for the case that none can. What is read ends with ctx.
func (a *Server) targets(ctx context.Context, list []*record.Container) ([]history.Target, error) {
	var found []history.Target
	var failure error
	for _, c := range list {
		if err := a.readable(c); err != nil {
			failure = err
			continue
		}
		found = append(found, history.Target{Container: c, Open: func(w history.Stretch) (*history.Past, error) {
			if a.isCopied(c) {
				return a.copyPast(ctx, c, w)
			}
			dir, err := a.Files.Get()
			if err != nil {
				return nil, err
			}
			return history.Files(jsonfile.HistoryOptions{Dir: dir, ID: c.ID, TempDir: a.TempDir(), TTY: c.TTY, Ended: !c.Running})
		}})
	}
	if len(found) == 0 && failure != nil {
		return nil, failure
	}
	return found, nil
}

// copyPast asks the engine for a part of a log. That of a container which has gone
// meanwhile is empty.
func (a *Server) copyPast(ctx context.Context, c *record.Container, w history.Stretch) (*history.Past, error) {
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	o := engine.LogOptions{Since: w.Since, Until: w.Until, Last: w.Last}
	past, err := history.Copy(a.TempDir(), w, !c.Running, func(give func(*record.Record) error) error {
		err := apilog.ReadPast(ctx, a.Logs, c, o, give)
		if errors.Is(err, engine.ErrNotFound) {
			return nil
		}
		return err
	})
	switch {
	case errors.Is(err, engine.ErrUnreadable):
		return nil, apiError{http.StatusUnprocessableEntity, err}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, apiError{http.StatusGatewayTimeout, fmt.Errorf("the engine takes longer than %s to give the log of container %s; "+
			"ask for less of it with since= and until=", copyTime, c.Name)}
	}
	return past, err
}
