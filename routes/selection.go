package routes

import (
	"fmt"
	"strings"

	"tallyman/collector/record"
)

// The labels and variables by which a container says how it is to be treated.
const (
	labelExclude   = "tallyman.exclude"
	labelRoute     = "tallyman.route"
	labelName      = "tallyman.name"
	labelMultiline = "tallyman.multiline"
	labelRate      = "tallyman.rate"

	// Logspout's.
	envLogspout  = "LOGSPOUT"
	envMultiline = "LOGSPOUT_MULTILINE"
)

// noRoute is what labelRoute holds for a container that no route is to take.
const noRoute = "none"

// Selection says which containers no route takes, whatever it wants, and no
// viewer sees. The zero value leaves out those only that ask for it, by the label
// tallyman.exclude=true or, as with Logspout, by the variable LOGSPOUT=ignore.
type Selection struct {
	// SkipTTY leaves out containers with a terminal, as Logspout does without
	// ALLOW_TTY=true.
	SkipTTY bool
	// ExcludeLabels leaves out containers with one of these labels.
	ExcludeLabels []LabelValue
}

// LabelValue is a label with its value, which is compared in any case.
type LabelValue struct{ Label, Value string }

// ParseExcludeLabels reads what Logspout has in EXCLUDE_LABELS: items separated by
// semicolons, label:value, or label alone for the value true.
func ParseExcludeLabels(list string) ([]LabelValue, error) {
	var found []LabelValue
	for _, item := range strings.Split(list, ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		label, value, ok := strings.Cut(item, ":")
		if !ok {
			value = "true"
		}
		if label == "" {
			return nil, fmt.Errorf("bad item %q: it is written label or label:value", item)
		}
		found = append(found, LabelValue{label, value})
	}
	return found, nil
}

// Reason says why no route takes a container, empty where routes may.
func (s *Selection) Reason(c *record.Container) string {
	if value, _ := c.LookupEnv(envLogspout); strings.EqualFold(value, "ignore") {
		return "its environment says LOGSPOUT=ignore"
	}
	if strings.EqualFold(c.Label(labelExclude), "true") {
		return "its label says " + labelExclude + "=true"
	}
	if s.SkipTTY && c.TTY {
		return "it has a terminal, and --allow-tty (or ALLOW_TTY=true) is not set"
	}
	for _, l := range s.ExcludeLabels {
		if value, ok := c.Labels[l.Label]; ok && strings.EqualFold(value, l.Value) {
			return "its label " + l.Label + " is excluded"
		}
	}
	return ""
}

// Wants reports whether routes may take a container.
func (s *Selection) Wants(c *record.Container) bool { return s.Reason(c) == "" }

// choosesRoute reports whether a container lets a route of a name, empty for
// none, take it.
func choosesRoute(c *record.Container, name string) bool {
	list, ok := c.Labels[labelRoute]
	if !ok {
		return true
	}
	for _, item := range splitList(list) {
		if item == name {
			return true
		}
	}
	return false
}
