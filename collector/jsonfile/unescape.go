package jsonfile

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape resolves the JSON escapes of text in place and returns what is left
// of it. first is the index of the first backslash. An escape that JSON does
// not know stays as it is: a broken line is better delivered than lost.
func unescape(text []byte, first int) []byte {
	w, r := first, first
escapes:
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
			if plain := meanings[c]; plain != 0 {
				text[w] = plain
				w++
			} else {
				text[w], text[w+1] = '\\', c
				w += 2
			}
			r += 2
		}
		// In text that has escapes the next is mostly near.
		for range 2 {
			if r+8 > len(text) {
				break
			}
			word := binary.LittleEndian.Uint64(text[r:])
			n := firstBackslash(word)
			if r-w >= 8 {
				binary.LittleEndian.PutUint64(text[w:], word)
			} else {
				copy(text[w:], text[r:r+n])
			}
			w, r = w+n, r+n
			if n < 8 {
				continue escapes
			}
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

// firstBackslash returns which of the eight bytes of a little-endian word is the
// first backslash, 8 when none is.
func firstBackslash(word uint64) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	word ^= '\\' * ones
	// The lowest bit that is left is that of the first byte that is zero now.
	return bits.TrailingZeros64((word-ones)&^word&high) / 8
}

// meanings maps the letter after a backslash to what it stands for. dockerd
// writes only the first four.
var meanings = [256]byte{
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
	v := rune(hexDigits[b[2]])<<12 | rune(hexDigits[b[3]])<<8 | rune(hexDigits[b[4]])<<4 | rune(hexDigits[b[5]])
	if v < 0 {
		return 0, false
	}
	return v, true
}

// hexDigits are the values of hexadecimal digits, below zero for all else.
var hexDigits = func() (values [256]int8) {
	for c := range values {
		values[c] = -1
	}
	for i, c := range "0123456789abcdef" {
		values[c] = int8(i)
	}
	for i, c := range "ABCDEF" {
		values[c] = int8(10 + i)
	}
	return values
}()
