package lines

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limit is how many lines may pass in a period. The zero value lets all pass.
type Limit struct {
	Lines  int64
	Period time.Duration
}

// periods are the words for a limit's period.
var periods = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// ParseLimit reads a limit, such as 100/s; the word off is the zero value.
func ParseLimit(text string) (Limit, error) {
	if text == "off" {
		return Limit{}, nil
	}
	count, unit, ok := strings.Cut(text, "/")
	if !ok {
		unit = "s"
	}
	n, err := strconv.ParseInt(count, 10, 64)
	period := periods[unit]
	if err != nil || n < 1 || period == 0 || n > int64(period) {
		return Limit{}, fmt.Errorf("it is a number of lines with a period, such as 100/s, 6000/m or 10/h, or off")
	}
	return Limit{n, period}, nil
}

// String returns the limit as ParseLimit reads it.
func (l Limit) String() string {
	for unit, period := range periods {
		if l.Period == period {
			return strconv.FormatInt(l.Lines, 10) + "/" + unit
		}
	}
	return "off"
}

// Bucket says which lines pass a limit. It goes by the lines' own times, so that
// lines of the past are judged as they would have been then. It is full at
// first: as many lines as the limit names may pass at once.
type Bucket struct {
	// due is when the bucket will be full, in nanoseconds since the Unix epoch:
	// the theoretical arrival time of the generic cell rate algorithm (ITU-T
	// I.371, annex A).
	due int64
}

// Take reports whether a line of a time passes.
func (b *Bucket) Take(l Limit, at int64) bool {
	due, period := b.due, int64(l.Period)
	each := period / l.Lines
	// A bucket that will not be full after two periods says that the clock was
	// set back.
	if due < at || due-at > 2*period {
		due = at
	}
	if due-at > period-each {
		return false
	}
	b.due = due + each
	return true
}

// Share is a part of all lines, chosen by their times: the same line is chosen or
// not wherever and however often it is asked about. The zero value is all.
type Share struct {
	text  string
	below uint64
}

// ParseShare reads a share: a number between 0 and 1, such as 0.1, or 1/N.
func ParseShare(text string) (Share, error) {
	var part float64
	var err error
	if divisor, ok := strings.CutPrefix(text, "1/"); ok {
		var n uint64
		if n, err = strconv.ParseUint(divisor, 10, 32); n > 0 {
			part = 1 / float64(n)
		}
	} else {
		part, err = strconv.ParseFloat(text, 64)
	}
	if err != nil || !(part >= 1e-9 && part <= 1) {
		return Share{}, fmt.Errorf("it is a part of all lines, such as 0.1 or 1/10")
	}
	if part == 1 {
		return Share{}, nil
	}
	return Share{text, uint64(part * math.MaxUint64)}, nil
}

// String returns the share as it was written, empty for all.
func (s Share) String() string { return s.text }

// Has reports whether a line of a time is chosen.
func (s Share) Has(at int64) bool {
	if s.below == 0 {
		return true
	}
	// The finalizer of SplitMix64, which spreads neighbouring times evenly.
	x := uint64(at)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return x < s.below
}
