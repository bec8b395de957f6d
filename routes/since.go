package routes

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"tallyman/collector/record"
)

// Since is where in the past a route begins: a time, or so long before the route
// first met this host. The zero value is no such place.
type Since struct {
	at  time.Time
	ago time.Duration
}

// ParseSince reads a duration, such as 1h30m, or a time (RFC 3339).
func ParseSince(text string) (Since, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return Since{ago: ago}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.Unix() > 0 {
		return Since{at: at}, nil
	}
	return Since{}, fmt.Errorf("bad value %q of option %q; it is a duration such as 1h30m or a time such as 2006-01-02T15:04:05Z", text, "since")
}

// String returns what ParseSince reads, empty for the zero value.
func (s Since) String() string {
	switch {
	case s.ago > 0:
		return s.ago.String()
	case !s.at.IsZero():
		return s.at.Format(time.RFC3339Nano)
	}
	return ""
}

// from returns the time before which the route wants nothing, zero for none.
// first is when it first met this host, which a restart does not change.
func (s Since) from(first time.Time) time.Time {
	if s.ago > 0 {
		return first.Add(-s.ago)
	}
	return s.at
}

// Tail bounds how many lines of a log that is older than the route it begins
// with. The zero value does not.
type Tail struct {
	bounded bool
	lines   uint32
}

// ParseTail reads a number of lines, or all. As for Docker, a number below zero
// is all.
func ParseTail(text string) (Tail, error) {
	if text == "all" {
		return Tail{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > math.MaxUint32 {
		return Tail{}, fmt.Errorf("it is a number of lines, or all")
	}
	if n < 0 {
		return Tail{}, nil
	}
	return Tail{true, uint32(n)}, nil
}

// from returns the position at which as many lines are left.
func (t Tail) from() record.Position {
	if !t.bounded {
		return record.Oldest()
	}
	return record.BeforeEnd(t.lines)
}
