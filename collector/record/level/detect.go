package level

import "bytes"

// How much of a line is looked at: bytes, and words before the message.
const (
	searched = 512
	maxWords = 24
)

// Detect returns the level that a line names, Unknown where it names none. It
// knows the key of a JSON object or of logfmt, the prefixes of the kernel and of
// glog, and a level's word at the place where loggers put it: at the beginning,
// or behind a time, a thread's or a logger's name and the like. What a sentence
// says of errors is no level. Colours are passed over.
func Detect(line []byte) Level {
	line = line[:min(len(line), searched)]
	if len(line) > 0 && line[0] == '{' {
		return ofJSON(line)
	}
	s := scanner{text: line}
	var h header
	var w word
	for range maxWords {
		if !s.next(&w) {
			return Unknown
		}
		if w.text[0] == '{' {
			return ofJSON(line[w.start:])
		}
		l, more := h.look(&s, &w)
		if !more {
			return l
		}
		h.begun = true
	}
	return Unknown
}

// header is what is known of a line before its message.
type header struct {
	// begun says that there was a word, time that there was a time or date,
	// afterTime that it was the last word, month that the date had a name of a
	// month, and dash that the last word was a dash.
	begun, time, afterTime, month, dash bool
}

// look returns the level that a word names. While there may be more to come,
// because the word is not yet the message's, more is true.
func (h *header) look(s *scanner, w *word) (l Level, more bool) {
	afterTime, dash := h.afterTime, h.dash
	h.afterTime, h.dash = false, w.open == '|' || w.close == '|'
	text := w.text
	c := text[0]
	switch {
	case c == '<' && !h.begun:
		if l, ok := ofPriority(text); ok {
			return l, false
		}
	case c == '"' || c == '\'' || c == '/' || c == '`':
		return Unknown, false
	case isDigit(c):
		// A number at the beginning counts something, unless it is as long as a
		// time since the epoch is.
		if !h.begun && len(text) < 10 && w.open == 0 && allDigits(text) {
			return Unknown, false
		}
		h.time, h.afterTime = true, true
		return Unknown, true
	}
	if eq := bytes.IndexByte(text, '='); eq > 0 {
		if isKey(text[:eq]) {
			if l := ofValue(text[eq+1:]); l != Unknown {
				return l, false
			}
		}
		return Unknown, true
	}
	for len(text) > 0 && !isLetter(text[0]) {
		text = text[1:]
	}
	if len(text) == 0 {
		h.dash = h.dash || c == '-'
		h.afterTime = afterTime && c == '+' // The offset of a time zone.
		return Unknown, true
	}
	w.text = text
	if l, ok := h.levelOf(s, w); ok {
		return l, false
	}
	if isMonthOrDay(text) {
		h.month, h.afterTime = true, true
		return Unknown, true
	}
	return Unknown, h.isNoMessage(s, w, afterTime, dash)
}

// levelOf returns the level that a word is, where it stands and looks as loggers
// write it.
func (h *header) levelOf(s *scanner, w *word) (Level, bool) {
	text := w.text
	end := 0
	for end < len(text) && isLetter(text[end]) {
		end++
	}
	name, rest := text[:end], text[end:]
	if l, ok := ofLetter(h, s, w, name, rest); ok {
		return l, true
	}
	inBrackets := w.inBrackets && (w.close == ']' || s.following() == ']')
	l, ok := lookup(name)
	if !ok {
		switch {
		case inBrackets && len(rest) > 0:
			// The module or the thread comes first: [core:error], [main/INFO].
			return lookup(text[bytes.LastIndexAny(text, ":/")+1:])
		case inBrackets && string(name) == "Note":
			return Notice, true // MySQL's.
		case len(rest) == 1 && rest[0] == ':' && string(name) == "LOG":
			return Info, true // PostgreSQL's.
		case len(rest) == 1 && rest[0] == ':' && string(name) == "fail":
			return Error, true // That of .NET.
		}
		return Unknown, false
	}
	upper := isUpper(name)
	switch {
	case len(rest) == 0 && (upper || inBrackets):
		return l, true
	case len(rest) == 0:
		// Small letters are taken in a column of their own only.
		column := w.open == '\t' || w.open == '|' || h.time
		return l, column && (w.close == '\t' || w.close == '|' || w.wide)
	case rest[0] == ':':
		plain := len(name) >= 4 && string(name[:4]) == "fine"
		return l, upper || len(rest) == 1 && !plain
	default:
		return l, upper && (len(rest) == 1 && (rest[0] == '!' || rest[0] == ';' || rest[0] == '>') || inBrackets && rest[0] == '/')
	}
}

// ofLetter returns the level that glog or etcd writes with one letter:
// I1121 10:00:00, or 10:00:00 I | etcd.
func ofLetter(h *header, s *scanner, w *word, name, rest []byte) (Level, bool) {
	if len(name) != 1 {
		return Unknown, false
	}
	glog := !h.begun && len(rest) == 4 && allDigits(rest) && w.close == ' '
	column := h.time && len(rest) == 0 && (w.close == '|' || s.following() == '|')
	if !glog && !column {
		return Unknown, false
	}
	return letter(name[0])
}

// isNoMessage reports whether a word that is no level can stand before one.
func (h *header) isNoMessage(s *scanner, w *word, afterTime, dash bool) bool {
	text := w.text
	last := text[len(text)-1]
	switch {
	case w.inBrackets || w.close == '[':
		return true // A thread, or a process before its number.
	case last == ':' && !bytes.Contains(text, []byte("://")):
		return true // A program's name.
	case len(text) == 1 || string(text) == "npm":
		return true
	case afterTime && (h.month || len(text) <= 5 && isUpper(text)):
		h.month = false
		return true // A host's name, or a time zone.
	case dash:
		// A name in a column of its own.
		next := s.following()
		return next == '-' || next == '|' || next == ':'
	}
	// A logger's name or a source file has a dot or a colon within, a user of a
	// database an at sign.
	for i, c := range text[:len(text)-1] {
		if c == '.' || c == '@' || c == ':' {
			return isLetter(text[i+1]) || isDigit(text[i+1]) || text[i+1] == ':'
		}
	}
	return false
}

// ofPriority reads the number in angle brackets that the kernel and syslog put
// before a line: its last three bits are the severity (RFC 5424, section 6.2.1).
func ofPriority(text []byte) (Level, bool) {
	n := 0
	for i, c := range text[1:] {
		switch {
		case isDigit(c) && i < 3:
			n = 10*n + int(c-'0')
		case c == '>' && i > 0 && n < 192:
			return Emergency - Level(n&7), true
		default:
			return Unknown, false
		}
	}
	return Unknown, false
}

// letter returns the level that is written with one letter.
func letter(c byte) (Level, bool) {
	switch c {
	case 'F', 'C':
		return Critical, true
	case 'E':
		return Error, true
	case 'W':
		return Warning, true
	case 'N':
		return Notice, true
	case 'I':
		return Info, true
	case 'D':
		return Debug, true
	case 'T':
		return Trace, true
	}
	return Unknown, false
}

func isMonthOrDay(text []byte) bool {
	if len(text) != 3 {
		return false
	}
	switch string(text) {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
		"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return true
	}
	return false
}

func isDigit(c byte) bool  { return c-'0' < 10 }
func isLetter(c byte) bool { return c|0x20-'a' < 26 }

func isUpper(text []byte) bool {
	for _, c := range text {
		if c-'A' >= 26 {
			return false
		}
	}
	return true
}

func allDigits(text []byte) bool {
	for _, c := range text {
		if !isDigit(c) {
			return false
		}
	}
	return true
}
