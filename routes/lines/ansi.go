// Package lines holds what a route can do with a single line: match it, strip
// colours, redact, sample and limit. Nothing here keeps a line or allocates for
// one, but for matches of a user's own pattern for redaction.
package lines

import "bytes"

const (
	escape = 0x1b
	bell   = 0x07
)

// HasANSI reports whether a line may hold an escape sequence.
func HasANSI(line []byte) bool { return bytes.IndexByte(line, escape) >= 0 }

// AppendPlain appends a line without the escape sequences of terminals: those of
// ECMA-48, section 5.4, such as colours, and the control strings of section 5.6,
// such as links and window titles. Of a sequence that does not end only the
// escape character is left out.
func AppendPlain(dst, line []byte) []byte {
	for {
		i := bytes.IndexByte(line, escape)
		if i < 0 {
			return append(dst, line...)
		}
		dst = append(dst, line[:i]...)
		line = line[i+1:]
		line = line[sequenceLength(line):]
	}
}

// sequenceLength returns how many bytes behind an escape character belong to its
// sequence, 0 when it does not end.
func sequenceLength(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	i := 0
	switch text[0] {
	case '[':
		// Parameters and intermediate bytes, then the final byte.
		for i = 1; i < len(text) && text[i] >= 0x20 && text[i] <= 0x3f; i++ {
		}
		if i < len(text) && text[i] >= 0x40 && text[i] <= 0x7e {
			return i + 1
		}
		return 0
	case ']', 'P', 'X', '^', '_':
		// A control string, up to its terminator; terminals take a bell for one.
		for i = 1; i < len(text); i++ {
			if text[i] == bell {
				return i + 1
			}
			if text[i] == escape {
				if i+1 < len(text) && text[i+1] == '\\' {
					return i + 2
				}
				return 0
			}
		}
		return 0
	}
	for i < len(text) && text[i] >= 0x20 && text[i] <= 0x2f {
		i++
	}
	if i < len(text) && text[i] >= 0x30 && text[i] <= 0x7e {
		return i + 1
	}
	return 0
}
