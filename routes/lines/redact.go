package lines

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// presets are the kinds of secrets that are known by name, each with what finds
// the next one at or behind from; start is below zero when there is none.
var presets = []struct {
	name string
	find func(line []byte, from int) (start, end int)
}{
	{"bearer", findBearer},
	{"card", findCard},
	{"email", findEmail},
}

// Presets returns the names of the kinds of secrets that are known, sorted.
func Presets() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

// Redactor replaces secrets in lines by [redacted:NAME].
type Redactor struct{ rules []rule }

// rule is one kind of secret: either find or pattern is set.
type rule struct {
	mark    []byte
	find    func(line []byte, from int) (start, end int)
	pattern *Pattern
}

// NewRedactor returns a redactor for nothing.
func NewRedactor() *Redactor { return new(Redactor) }

// AddPreset adds a kind of secrets that is known by name.
func (r *Redactor) AddPreset(name string) error {
	i := slices.Index(Presets(), name)
	if i < 0 {
		return fmt.Errorf("unknown kind %q; known are %s", name, strings.Join(Presets(), ", "))
	}
	r.rules = append(r.rules, rule{mark: markOf(name), find: presets[i].find})
	return nil
}

// ruleName is how a user's own kind may be called.
var ruleName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// AddPattern adds a user's own kind. Where the expression has groups, what the
// first one matches is the secret, else all of the match.
func (r *Redactor) AddPattern(name, expression string) error {
	if !ruleName.MatchString(name) {
		return fmt.Errorf("bad name %q: it is up to 32 letters, digits, _ and -", name)
	}
	p, err := Compile(expression)
	if err != nil {
		return err
	}
	r.rules = append(r.rules, rule{mark: markOf(name), pattern: p})
	return nil
}

func markOf(name string) []byte { return []byte("[redacted:" + name + "]") }

// Redact returns the line without secrets: the line itself where there is none,
// else a copy that it appends to buf. It returns buf too, which may have grown.
func (r *Redactor) Redact(buf, line []byte) (plain, grown []byte) {
	for i := range r.rules {
		start := len(buf)
		if buf = r.rules[i].append(buf, line); len(buf) > start {
			line = buf[start:len(buf):len(buf)]
		}
	}
	return line, buf
}

// append appends the line without what the rule finds, and nothing when it finds
// nothing.
func (r *rule) append(dst, line []byte) []byte {
	if r.pattern != nil {
		return r.appendMatches(dst, line)
	}
	done := 0
	for {
		start, end := r.find(line, done)
		if start < 0 {
			break
		}
		dst = append(append(dst, line[done:start]...), r.mark...)
		done = end
	}
	if done == 0 {
		return dst
	}
	return append(dst, line[done:]...)
}

func (r *rule) appendMatches(dst, line []byte) []byte {
	if !r.pattern.possible(line) {
		return dst
	}
	done := 0
	// Anchors and word boundaries need to see what is before a match, so that the
	// line is given as a whole.
	for _, place := range r.pattern.re.FindAllSubmatchIndex(line, -1) {
		start, end := place[0], place[1]
		if len(place) > 2 && place[2] >= 0 {
			start, end = place[2], place[3]
		}
		if start == end || start < done {
			continue
		}
		dst = append(append(dst, line[done:start]...), r.mark...)
		done = end
	}
	if done == 0 {
		return dst
	}
	return append(dst, line[done:]...)
}
