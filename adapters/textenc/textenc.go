// Package textenc puts lines, which may hold any bytes, into messages whose
// text has rules: JSON strings and UTF-8.
package textenc

import (
	"encoding/binary"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendJSON appends s as a JSON string with its quotes (RFC 8259, section 7).
// Each byte that is not UTF-8 becomes U+FFFD, control characters are escaped,
// and so the result holds no newline. text is kept nowhere.
func AppendJSON[T ~string | ~[]byte](dst []byte, text T) []byte {
	s := []byte(text) // Without a copy, as long as nothing is written to it.
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		if len(s)-i >= 8 && plain(binary.LittleEndian.Uint64(s[i:])) {
			i += 8
			continue
		}
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if n := validRune(s[i:]); n > 0 {
				i += n
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		i++
		start = i
		switch {
		case c >= utf8.RuneSelf:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plain reports whether eight bytes are ASCII that JSON does not escape. It may
// say no where they are, and never yes where they are not: each subtraction sets
// the highest bit of a byte that is below the subtrahend's, also after a borrow.
func plain(v uint64) bool {
	const ones, highest = 0x0101010101010101, 0x8080808080808080
	control := v - ones*' '
	quote := (v ^ ones*'"') - ones
	backslash := (v ^ ones*'\\') - ones
	return (v|control|quote|backslash)&highest == 0
}

// AppendUTF8 appends s with each byte that is not UTF-8 replaced by U+FFFD.
func AppendUTF8[T ~string | ~[]byte](dst []byte, s T) []byte {
	start := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		if n := validRune(s[i:]); n > 0 {
			i += n
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = utf8.AppendRune(dst, utf8.RuneError)
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// validRune returns the length of the character that s begins with, 0 when it
// is not UTF-8.
func validRune[T ~string | ~[]byte](s T) int {
	var head [utf8.UTFMax]byte
	r, n := utf8.DecodeRune(head[:copy(head[:], s)])
	if r == utf8.RuneError && n == 1 {
		return 0
	}
	return n
}
