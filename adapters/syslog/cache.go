package syslog

import (
	"bytes"
	"time"

	"tallyman/collector/record"
)

// headers are the headers of one container's messages, one a severity, each for
// the second of its last record.
type headers struct {
	// after is what follows the timestamp and its space.
	after []byte
	// failed says that a template failed for the container.
	failed     bool
	bySeverity [len(severities)]header
}

type header struct {
	second int64
	text   []byte
	// fraction is where the digits of the second's fraction stand in text, 0
	// where there are none.
	fraction int
}

// appendHeader appends all that comes before the text of r, for headers without
// templates that read the line.
func (e *encoder) appendHeader(dst []byte, r *record.Record) []byte {
	severity := e.priority.severity(r)
	h := &e.current.bySeverity[severity]
	second, nanos := r.Time/int64(time.Second), r.Time%int64(time.Second)
	if nanos < 0 {
		second, nanos = second-1, nanos+int64(time.Second)
	}
	if second != h.second || len(h.text) == 0 {
		e.build(h, severity, second)
	}
	start := len(dst)
	dst = append(dst, h.text...)
	if h.fraction > 0 {
		putFraction(dst[start+h.fraction:][:e.digits], nanos)
	}
	return dst
}

// build makes the header of one severity and second.
func (e *encoder) build(h *header, severity int, second int64) {
	h.text = e.appendStart(h.text[:0], severity, time.Unix(second, 0).In(e.location))
	if h.fraction = 0; e.digits > 0 && !e.fields.timestamp.given {
		h.fraction = bytes.IndexByte(h.text, '.') + 1
	}
	h.text = append(h.text, e.current.after...)
	h.second = second
}

// putFraction writes the first digits of a second's fraction.
func putFraction(digits []byte, nanos int64) {
	// Divisors that the compiler knows cost a fraction of others.
	for range 9 - len(digits) {
		nanos /= 10
	}
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(nanos%10)
		nanos /= 10
	}
}

// fill makes what all headers of a container share.
func (e *encoder) fill(h *headers) {
	failures := e.failures
	h.after = h.after[:0]
	if !e.fields.headerPerLine {
		h.after = e.appendRest(h.after)
	}
	h.failed = e.failures > failures
	for i := range h.bySeverity {
		h.bySeverity[i].text = h.bySeverity[i].text[:0]
	}
}
