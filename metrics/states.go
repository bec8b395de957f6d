package metrics

import (
	"maps"
	"slices"
	"strings"

	"tallyman/collector/record"
)

// states renders what every container does that exists, also those that do not
// run, which have no other series: an alert can tell a container that was stopped
// from one that was removed.
type states struct {
	family description
	// list are the containers as they were last, and sorted the same by their IDs
	// with their labels.
	list   []*record.Container
	sorted []stateBlock
}

type stateBlock struct {
	container *record.Container
	block     *block
}

func newStates() states {
	return states{
		family: description{name: "tallyman_container_state", help: "1, with what the container does as a label, in the engine's words: created, running, paused, restarting, exited, dead.", labels: []string{"state"}},
	}
}

// write renders the containers of a list. The labels in union, those of containers
// that run, were rendered anew when fresh.
func (s *states) write(w *writer, list []*record.Container, rules labelRules, union []string, fresh bool) {
	// A container that has changed is another record.
	if fresh || !slices.Equal(s.list, list) {
		s.list = slices.Clone(list)
		s.render(rules, union)
	}
	w.begin(&s.family)
	for i := range s.sorted {
		w.block = s.sorted[i].block
		w.with(1, s.sorted[i].container.Status)
	}
}

// render renders the labels of the list, also those that only containers bring that
// do not run.
func (s *states) render(rules labelRules, union []string) {
	list := slices.Clone(s.list)
	slices.SortFunc(list, func(a, b *record.Container) int { return strings.Compare(a.ID, b.ID) })
	names := make(map[string]bool)
	for _, name := range union {
		names[name] = true
	}
	own := make([]map[string]string, len(list))
	for i, container := range list {
		own[i] = rules.own(container)
		for name := range own[i] {
			names[name] = true
		}
	}
	union = slices.Sorted(maps.Keys(names))
	s.sorted = make([]stateBlock, 0, len(list))
	for i, container := range list {
		// There is no cgroup to name, and the series is to go on when it stops.
		s.sorted = append(s.sorted, stateBlock{container, containerBlock("", container.Name, container.Image, own[i], union)})
	}
}
