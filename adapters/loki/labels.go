package loki

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// Loki's own limits: labels of a stream, bytes of a label's value.
const (
	maxLabels = 15
	maxValue  = 2048
)

// The labels of every stream, where they have a value.
const (
	labelContainer = "container"
	labelProject   = "compose_project"
	labelService   = "compose_service"
	labelHost      = "host"
	labelStream    = "stream"
)

// label is a label of a stream. From names the container's label that has its
// value; where it is empty, value has it.
type label struct{ name, from, value string }

// labels makes the labels of streams.
type labels struct{ all []label }

// newLabels reads the options. Names that collide and sets that Loki would
// refuse are errors.
func newLabels(c adapters.Config) (*labels, error) {
	all := []label{
		{name: labelContainer},
		{name: labelProject, from: "com.docker.compose.project"},
		{name: labelService, from: "com.docker.compose.service"},
		{name: labelHost, value: c.Hostname},
		{name: labelStream},
	}
	for from := range strings.SplitSeq(c.Options["labels"], ",") {
		if from = strings.TrimSpace(from); from != "" {
			all = append(all, label{name: labelName(from), from: from})
		}
	}
	for option, value := range c.Options {
		name, ok := strings.CutPrefix(option, "label.")
		if !ok {
			continue
		}
		if name != labelName(name) {
			return nil, fmt.Errorf("bad option %q: the name of a label is made of letters, digits and _, no digit first", option)
		}
		if value == "" {
			return nil, fmt.Errorf("bad value %q of option %q; it is any text", value, option)
		}
		all = append(all, label{name: name, value: value})
	}
	slices.SortFunc(all, func(a, b label) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(all); i++ {
		if all[i].name == all[i-1].name {
			return nil, fmt.Errorf("the label %q is there twice", all[i].name)
		}
	}
	if len(all) > maxLabels {
		return nil, fmt.Errorf("%d labels; Loki takes %d, and %d are always there", len(all), maxLabels, 5)
	}
	return &labels{all: all}, nil
}

// labelName makes a name that Prometheus and Loki take.
func labelName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, text)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	return name
}

// each calls f with every label of a stream that has a value, sorted by name.
func (l *labels) each(c *record.Container, s record.Stream, f func(name, value string)) {
	for i := range l.all {
		one := &l.all[i]
		value := one.value
		switch {
		case one.from != "":
			value = c.Label(one.from)
		case one.name == labelContainer:
			// A container that was gone before it could be asked has no name.
			if value = c.Name; value == "" {
				value = c.ShortID()
			}
		case one.name == labelStream:
			value = s.String()
		}
		if value = cut(value); value != "" {
			f(one.name, value)
		}
	}
}

// cut makes a value that Loki takes: of valid UTF-8, and not too long.
func cut(value string) string {
	value = strings.ToValidUTF8(value, "\ufffd")
	if len(value) <= maxValue {
		return value
	}
	n := maxValue
	for !utf8.RuneStart(value[n]) {
		n--
	}
	return value[:n]
}
