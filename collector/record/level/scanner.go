package level

import "bytes"

// word is what lies between blanks, brackets, bars and commas.
type word struct {
	text []byte
	// start is its place in the line.
	start int
	// open and close are the separators right before and behind it, 0 at the
	// line's beginning and end. wide says that two blanks follow.
	open, close byte
	wide        bool
	// inBrackets says that it lies in square or round brackets.
	inBrackets bool
}

// scanner finds the words of a line and passes over what colours it.
type scanner struct {
	text  []byte
	pos   int
	depth int
}

// escape begins the sequences that colour a terminal (ECMA-48, section 5.4).
const escape = 0x1b

// The separators and the equals sign, by the bits of their code: those below 64,
// and the others less 64.
const (
	lowStops  = 1<<' ' | 1<<'\t' | 1<<'\r' | 1<<'\n' | 1<<'(' | 1<<')' | 1<<',' | 1<<escape | 1<<'='
	highStops = 1<<('['-64) | 1<<(']'-64) | 1<<('|'-64)
)

// stops reports whether c ends a word, or may.
func stops(c byte) bool {
	// A shift by 64 or more leaves nothing.
	return (uint64(lowStops)>>c|uint64(highStops)>>(c-64))&1 != 0
}

// next finds the next word. It is false when there is none.
func (s *scanner) next(w *word) bool {
	text := s.text
	i := s.pos
	w.open = 0
	for ; i < len(text); i++ {
		c := text[i]
		if !stops(c) || c == '=' {
			break
		}
		switch c {
		case '[', '(':
			s.depth++
		case ']', ')':
			s.depth = max(s.depth-1, 0)
		case escape:
			i = pastEscape(text, i) - 1
			continue
		}
		w.open = c
	}
	if i >= len(text) {
		return false
	}
	end := i
	for ; end < len(text); end++ {
		if c := text[end]; !stops(c) {
			continue
		} else if c != '=' {
			break
		}
		if end+1 < len(text) && text[end+1] == '"' {
			end = pastString(text, end+2)
			break
		}
	}
	s.pos = end
	w.start, w.text, w.inBrackets = i, text[i:end], s.depth > 0
	for end < len(text) && text[end] == escape {
		end = pastEscape(text, end)
	}
	w.close, w.wide = 0, false
	if end < len(text) {
		w.close = text[end]
		w.wide = w.close == ' ' && end+1 < len(text) && text[end+1] == ' '
	}
	return true
}

// following returns the next byte that is no blank and no colour, 0 at the end.
func (s *scanner) following() byte {
	for i := s.pos; i < len(s.text); i++ {
		switch c := s.text[i]; c {
		case ' ', '\t':
		case escape:
			i = pastEscape(s.text, i) - 1
		default:
			return c
		}
	}
	return 0
}

// pastEscape returns the place behind the escape sequence at i.
func pastEscape(text []byte, i int) int {
	if i++; i >= len(text) || text[i] != '[' {
		return min(i+1, len(text))
	}
	for i++; i < len(text); i++ {
		if c := text[i]; c >= 0x40 && c <= 0x7e {
			return i + 1
		}
	}
	return i
}

// pastString returns the place behind the string whose first byte after its
// quote is at i.
func pastString(text []byte, i int) int {
	for i < len(text) {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return len(text)
		}
		end := i + n
		// An odd number of backslashes before it makes it a part of the text.
		slashes := 0
		for end-slashes > i && text[end-slashes-1] == '\\' {
			slashes++
		}
		if i = end + 1; slashes%2 == 0 {
			return i
		}
	}
	return len(text)
}
