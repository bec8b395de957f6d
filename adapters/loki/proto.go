package loki

import (
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"tallyman/adapters/textenc"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// The fields of Loki's PushRequest and the messages in it (pkg/push/push.proto).
const (
	requestStreams = 1

	streamLabels  = 1
	streamEntries = 2

	entryTimestamp = 1
	entryLine      = 2
	entryMetadata  = 3

	timestampSeconds = 1
	timestampNanos   = 2

	pairName  = 1
	pairValue = 2
)

// protoEncoder writes PushRequests. It implements post.Encoder.
type protoEncoder struct {
	labels   *labels
	metadata bool

	container *record.Container
	// pairs is the structured metadata of the container's entries.
	pairs []byte
	// clean and nested are scratch.
	clean, nested []byte
}

// Begin makes what the container's entries share.
func (e *protoEncoder) Begin(c *record.Container) {
	if c == e.container {
		return
	}
	e.container = c
	e.pairs = e.pairs[:0]
	if e.metadata {
		e.pairs = e.appendPair(e.pairs, "container_id", c.ID)
		e.pairs = e.appendPair(e.pairs, "image", c.Image)
	}
}

// appendPair appends the field of a name and a value, nothing for no value.
func (e *protoEncoder) appendPair(dst []byte, name, value string) []byte {
	if value = cut(value); value == "" {
		return dst
	}
	e.nested = appendText(e.nested[:0], pairName, name)
	e.nested = appendText(e.nested, pairValue, value)
	return appendText(dst, entryMetadata, e.nested)
}

// appendText appends a field of bytes.
func appendText[T ~string | ~[]byte](dst []byte, field protowire.Number, text T) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// AppendHeader appends the labels of a stream as Prometheus writes them.
func (e *protoEncoder) AppendHeader(dst []byte, s record.Stream) []byte {
	dst = append(dst, '{')
	first := true
	e.labels.each(e.container, s, func(name, value string) {
		if !first {
			dst = append(dst, ", "...)
		}
		first = false
		dst = append(dst, name...)
		dst = append(dst, '=')
		dst = strconv.AppendQuote(dst, value)
	})
	return append(dst, '}')
}

// Append appends an entry as a field of its stream. The line of an entry is a
// protobuf string and so UTF-8: a reader may refuse the whole request for one
// byte that is not.
func (e *protoEncoder) Append(dst []byte, r *record.Record) ([]byte, error) {
	line := r.Line
	if !utf8.Valid(line) {
		e.clean = textenc.AppendUTF8(e.clean[:0], line)
		line = e.clean
	}
	seconds, nanos := r.Time/int64(time.Second), r.Time%int64(time.Second)
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+int64(time.Second)
	}
	timestamp := protowire.SizeTag(timestampSeconds) + protowire.SizeVarint(uint64(seconds)) +
		protowire.SizeTag(timestampNanos) + protowire.SizeVarint(uint64(nanos))
	size := protowire.SizeTag(entryTimestamp) + protowire.SizeBytes(timestamp) +
		protowire.SizeTag(entryLine) + protowire.SizeBytes(len(line)) + len(e.pairs)

	dst = protowire.AppendTag(dst, streamEntries, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, entryTimestamp, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(timestamp))
	dst = protowire.AppendTag(dst, timestampSeconds, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(seconds))
	dst = protowire.AppendTag(dst, timestampNanos, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(nanos))
	dst = appendText(dst, entryLine, line)
	return append(dst, e.pairs...), nil
}

// AppendBody appends the streams.
func (*protoEncoder) AppendBody(dst []byte, groups []post.Group) []byte {
	for i := range groups {
		g := &groups[i]
		size := protowire.SizeTag(streamLabels) + protowire.SizeBytes(len(g.Header)) + g.Size
		dst = protowire.AppendTag(dst, requestStreams, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(size))
		dst = appendText(dst, streamLabels, g.Header)
		dst = g.AppendFrames(dst)
	}
	return dst
}
