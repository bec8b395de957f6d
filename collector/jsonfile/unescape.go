package jsonfile

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape resolves the JSON escapes of text in place and returns what is left
// of it. first is the index of the first backslash. An escape that JSON does
// not know stays as it is: a broken line is better delivered than lost.
func unescape(text []byte, first int) []byte {
	w, r := first, first
	for {
		// text[r] is a backslash.
		if r+1 >= len(text) {
			text[w] = '\\'
			return text[:w+1]
		}
		c := text[r+1]
		if c == 'u' {
			used, ch, ok := unicodeEscape(text[r:])
			if ok {
				w += utf8.EncodeRune(text[w:r+used], ch)
			} else {
				w += copy(text[w:], text[r:r+used])
			}
			r += used
		} else {
			if plain := escapes[c]; plain != 0 {
				text[w] = plain
				w++
			} else {
				text[w], text[w+1] = '\\', c
				w += 2
			}
			r += 2
		}
		n := bytes.IndexByte(text[r:], '\\')
		if n < 0 {
			w += copy(text[w:], text[r:])
			return text[:w]
		}
		w += copy(text[w:], text[r:r+n])
		r += n
	}
}

// escapes maps the letter after a backslash to what it stands for. dockerd
// writes only the first four.
var escapes = [256]byte{
	'"': '"', '\\': '\\', 'n': '\n', 'r': '\r',
	't': '\t', 'b': '\b', 'f': '\f', '/': '/',
}

// unicodeEscape reads \uXXXX, or a pair of them that make one rune, at the start
// of b. used is how many bytes it took.
func unicodeEscape(b []byte) (used int, ch rune, ok bool) {
	first, ok := hex4(b)
	if !ok {
		return 2, 0, false
	}
	if !utf16.IsSurrogate(first) {
		return 6, first, true
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if second, ok := hex4(b[6:]); ok {
			if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
				return 12, pair, true
			}
		}
	}
	return 6, utf8.RuneError, true
}

// hex4 reads the four hexadecimal digits of \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 {
		return 0, false
	}
	var v rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
