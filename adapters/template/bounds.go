package template

import (
	"encoding/json"
	"fmt"
	"text/template"
	"text/template/parse"
)

// Bounds of one run. A template may count up to any number, call itself and
// double a text again and again; the longest line, written as JSON, is far below
// them.
const (
	// maxText is how many bytes it may write, or have a function make.
	maxText = 8 << 20
	// maxSteps is how many times it may write, go around a loop or begin a
	// template within.
	maxSteps = 10_000
)

var (
	errTooLong = fmt.Errorf("it makes more than %d bytes", maxText)
	errEndless = fmt.Errorf("it takes more than %d steps", maxSteps)
)

// output collects what a template writes, within its bounds.
type output struct {
	bytes []byte
	// room is how many more bytes may be written, steps how many more times.
	room, steps int
}

// Write appends p. An error ends the template.
func (o *output) Write(p []byte) (int, error) {
	if o.steps--; o.steps < 0 {
		return 0, errEndless
	}
	if o.room -= len(p); o.room < 0 {
		return 0, errTooLong
	}
	o.bytes = append(o.bytes, p...)
	return len(p), nil
}

// addSteps has a template write nothing at its beginning and at that of each
// loop's body, for it is by what is written that an endless one is found.
func addSteps(root *parse.ListNode) {
	addStepsWithin(root)
	addStep(root)
}

func addStepsWithin(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.IfNode:
			addStepsWithin(n.List)
			addStepsWithin(n.ElseList)
		case *parse.WithNode:
			addStepsWithin(n.List)
			addStepsWithin(n.ElseList)
		case *parse.RangeNode:
			addSteps(n.List)
			addStepsWithin(n.ElseList)
		}
	}
}

func addStep(list *parse.ListNode) {
	nothing := &parse.TextNode{NodeType: parse.NodeText}
	list.Nodes = append([]parse.Node{nothing}, list.Nodes...)
}

// functions are Logspout's, and those of text/template that make texts of any
// length.
func functions() template.FuncMap {
	return template.FuncMap{
		"toJSON": func(v any) (string, error) {
			text, err := json.Marshal(v)
			if err != nil {
				return "", err
			}
			return bounded(string(text))
		},
		"printf":   func(format string, args ...any) (string, error) { return bounded(fmt.Sprintf(format, args...)) },
		"print":    func(args ...any) (string, error) { return bounded(fmt.Sprint(args...)) },
		"println":  func(args ...any) (string, error) { return bounded(fmt.Sprintln(args...)) },
		"html":     func(args ...any) (string, error) { return bounded(template.HTMLEscaper(args...)) },
		"js":       func(args ...any) (string, error) { return bounded(template.JSEscaper(args...)) },
		"urlquery": func(args ...any) (string, error) { return bounded(template.URLQueryEscaper(args...)) },
	}
}

func bounded(text string) (string, error) {
	if len(text) > maxText {
		return "", errTooLong
	}
	return text, nil
}
