package gelf

import (
	"unicode"
	"unicode/utf8"
)

// cutText returns how many bytes of text, made by textenc.AppendJSON, fit into
// most without tearing a rune or an escape.
func cutText(text []byte, most int) int {
	end := 0
	for end < len(text) {
		n := 1
		switch {
		case text[end] == '\\' && text[end+1] == 'u':
			n = len(`\u0000`)
		case text[end] == '\\':
			n = len(`\n`)
		case text[end] >= utf8.RuneSelf:
			_, n = utf8.DecodeRune(text[end:])
		}
		if end+n > most {
			break
		}
		end += n
	}
	return end
}

// cutString returns the beginning of s, of at most most bytes, that ends with a
// whole rune.
func cutString(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// blank reports whether Graylog would find nothing in a line: it holds only what
// Java's Character.isWhitespace accepts.
func blank(line []byte) bool {
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		if !javaSpace(r) {
			return false
		}
		line = line[n:]
	}
	return true
}

func javaSpace(r rune) bool {
	switch {
	case r <= ' ':
		return r == ' ' || r >= '\t' && r <= '\r' || r >= 0x1c
	case r < utf8.RuneSelf:
		return false
	case r == '\u00a0' || r == '\u2007' || r == '\u202f':
		return false // Java's white space breaks lines; these do not.
	default:
		return unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp)
	}
}
