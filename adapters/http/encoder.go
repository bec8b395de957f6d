package httppost

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/textenc"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// text writes lines as they are. It implements post.Encoder.
type text struct{}

// Begin has nothing to prepare.
func (text) Begin(*record.Container) {}

// AppendHeader appends nothing.
func (text) AppendHeader(dst []byte, _ record.Stream) []byte { return dst }

// Append appends the line and a newline. A newline within a line, which would
// tear it, becomes a space.
func (text) Append(dst []byte, r *record.Record) ([]byte, error) {
	start := len(dst)
	dst = append(dst, r.Line...)
	for line := dst[start:]; ; {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return append(dst, '\n'), nil
		}
		line[i] = ' '
		line = line[i+1:]
	}
}

// AppendBody appends the lines.
func (text) AppendBody(dst []byte, groups []post.Group) []byte { return groups[0].AppendFrames(dst) }

// objects writes each line as a JSON object. It implements post.Encoder.
type objects struct {
	// array says that a body is one JSON text, an array.
	array    bool
	hostname string
	labels   []string
	all      bool

	container *record.Container
	// rest is what follows the message in the container's objects.
	rest []byte
	// second is the time written in clock, as in 2026-11-21T01:09:08.
	second int64
	clock  []byte
}

func newObjects(c adapters.Config, array bool) *objects {
	o := &objects{array: array, hostname: c.Hostname}
	for name := range strings.SplitSeq(c.Options["labels"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.all = o.all || name == "*"
			o.labels = append(o.labels, name)
		}
	}
	slices.Sort(o.labels)
	o.labels = slices.Compact(o.labels)
	return o
}

// Begin makes what the container's objects share.
func (o *objects) Begin(c *record.Container) {
	if c == o.container {
		return
	}
	o.container = c
	dst := append(o.rest[:0], `,"container_id":`...)
	dst = textenc.AppendJSON(dst, c.ID)
	dst = append(dst, `,"container_name":`...)
	dst = textenc.AppendJSON(dst, c.Name)
	dst = append(dst, `,"image":`...)
	dst = textenc.AppendJSON(dst, c.Image)
	if o.hostname != "" {
		dst = append(dst, `,"host":`...)
		dst = textenc.AppendJSON(dst, o.hostname)
	}
	dst = o.appendLabels(dst, c)
	dst = append(dst, '}')
	if !o.array {
		dst = append(dst, '\n')
	}
	o.rest = dst
}

// appendLabels appends the labels that are wanted and set.
func (o *objects) appendLabels(dst []byte, c *record.Container) []byte {
	names := o.labels
	if o.all {
		names = slices.Sorted(maps.Keys(c.Labels))
	}
	const before = `,"labels":{`
	start := len(dst)
	for _, name := range names {
		value, ok := c.Labels[name]
		if !ok {
			continue
		}
		if len(dst) == start {
			dst = append(dst, before...)
		} else {
			dst = append(dst, ',')
		}
		dst = textenc.AppendJSON(dst, name)
		dst = append(dst, ':')
		dst = textenc.AppendJSON(dst, value)
	}
	if len(dst) > start {
		dst = append(dst, '}')
	}
	return dst
}

// AppendHeader appends nothing.
func (*objects) AppendHeader(dst []byte, _ record.Stream) []byte { return dst }

// Append appends an object: in an array with a comma before it.
func (o *objects) Append(dst []byte, r *record.Record) ([]byte, error) {
	if o.array {
		dst = append(dst, ',')
	}
	dst = append(dst, `{"time":"`...)
	dst = o.appendTime(dst, r.Time)
	if r.Stream == record.Stderr {
		dst = append(dst, `","stream":"stderr","message":`...)
	} else {
		dst = append(dst, `","stream":"stdout","message":`...)
	}
	dst = textenc.AppendJSON(dst, r.Line)
	return append(dst, o.rest...), nil
}

// appendTime appends a time as RFC 3339 has it, in UTC with nine digits behind
// the second, so that texts sort as times do.
func (o *objects) appendTime(dst []byte, t int64) []byte {
	second, nano := t/int64(time.Second), t%int64(time.Second)
	if nano < 0 {
		second, nano = second-1, nano+int64(time.Second)
	}
	if second != o.second || len(o.clock) == 0 {
		o.second = second
		o.clock = time.Unix(second, 0).UTC().AppendFormat(o.clock[:0], "2006-01-02T15:04:05")
	}
	dst = append(dst, o.clock...)
	digits := [...]byte{'.', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'Z'}
	for i := 9; nano > 0; i-- {
		digits[i] = byte('0' + nano%10)
		nano /= 10
	}
	return append(dst, digits[:]...)
}

// AppendBody appends the objects, for an array with its brackets.
func (o *objects) AppendBody(dst []byte, groups []post.Group) []byte {
	start := len(dst)
	dst = groups[0].AppendFrames(dst)
	if o.array {
		dst[start] = '[' // In place of the first comma.
		dst = append(dst, ']')
	}
	return dst
}
