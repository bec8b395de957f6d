package gelf

import (
	"errors"
	"fmt"
	"strconv"

	library "github.com/Graylog2/go-gelf/gelf"

	"tallyman/adapters"
	"tallyman/adapters/textenc"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// errBlank is why a blank line is rejected.
var errBlank = errors.New("the line is blank, and Graylog takes no message without text")

// encoder writes GELF 1.1 messages, https://go2docs.graylog.org/current/getting_in_log_data/gelf.html.
// It implements wire.Encoder.
//
// It takes the place of the library's Message, which costs 5.2 µs and 19
// allocations for a line of 200 bytes, against 0.15 µs and none.
type encoder struct {
	maker fieldMaker
	// most is the longest message in bytes, without a terminator.
	most int
	// end is what tells a message from the next one: a NUL over TCP, a newline in
	// the body of a request.
	end string
	// detect takes the level from the line, where it names one.
	detect bool
	// objects makes fields of a line that is a JSON object.
	objects bool
	// keepBlank sends blank lines, and reject gives lines up that are too long,
	// which otherwise are cut.
	keepBlank, reject bool
	count             func(event string, lines int64)

	cache wire.Cache[fields]
	// current holds the fields of the batch's container.
	current *fields
	parser  parser
}

// Begin finds the container's fields.
func (e *encoder) Begin(c *record.Container) {
	f, known := e.cache.Get(c)
	if !known {
		e.maker.fill(f, c)
	}
	e.current = f
}

// Append appends the message of r.
func (e *encoder) Append(dst []byte, r *record.Record) ([]byte, error) {
	out, cut, err := e.encode(dst, r, e.most)
	if err != nil {
		return dst, err
	}
	if cut {
		e.count("cut", 1)
	}
	return append(out, e.end...), nil
}

// encode appends the message of r, of at most most bytes, and tells whether the
// line was cut for that. An error rejects the record.
func (e *encoder) encode(dst []byte, r *record.Record, most int) (out []byte, cut bool, err error) {
	if !e.keepBlank && blank(r.Line) {
		return dst, false, adapters.Permanent("blank", errBlank)
	}
	if e.objects {
		// One that is too long is cut as a line.
		if out, ok := e.appendObject(dst, r); ok && len(out)-len(dst) <= most {
			return out, false, nil
		}
	}
	out = append(dst, e.current.head...)
	out = appendTime(out, r.Time)
	out = append(out, `,"level":`...)
	out = append(out, '0'+byte(e.severity(r)))
	// The text is last, so that there is nothing behind it when it is cut.
	out = append(out, `,"short_message":`...)
	text := len(out) + len(`"`)
	out = textenc.AppendJSON(out, r.Line)
	out = out[:len(out)-len(`"`)]
	room := most - (text - len(dst)) - len(`"}`)
	if len(out)-text > room {
		if e.reject || room <= 0 {
			return dst, false, tooLong(most)
		}
		out = out[:text+cutText(out[text:], room)]
		cut = true
	}
	return append(out, `"}`...), cut, nil
}

// tooLong rejects a message.
func tooLong(most int) error {
	return adapters.Permanent("too_long", fmt.Errorf("the message is longer than %d bytes", most))
}

// severity returns the number of the record's level. Docker has only those of
// the streams.
func (e *encoder) severity(r *record.Record) int {
	if e.detect {
		if l := level.Detect(r.Line); l != level.Unknown {
			return l.Severity()
		}
	}
	return severityOf(r.Stream)
}

func severityOf(s record.Stream) int {
	if s == record.Stderr {
		return library.LOG_ERR
	}
	return library.LOG_INFO
}

// appendTime appends a time in nanoseconds as seconds with three decimals:
// Graylog stores milliseconds.
func appendTime(dst []byte, nanoseconds int64) []byte {
	if nanoseconds < 0 {
		dst = append(dst, '-')
		nanoseconds = -(nanoseconds + 1) // The lowest number has no opposite.
	}
	ms := nanoseconds / 1e6
	dst = strconv.AppendInt(dst, ms/1000, 10)
	ms %= 1000
	return append(dst, '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10))
}
