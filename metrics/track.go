package metrics

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

// trackLocked brings what is tracked in line with the containers there are.
func (c *Containers) trackLocked(list []*record.Container) {
	if !c.omitRoot && c.fs != nil && c.fs.SeesRoot() && (c.machine == nil || c.machine.look(false).over) {
		c.machine, c.stale = &tracked{name: "/"}, true
	}
	if c.list != nil && slices.Equal(c.list, list) {
		return
	}
	running := make(map[string]*record.Container, len(list))
	exists := make(map[string]bool, len(list))
	for _, container := range list {
		exists[container.ID] = true
		if known := c.tracked[container.ID]; known != nil && known.container.Started.Equal(container.Started) {
			known.killed = container.OOMKilled
		}
		if container.Running && container.PID > 0 {
			running[container.ID] = container
		}
	}
	for id, known := range c.tracked {
		now := running[id]
		keep := now != nil && known.isRunOf(now) || now == nil && known.end()
		if !keep {
			c.forgetLocked(id)
		}
	}
	for id, container := range running {
		c.followLocked(id, container)
	}
	maps.DeleteFunc(c.killed, func(id string, _ uint64) bool { return !exists[id] && c.tracked[id] == nil })
	names := map[string]bool{"/": true}
	for _, container := range list {
		names[container.Name] = true
	}
	maps.DeleteFunc(c.failures, func(name string, _ uint64) bool { return !names[name] })
	// Those that have ended are kept until their last sample has been shown.
	if c.list = nil; len(c.tracked) == len(running) {
		c.list = append(make([]*record.Container, 0, len(list)), list...)
	}
}

// followLocked takes in what a running container is now.
func (c *Containers) followLocked(id string, container *record.Container) *tracked {
	known := c.tracked[id]
	if known == nil {
		known = &tracked{}
		c.tracked[id] = known
		c.ids, c.list = nil, nil
		if filepath.Clean(c.root) == "/" && c.fs != nil && c.fs.SeesHost() {
			// Elsewhere the process numbers are those of another namespace.
			known.watch(c, id, container.PID)
		}
	}
	if known.container != container {
		known.container, known.name, known.own = container, container.Name, c.rules.own(container)
		c.stale = true
	}
	return known
}

// forgetLocked forgets a run of a container, and keeps only its kills.
func (c *Containers) forgetLocked(id string) {
	known := c.tracked[id]
	if known == nil {
		return
	}
	known.drop()
	if killed := known.kills(known.look(false).sample); killed > 0 {
		c.killed[id] += killed
	}
	delete(c.tracked, id)
	c.stale, c.ids, c.list = true, nil, nil
}

// failLocked counts a container that could not be read. One that ended meanwhile
// is no failure.
func (c *Containers) failLocked(known *tracked, err error) {
	if errors.Is(err, cgroup.ErrGone) {
		return
	}
	c.failures[known.name]++
	if !known.failing {
		c.logger.Warn("reading the metrics of a container", "container", known.name, "error", err)
	}
	known.failing = true
}
