package collector

import (
	"context"
	"sync"

	"tallyman/collector/record"
)

// Sources tries one source after the other. A container stays with the source
// that took it first: a file that cannot be read for a moment must not make its
// log begin anew elsewhere.
type Sources struct {
	list []Source

	mu    sync.Mutex
	owner map[string]Source // by container ID; guarded by mu
}

var _ Source = (*Sources)(nil)

// NewSources returns a Source of others, of which the first is tried first.
func NewSources(list ...Source) *Sources {
	return &Sources{list: list, owner: make(map[string]Source)}
}

// Log returns the log of the source that the container belongs to; else that of
// the first that can read it; else the error of the last; see Source.
func (s *Sources) Log(c *record.Container) (Log, error) {
	s.mu.Lock()
	owner := s.owner[c.ID]
	s.mu.Unlock()
	if owner != nil {
		return owner.Log(c)
	}
	var log Log
	var err error
	for _, source := range s.list {
		if log, err = source.Log(c); err == nil {
			s.mu.Lock()
			s.owner[c.ID] = source
			s.mu.Unlock()
			return log, nil
		}
	}
	return nil, err
}

// Orphans returns those of all sources; see Source.
func (s *Sources) Orphans() []*record.Container {
	var all []*record.Container
	for _, source := range s.list {
		all = append(all, source.Orphans()...)
	}
	return all
}

// End tells the source that the container belongs to; see Source.
func (s *Sources) End(id string) {
	s.mu.Lock()
	owner := s.owner[id]
	delete(s.owner, id)
	s.mu.Unlock()
	if owner != nil {
		owner.End(id)
	}
}

// Sweep has every source let go of what nobody reads; see Source.
func (s *Sources) Sweep() {
	for _, source := range s.list {
		source.Sweep()
	}
}

// Run runs every source until ctx ends; see Source.
func (s *Sources) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, source := range s.list {
		group.Go(func() { source.Run(ctx) })
	}
	group.Wait()
}
