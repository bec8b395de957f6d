package loki

import (
	"strconv"

	"tallyman/adapters/textenc"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// jsonEncoder writes the JSON that Loki's push API takes. It implements
// post.Encoder.
type jsonEncoder struct {
	labels   *labels
	metadata bool

	container *record.Container
	// rest is what follows the line in the container's entries.
	rest []byte
}

// Begin makes what the container's entries share.
func (e *jsonEncoder) Begin(c *record.Container) {
	if c == e.container {
		return
	}
	e.container = c
	e.rest = e.rest[:0]
	if e.metadata {
		e.rest = append(e.rest, `,{"container_id":`...)
		e.rest = textenc.AppendJSON(e.rest, cut(c.ID))
		if c.Image != "" {
			e.rest = append(e.rest, `,"image":`...)
			e.rest = textenc.AppendJSON(e.rest, cut(c.Image))
		}
		e.rest = append(e.rest, '}')
	}
	e.rest = append(e.rest, ']')
}

// AppendHeader appends the labels of a stream as an object.
func (e *jsonEncoder) AppendHeader(dst []byte, s record.Stream) []byte {
	separator := byte('{')
	e.labels.each(e.container, s, func(name, value string) {
		dst = append(dst, separator)
		separator = ','
		dst = textenc.AppendJSON(dst, name)
		dst = append(dst, ':')
		dst = textenc.AppendJSON(dst, value)
	})
	return append(dst, '}')
}

// Append appends an entry with a comma before it.
func (e *jsonEncoder) Append(dst []byte, r *record.Record) ([]byte, error) {
	dst = append(dst, `,["`...)
	dst = strconv.AppendInt(dst, r.Time, 10)
	dst = append(dst, `",`...)
	dst = textenc.AppendJSON(dst, r.Line)
	return append(dst, e.rest...), nil
}

// AppendBody appends the streams.
func (*jsonEncoder) AppendBody(dst []byte, groups []post.Group) []byte {
	dst = append(dst, `{"streams":[`...)
	for i := range groups {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"stream":`...)
		dst = append(dst, groups[i].Header...)
		dst = append(dst, `,"values":`...)
		start := len(dst)
		dst = groups[i].AppendFrames(dst)
		dst[start] = '[' // In place of the first comma.
		dst = append(dst, `]}`...)
	}
	return append(dst, `]}`...)
}
