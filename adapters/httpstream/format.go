package httpstream

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"tallyman/collector/record"
)

// Format writes records for a client. It is used by one goroutine at a time.
type Format interface {
	contentType() string
	appendRecord(dst []byte, c *record.Container, r *record.Record) []byte
	// appendLost says that lines were left out.
	appendLost(dst []byte, lines int64) []byte
}

// Text returns the format of plain lines. With names each line has its
// container's name before it, right-justified and followed by a bar, in a column
// that grows with the longest name so far.
func Text(names bool) Format { return &text{names: names, width: 16} }

type text struct {
	names bool
	width int
}

func (*text) contentType() string { return "text/plain; charset=utf-8" }

func (t *text) appendRecord(dst []byte, c *record.Container, r *record.Record) []byte {
	if t.names {
		t.width = max(t.width, len(c.Name))
		for range t.width - len(c.Name) {
			dst = append(dst, ' ')
		}
		dst = append(dst, c.Name...)
		dst = append(dst, '|')
	}
	dst = append(dst, r.Line...)
	return append(dst, '\n')
}

func (*text) appendLost(dst []byte, lines int64) []byte {
	return fmt.Appendf(dst, "[tallyman: %d lines left out, this client reads too slowly]\n", lines)
}

// JSONLines returns the format of one JSON object a line: time, source, line,
// and the container's id, name and image; or dropped, the number of lines that
// were left out. Bytes that are not UTF-8 come as U+FFFD.
func JSONLines() Format { return jsonLines{} }

type jsonLines struct{}

func (jsonLines) contentType() string { return "application/x-ndjson" }

func (jsonLines) appendRecord(dst []byte, c *record.Container, r *record.Record) []byte {
	dst = append(dst, `{"time":"`...)
	dst = time.Unix(0, r.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","source":"`...)
	dst = append(dst, r.Stream.String()...)
	dst = append(dst, `","id":"`...)
	dst = append(dst, c.ID...)
	dst = append(dst, `","name":`...)
	dst = appendString(dst, []byte(c.Name))
	dst = append(dst, `,"image":`...)
	dst = appendString(dst, []byte(c.Image))
	dst = append(dst, `,"line":`...)
	dst = appendString(dst, r.Line)
	return append(dst, '}', '\n')
}

func (jsonLines) appendLost(dst []byte, lines int64) []byte {
	dst = append(dst, `{"dropped":`...)
	dst = strconv.AppendInt(dst, lines, 10)
	return append(dst, '}', '\n')
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259 section 7).
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		c := s[0]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c == '\n':
				dst = append(dst, '\\', 'n')
			case c == '\t':
				dst = append(dst, '\\', 't')
			case c < ' ' || c == 0x7f:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				dst = append(dst, c)
			}
			s = s[1:]
			continue
		}
		ch, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, ch)
		s = s[n:]
	}
	return append(dst, '"')
}
