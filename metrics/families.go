package metrics

import (
	"slices"
	"strings"
)

// Family describes a family of containers, for its reference.
type Family struct {
	Name, Help string
	// Type is gauge or counter.
	Type string
	// Labels are those that not every series of a container has.
	Labels []string
	// Kinds are the words of --disable-metrics, any of which leaves it out. There
	// is none for what is always shown.
	Kinds []string
}

// Families returns every family of containers, whatever is switched on, sorted
// by name.
func Families() []Family {
	var all []Family
	for _, row := range containerTable(Kinds(0).Without()) {
		f := Family{Name: row.name, Help: row.help, Type: "gauge", Labels: row.labels}
		if row.typ == counter {
			f.Type = "counter"
		}
		for _, k := range kindWords() {
			if row.kinds&k.kind != 0 {
				f.Kinds = append(f.Kinds, k.word)
			}
		}
		all = append(all, f)
	}
	state := newStates().family
	all = append(all, Family{Name: state.name, Help: state.help, Type: "gauge", Labels: state.labels})
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return all
}
