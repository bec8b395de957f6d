package file

import (
	"time"

	"tallyman/adapters/textenc"
	"tallyman/collector/record"
)

// encoder makes lines of a file. The attributes of JSON are those of the
// container that was begun last.
type encoder struct {
	json  bool
	attrs []byte
	last  *record.Container
}

// begin prepares for records of c.
func (e *encoder) begin(c *record.Container) {
	if !e.json || e.last == c {
		return
	}
	e.last = c
	dst := append(e.attrs[:0], `,"attrs":{"id":`...)
	dst = textenc.AppendJSON(dst, c.ID)
	dst = append(dst, `,"name":`...)
	dst = textenc.AppendJSON(dst, c.Name)
	dst = append(dst, `,"image":`...)
	dst = textenc.AppendJSON(dst, c.Image)
	e.attrs = append(dst, `},"time":"`...)
}

// append appends the line of r. As JSON it is a record of Docker's json-file
// driver: the text with its newline, the stream, attributes and the time.
func (e *encoder) append(dst []byte, r *record.Record) []byte {
	if !e.json {
		return append(append(dst, r.Line...), '\n')
	}
	dst = append(dst, `{"log":`...)
	dst = textenc.AppendJSON(dst, r.Line)
	dst = append(dst[:len(dst)-1], `\n","stream":"`...)
	dst = append(dst, r.Stream.String()...)
	dst = append(dst, '"')
	dst = append(dst, e.attrs...)
	dst = time.Unix(0, r.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, "\"}\n"...)
}
