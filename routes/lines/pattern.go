package lines

import "regexp"

// Pattern is a regular expression in RE2's syntax. Matching takes time in
// proportion to the line's length whatever the line holds, and for most
// expressions that people write about logs it is a search for a few words.
type Pattern struct {
	re *regexp.Regexp
	// words are texts of which every match holds at least one; none when nothing
	// of the kind is known. exact says that a line that holds one matches.
	words []needle
	exact bool
}

// Compile reads an expression. The error is that of package regexp.
func Compile(expression string) (*Pattern, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, err
	}
	p := &Pattern{re: re}
	n := requiredWords(expression)
	p.exact = n.exact
	for _, w := range n.words {
		p.words = append(p.words, newNeedle(w.text, w.fold))
	}
	return p, nil
}

// String returns the expression as it was written.
func (p *Pattern) String() string { return p.re.String() }

// Match reports whether some part of the line matches.
func (p *Pattern) Match(line []byte) bool {
	if !p.possible(line) {
		return false
	}
	return p.exact || p.re.Match(line)
}

// possible reports whether the line holds one of the words, without which it
// cannot match.
func (p *Pattern) possible(line []byte) bool {
	for i := range p.words {
		if p.words[i].index(line) >= 0 {
			return true
		}
	}
	return len(p.words) == 0
}
