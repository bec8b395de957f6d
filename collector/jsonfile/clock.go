package jsonfile

import "time"

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
	second [len(secondLayout)]byte
	nanos  int64
}

// parse reads an RFC 3339 time and returns nanoseconds since the Unix epoch.
func (c *clock) parse(text []byte) (int64, bool) {
	n := len(text)
	if n < minTimeLen || n > maxTimeLen || text[n-1] != 'Z' {
		return parseAny(text)
	}
	if string(text[:len(secondLayout)]) != string(c.second[:]) && !c.turn(text[:len(secondLayout)]) {
		return 0, false
	}
	if n == minTimeLen {
		return c.nanos, true
	}
	if text[len(secondLayout)] != '.' || n == minTimeLen+1 {
		return 0, false
	}
	fraction := int64(0)
	digits := text[len(secondLayout)+1 : n-1]
	for _, d := range digits {
		d -= '0'
		if d > 9 {
			return 0, false
		}
		fraction = fraction*10 + int64(d)
	}
	return c.nanos + fraction*powers[9-len(digits)], true
}

var powers = [10]int64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// turn sets the second that the clock keeps.
func (c *clock) turn(second []byte) bool {
	at, err := time.Parse(secondLayout, string(second))
	if err != nil {
		return false
	}
	copy(c.second[:], second)
	c.nanos = at.UnixNano()
	return true
}

func parseAny(text []byte) (int64, bool) {
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return 0, false
	}
	return at.UnixNano(), true
}
