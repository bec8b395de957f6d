package syslog

import (
	"bytes"
	"strconv"
	"time"

	"tallyman/collector/record"
)

// The longest header fields: RFC 5424, section 6, and for a tag in RFC 3164,
// section 4.1.3. A host name in the old format has no limit.
const (
	maxHostname = 255
	maxAppName  = 48
	maxTag3164  = 32
)

// Priorities: facility user with severity info and err (RFC 5424, section 6.2.1).
const (
	priorityStdout = "<14>"
	priorityStderr = "<11>"
)

// encoder writes syslog messages. It implements wire.Encoder.
type encoder struct {
	rfc3164   bool
	appendTag string
	hostname  string
	// data is the field STRUCTURED-DATA.
	data     string
	location *time.Location
	// stream says that messages follow each other in a stream of bytes, counted
	// that each is preceded by its length (RFC 6587, section 3.4).
	stream, counted bool

	cache cache
	// current holds the headers of the batch's container.
	current *headers
}

// Begin finds the container's headers.
func (e *encoder) Begin(c *record.Container) {
	h, known := e.cache.get(c)
	if !known {
		e.fill(h, c)
	}
	e.current = h
}

// Append appends one message. Every message ends with a newline, over UDP too.
func (e *encoder) Append(dst []byte, r *record.Record) ([]byte, error) {
	header := e.header(r)
	if e.counted {
		dst = strconv.AppendUint(dst, uint64(len(header)+len(r.Line)+1), 10)
		dst = append(dst, ' ')
	}
	dst = append(dst, header...)
	text := len(dst)
	dst = append(dst, r.Line...)
	if e.stream && !e.counted {
		replaceNewlines(dst[text:])
	}
	return append(dst, '\n'), nil
}

// replaceNewlines keeps a line that holds newlines from being torn into several
// messages where a newline ends each.
func replaceNewlines(text []byte) {
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return
		}
		text[i] = ' '
		text = text[i+1:]
	}
}

// headers are the headers of one container's messages, one a stream, each for
// the second of its last record.
type headers struct {
	// after is what follows the timestamp.
	after  []byte
	second [record.Streams]int64
	header [record.Streams][]byte
}

// header returns all that comes before the text of r. It is valid until the
// next call.
func (e *encoder) header(r *record.Record) []byte {
	h := e.current
	stream := r.Stream & 1
	second := r.Time / int64(time.Second)
	if second != h.second[stream] || len(h.header[stream]) == 0 {
		e.build(h, stream, second)
	}
	return h.header[stream]
}

// build makes the header of one stream and second.
func (e *encoder) build(h *headers, stream record.Stream, second int64) {
	dst := h.header[stream][:0]
	if stream == record.Stderr {
		dst = append(dst, priorityStderr...)
	} else {
		dst = append(dst, priorityStdout...)
	}
	if !e.rfc3164 {
		dst = append(dst, "1 "...)
	}
	dst = time.Unix(second, 0).In(e.location).AppendFormat(dst, time.RFC3339)
	h.header[stream] = append(dst, h.after...)
	h.second[stream] = second
}

// fill makes what all headers of a container share.
func (e *encoder) fill(h *headers, c *record.Container) {
	hostname := e.hostname
	if hostname == "" {
		hostname = c.Hostname
	}
	tag := c.Name + e.appendTag
	dst := append(h.after[:0], ' ')
	if e.rfc3164 {
		dst = appendField(dst, hostname, len(hostname))
		dst = append(dst, ' ')
		dst = appendField(dst, tag, maxTag3164)
		dst = append(dst, '[')
		dst = strconv.AppendInt(dst, int64(c.PID), 10)
		dst = append(dst, "]: "...)
	} else {
		dst = appendField(dst, hostname, maxHostname)
		dst = append(dst, ' ')
		dst = appendField(dst, tag, maxAppName)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(c.PID), 10)
		dst = append(dst, " - "...)
		dst = append(dst, e.data...)
		dst = append(dst, ' ')
	}
	h.after = dst
	for i := range h.header {
		h.header[i] = h.header[i][:0]
	}
}

// appendField appends a header field of at most most characters. Fields are
// printable US-ASCII without spaces (RFC 5424, section 6); any other character
// becomes an underscore, for a space would shift all fields behind it. The
// field of an empty text is the nil value.
func appendField(dst []byte, text string, most int) []byte {
	if text == "" {
		return append(dst, '-')
	}
	n := 0
	for _, r := range text {
		if n++; n > most {
			break
		}
		if r <= ' ' || r > '~' {
			r = '_'
		}
		dst = append(dst, byte(r))
	}
	return dst
}

// cachedContainers bounds the cache. It is a batch that looks a container up,
// not a line, and a miss costs less than a microsecond, so a small cache does,
// and keeps few containers that are gone from being collected.
const cachedContainers = 64

// cache finds the headers of a container. Containers are immutable, so the
// pointer stands for all that is in them.
type cache struct {
	byContainer map[*record.Container]*headers
}

// get returns the headers of c. When it is not known, they are to be filled.
func (c *cache) get(container *record.Container) (h *headers, known bool) {
	if h, known = c.byContainer[container]; known {
		return h, true
	}
	if len(c.byContainer) < cachedContainers {
		h = &headers{}
	} else {
		// Any one will do: the order of a map is random enough.
		for old, victim := range c.byContainer {
			delete(c.byContainer, old)
			h = victim
			break
		}
	}
	c.byContainer[container] = h
	return h, false
}
