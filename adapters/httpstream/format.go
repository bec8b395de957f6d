package httpstream

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"tallyman/adapters/textenc"
	"tallyman/collector/record"
)

// Format writes records for a client. It is used by one goroutine at a time.
type Format interface {
	ContentType() string
	AppendRecord(dst []byte, c *record.Container, r *record.Record) []byte
	// appendLost says that lines were left out.
	AppendLost(dst []byte, lines int64) []byte
}

// TextOptions say how Text writes lines.
type TextOptions struct {
	// Names puts each line's container before it, right-justified and followed by
	// a bar, in a column that grows with the longest name so far.
	Names bool
	// Colours gives the lines of each container a colour of their own, with the
	// escape sequences of ECMA-48. They go with names only.
	Colours bool
}

// Text returns the format of plain lines, which is Logspout's.
func Text(o TextOptions) Format {
	t := &text{TextOptions: o, width: 16}
	if o.Names && o.Colours {
		t.colours = make(map[string]string)
	}
	return t
}

type text struct {
	TextOptions
	width int
	// colours has the escape sequence of each container, by its ID; nil without
	// colours.
	colours map[string]string
}

// ContentType is that of plain text; see Format.
func (*text) ContentType() string { return "text/plain" }

// AppendRecord appends a line; see Format.
func (t *text) AppendRecord(dst []byte, c *record.Container, r *record.Record) []byte {
	if !t.Names {
		dst = append(dst, r.Line...)
		return append(dst, '\n')
	}
	if t.colours != nil {
		dst = append(dst, t.colourOf(c.ID)...)
	}
	t.width = max(t.width, len(c.Name))
	for range t.width - len(c.Name) {
		dst = append(dst, ' ')
	}
	dst = append(dst, c.Name...)
	dst = append(dst, '|')
	dst = append(dst, r.Line...)
	if t.colours != nil {
		dst = append(dst, "\x1b[0m"...)
	}
	return append(dst, '\n')
}

// maxColours is of how many containers the colour is remembered.
const maxColours = 4096

// colourOf returns the escape sequence of a container: by the order in which they
// come, seven bright colours from white down to red, then the same ones dull.
func (t *text) colourOf(id string) string {
	sequence, known := t.colours[id]
	if !known {
		if len(t.colours) >= maxColours {
			clear(t.colours)
		}
		i := len(t.colours)
		bright := ""
		if i%14 < 7 {
			bright = "1;"
		}
		sequence = fmt.Sprintf("\x1b[%s3%dm", bright, 7-i%7)
		t.colours[id] = sequence
	}
	return sequence
}

// AppendLost says that lines were left out; see Format.
func (*text) AppendLost(dst []byte, lines int64) []byte {
	return fmt.Appendf(dst, "[tallyman: %d lines left out, this client reads too slowly]\n", lines)
}

// JSONLines returns the format of one JSON object a line: time, source, line,
// and the container's id, name and image; or dropped, the number of lines that
// were left out. Bytes that are not UTF-8 come as U+FFFD.
func JSONLines() Format { return jsonLines{} }

type jsonLines struct{}

// ContentType is that of NDJSON; see Format.
func (jsonLines) ContentType() string { return "application/x-ndjson" }

// AppendRecord appends a line; see Format.
func (jsonLines) AppendRecord(dst []byte, c *record.Container, r *record.Record) []byte {
	dst = append(dst, `{"time":"`...)
	dst = time.Unix(0, r.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","source":"`...)
	dst = append(dst, r.Stream.String()...)
	dst = append(dst, `","id":"`...)
	dst = append(dst, c.ID...)
	dst = append(dst, `","name":`...)
	dst = textenc.AppendJSON(dst, c.Name)
	dst = append(dst, `,"image":`...)
	dst = textenc.AppendJSON(dst, c.Image)
	dst = append(dst, `,"line":`...)
	dst = textenc.AppendJSON(dst, r.Line)
	return append(dst, '}', '\n')
}

// AppendLost says that lines were left out; see Format.
func (jsonLines) AppendLost(dst []byte, lines int64) []byte {
	dst = append(dst, `{"dropped":`...)
	dst = strconv.AppendInt(dst, lines, 10)
	return append(dst, '}', '\n')
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259 section 7). With html it escapes
// what HTML would read as markup too, as encoding/json does.
func appendString(dst, s []byte, html bool) []byte {
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
			case c < ' ' || c == 0x7f, html && (c == '<' || c == '>' || c == '&'):
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
