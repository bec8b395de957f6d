package history

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// Matcher says which lines are searched for.
type Matcher struct {
	expression *regexp.Regexp
	invert     bool
	// literals are in every line that the expression matches, the longest first.
	literals []*literal
}

// ParseMatcher reads what to search for: a regular expression in RE2's syntax,
// and a ! before it for the lines that do not match. Case matters only where the
// expression has an upper-case letter that stands for itself.
func ParseMatcher(query string) (*Matcher, error) {
	text, invert := strings.CutPrefix(query, "!")
	flags := ""
	if !hasUpper(text) {
		flags = "(?i)"
	}
	expression, err := regexp.Compile(flags + text)
	if err != nil {
		return nil, fmt.Errorf("the expression %q cannot be read: %w; a letter with a meaning of its own, such as ( or *, is written \\( or \\*", text, err)
	}
	parsed, err := syntax.Parse(flags+text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the expression %q cannot be read: %w", text, err)
	}
	m := &Matcher{expression: expression, invert: invert}
	for _, p := range required(parsed.Simplify()) {
		// Shorter ones are not worth looking for.
		if len(p.text) >= 2 {
			m.literals = append(m.literals, newLiteral(p.text, p.fold))
		}
	}
	slices.SortStableFunc(m.literals, func(a, b *literal) int { return len(b.text) - len(a.text) })
	return m, nil
}

// Match reports whether a line is searched for.
func (m *Matcher) Match(line []byte) bool {
	// Go's engine takes up to a hundred times as long as looking for a text.
	for _, l := range m.literals {
		if l.find(line) < 0 && !(l.foldsBeyond() && bytes.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII })) {
			return m.invert
		}
	}
	return m.expression.Match(line) != m.invert
}

// notLetters are those parts of an expression whose upper-case letters do not
// stand for themselves: classes, names of groups, and flags.
var notLetters = regexp.MustCompile(`\\([pP]\{[^}]*\}|[pP].|x\{[^}]*\}|x..|.)|\(\?P?<[^>]*>|\(\?[a-zA-Z-]*`)

// hasUpper reports whether an upper-case letter of an expression stands for
// itself.
func hasUpper(expression string) bool {
	return strings.ContainsFunc(notLetters.ReplaceAllString(expression, ""), unicode.IsUpper)
}

// piece is a text that is in every match, in any case where fold says so.
type piece struct {
	text string
	fold bool
}

// required returns pieces of text that every match contains and that a log file
// shows as they are.
func required(re *syntax.Regexp) (all []piece) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, text := range strings.FieldsFunc(string(re.Rune), func(r rune) bool { return !verbatim(r) }) {
			all = append(all, piece{text, re.Flags&syntax.FoldCase != 0})
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			all = append(all, required(sub)...)
		}
	}
	return all
}

// verbatim reports whether dockerd writes a letter of a line into its log file
// as it is: Go's encoder of JSON escapes the others.
func verbatim(r rune) bool {
	return r >= ' ' && r < unicode.MaxASCII && !strings.ContainsRune(`"\<>&`, r)
}

// literal finds a text, in either case where fold says so.
type literal struct {
	text []byte // in lower case where fold is set
	fold bool
	// rare is the index of the letter of the text that is expected least often,
	// lower and upper are its two cases, which are the same without fold.
	rare         int
	lower, upper byte
}

func newLiteral(text string, fold bool) *literal {
	l := &literal{text: []byte(text), fold: fold}
	if fold {
		l.text = bytes.ToLower(l.text)
	}
	for i, c := range l.text {
		if frequency(c) < frequency(l.text[l.rare]) {
			l.rare = i
		}
	}
	l.lower = l.text[l.rare]
	l.upper = l.lower
	if fold && 'a' <= l.lower && l.lower <= 'z' {
		l.upper -= 'a' - 'A'
	}
	return l
}

// frequency returns how common a letter is in log lines, roughly: what does not
// stand in the list is rarer than all that does.
func frequency(c byte) int {
	const common = `kwvybgpmufdlhcsr:-.nioat,=e12345678/90 `
	return strings.IndexByte(common, c)
}

// find returns where the text occurs first, or -1.
func (l *literal) find(b []byte) int {
	if !l.fold {
		return bytes.Index(b, l.text)
	}
	end := len(b) - len(l.text) + l.rare + 1
	if end <= l.rare {
		return -1
	}
	for at := l.rare; ; at++ {
		if at = l.next(b[:end], at); at >= end {
			return -1
		}
		if begin := at - l.rare; equalFold(b[begin:begin+len(l.text)], l.text) {
			return begin
		}
	}
}

// next returns where the letter that is expected least often comes first from at
// on, in either case; len(b) when it does not. It looks no more than twice as far
// as it has to, so that a case which never comes costs no more than the other.
func (l *literal) next(b []byte, at int) int {
	for window := 64; at < len(b); window *= 2 {
		part := b[at:min(at+window, len(b))]
		lower := bytes.IndexByte(part, l.lower)
		if lower >= 0 {
			part = part[:lower]
		}
		if upper := bytes.IndexByte(part, l.upper); upper >= 0 && l.upper != l.lower {
			return at + upper
		}
		if lower >= 0 {
			return at + lower
		}
		at += len(part)
	}
	return len(b)
}

// equalFold reports whether b is lower, which has no upper-case letter, but for
// the case of ASCII letters.
func equalFold(b, lower []byte) bool {
	for i, c := range b {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// foldsBeyond are the letters outside ASCII that are k and s in another case: the
// sign of Kelvin and the long s.
var foldsBeyond = [...][]byte{[]byte("\u212a"), []byte("\u017f")}

// foldsBeyond reports whether the text may be written with such letters.
func (l *literal) foldsBeyond() bool { return l.fold && bytes.ContainsAny(l.text, "ks") }

// prefilter returns what finds lines that may match, nil where all may.
func (m *Matcher) prefilter() func([]byte) int {
	if m.invert || len(m.literals) == 0 {
		return nil
	}
	l := m.literals[0]
	if !l.foldsBeyond() {
		return l.find
	}
	return func(b []byte) int {
		first := l.find(b)
		for _, letter := range foldsBeyond {
			area := b
			if first >= 0 {
				area = b[:first]
			}
			if i := bytes.Index(area, letter); i >= 0 {
				first = i
			}
		}
		return first
	}
}
