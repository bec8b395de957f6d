// Package multiline joins lines that belong together, such as those of a stack
// trace, to one message.
package multiline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tallyman/routes/lines"
)

// Mode says what it means that a line matches a rule's pattern.
type Mode uint8

// The modes, which are Logspout's.
const (
	// First: the line begins a message.
	First Mode = iota
	// NonFirst: it goes on with the message before.
	NonFirst
	// Last: it ends a message.
	Last
	// NonLast: the next line belongs to its message.
	NonLast
)

// modes are the modes' words.
var modes = []string{"first", "nonfirst", "last", "nonlast"}

// ParseMode reads a mode's word.
func ParseMode(word string) (Mode, error) {
	i := slices.Index(modes, word)
	if i < 0 {
		return 0, fmt.Errorf("unknown mode %q; known are %s", word, strings.Join(modes, ", "))
	}
	return Mode(i), nil
}

// String returns the mode's word.
func (m Mode) String() string { return modes[m] }

// state is what a rule knows of an open message; none says that there is none.
type state uint8

// The states that all rules have. What a preset adds begins with known.
const (
	none  state = iota
	plain       // one line, or one with lines that are indented
	known
)

// preset tells what a line is to the message before it: with joins it belongs to
// that, whose state becomes next; else next is that of the message it begins.
type preset func(s state, line []byte) (next state, joins bool)

// presets are the rules that are known by name.
var presets = map[string]preset{"java": java, "python": python, "go": golang, "ruby": ruby, "dotnet": dotnet}

// Presets returns the names of the rules that are known, sorted.
func Presets() []string {
	names := make([]string, 0, len(presets))
	for name := range presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Rule says which lines belong together. It is immutable.
type Rule struct {
	text    string
	preset  preset         // nil for a pattern
	pattern *lines.Pattern // nil for a preset
	mode    Mode
}

// plainWord is what is refused as a pattern, since it is more likely a preset
// that was spelled wrong.
var plainWord = regexp.MustCompile(`^[A-Za-z]+$`)

// NewRule reads the name of a preset, or else a pattern in RE2's syntax. The mode
// is that of the pattern.
func NewRule(text string, mode Mode) (*Rule, error) {
	if p, ok := presets[text]; ok {
		return &Rule{text: text, preset: p}, nil
	}
	if text == "" || plainWord.MatchString(text) {
		return nil, fmt.Errorf("unknown preset %q; known are %s; a pattern of letters only is written ^%s",
			text, strings.Join(Presets(), ", "), text)
	}
	return NewPattern(text, mode)
}

// NewPattern reads a pattern, whatever it looks like.
func NewPattern(text string, mode Mode) (*Rule, error) {
	p, err := lines.Compile(text)
	if err != nil {
		return nil, err
	}
	if text == "" || plainWord.MatchString(text) {
		text = "(?:" + text + ")" // So that NewRule takes it for a pattern too.
	}
	return &Rule{text: text, pattern: p, mode: mode}, nil
}

// String returns the rule as NewRule reads it.
func (r *Rule) String() string { return r.text }

// next is preset for any rule; ends says that the line is the last of its
// message.
func (r *Rule) next(s state, line []byte) (next state, joins, ends bool) {
	if r.preset != nil {
		next, joins = r.preset(s, line)
		return next, joins && s != none, false
	}
	matches := r.pattern.Match(line)
	switch r.mode {
	case First:
		joins = !matches
	case NonFirst:
		joins = matches
	case Last:
		joins, ends = true, matches
	case NonLast:
		joins, ends = true, !matches
	}
	return plain, joins && s != none, ends
}
