package collector

import (
	"context"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// Source gives the logs of those containers that are read in one way.
type Source interface {
	// Log returns the log of a container, opening it if need be, and tells it
	// what the container is now. The error says why this source cannot read the
	// container and what to do about it.
	Log(c *record.Container) (Log, error)
	// Orphans returns containers that the engine may no longer have, of whose log
	// something is left that was not delivered before the agent ended.
	Orphans() []*record.Container
	// End says that the engine has removed a container.
	End(id string)
	// Sweep lets go of the logs of removed containers that nobody reads.
	Sweep()
	// Run watches the logs until ctx ends, and returns when all that it started
	// has ended.
	Run(ctx context.Context)
}

// Opener opens the source of an engine's logs.
type Opener func(engine.Info) (Source, error)
