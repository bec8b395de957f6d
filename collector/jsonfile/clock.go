package jsonfile

import (
	"encoding/binary"
	"time"
)

const (
	secondLayout = "2006-01-02T15:04:05"
	// minTimeLen and maxTimeLen are the lengths of dockerd's times: seconds and
	// a Z, and up to a point and nine digits between them.
	minTimeLen = len(secondLayout) + 1
	maxTimeLen = len(secondLayout) + 11
)

// clock parses dockerd's times. Most lines share their second with the line
// before, so it keeps that second's text and value.
type clock struct {
	second secondWords
	nanos  int64
}

// secondWords are the text of a second, as words that are compared faster than
// text: the first 16 bytes, and the last eight.
type secondWords [3]uint64

func wordsOf(text []byte) secondWords {
	_ = text[len(secondLayout)-1]
	return secondWords{
		binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[8:]),
		binary.LittleEndian.Uint64(text[len(secondLayout)-8:]),
	}
}

// parse reads an RFC 3339 time and returns nanoseconds since the Unix epoch.
func (c *clock) parse(text []byte) (int64, bool) {
	n := len(text)
	if n < minTimeLen || n > maxTimeLen || text[n-1] != 'Z' {
		return parseAny(text)
	}
	if words := wordsOf(text); words != c.second && !c.turn(text[:len(secondLayout)], words) {
		return 0, false
	}
	if n == minTimeLen {
		return c.nanos, true
	}
	if text[len(secondLayout)] != '.' || n == minTimeLen+1 {
		return 0, false
	}
	fraction, ok := fractionOf(text[len(secondLayout)+1 : n-1])
	return c.nanos + fraction, ok
}

// fractionOf reads the digits behind the point and returns nanoseconds. Nine times
// in ten there are nine.
func fractionOf(digits []byte) (int64, bool) {
	if len(digits) == 9 {
		first, ok := eightDigits(binary.LittleEndian.Uint64(digits))
		last := digits[8] - '0'
		return int64(first)*10 + int64(last), ok && last <= 9
	}
	fraction := int64(0)
	for _, d := range digits {
		d -= '0'
		if d > 9 {
			return 0, false
		}
		fraction = fraction*10 + int64(d)
	}
	return fraction * powers[9-len(digits)], true
}

// eightDigits reads eight decimal digits from a little-endian word: all pairs become
// numbers of two digits at once, then pairs of those, then the last two.
func eightDigits(word uint64) (uint64, bool) {
	const zeros, high, toNine = 0x3030303030303030, 0xf0f0f0f0f0f0f0f0, 0x0606060606060606
	word -= zeros
	// A byte is above nine where it, or it and six, is above fifteen. The borrow of
	// a byte that was below zero makes itself one of those.
	if (word|(word+toNine))&high != 0 {
		return 0, false
	}
	word = word*10 + word>>8
	word = (word & 0x00ff00ff00ff00ff) * (1 + 100<<16) >> 16
	word = (word & 0x0000ffff0000ffff) * (1 + 10000<<32) >> 32
	return word, true
}

var powers = [10]int64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// turn sets the second that the clock keeps.
func (c *clock) turn(text []byte, words secondWords) bool {
	at, err := time.Parse(secondLayout, string(text))
	if err != nil {
		return false
	}
	c.second, c.nanos = words, at.UnixNano()
	return true
}

func parseAny(text []byte) (int64, bool) {
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return 0, false
	}
	return at.UnixNano(), true
}
