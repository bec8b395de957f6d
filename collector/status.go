package collector

import (
	"maps"
	"slices"

	"tallyman/collector/engine"
)

// Unreadable is a container whose log cannot be read.
type Unreadable struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Driver string `json:"driver"`
	Reason string `json:"reason"`
}

// Status is the collector's state, for people and for the health check.
type Status struct {
	// Connected says that the engine answers and its events are followed.
	Connected bool
	// Problem is why not, empty when connected.
	Problem string
	// Engine describes the engine as it last answered.
	Engine engine.Info
	// Total, Running and Read count the containers there are, those that run,
	// and those whose log is read.
	Total, Running, Read int
	// Unreadable lists those whose log is not, in the order of their IDs.
	Unreadable []Unreadable
}

// Status returns the state of now.
func (c *Collector) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{
		Connected: c.connected, Problem: c.problem, Engine: c.info,
		Total: len(c.containers), Read: len(c.logs),
	}
	for _, container := range c.containers {
		if container.Running {
			s.Running++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.unreadable)) {
		s.Unreadable = append(s.Unreadable, c.unreadable[id])
	}
	return s
}
