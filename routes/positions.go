package routes

import (
	"context"
	"time"

	"tallyman/collector/record"
)

// Positions keeps what has been delivered, through restarts. It is implemented
// by checkpoint.Store.
type Positions interface {
	// Meet returns when the route first met this host; for a new one that is now.
	Meet(identity, description string, now time.Time) (first time.Time)
	Get(route, containerID string) (record.Position, record.Account, bool)
	Set(route, containerID, name string, position record.Position, account *record.Account, now time.Time)
	Delete(route, containerID string)
	Save() error
}

// closedContext returns a context that has ended.
func closedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
