package syslog

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"tallyman/adapters/template"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

// format is the layout of a header.
type format string

// The formats. rfc3164 has Logspout's time, that of RFC 5424; bsd has the time
// of RFC 3164, section 4.1.2; local is what syslog(3) writes to /dev/log, the same
// without a host name.
const (
	rfc5424 format = "rfc5424"
	rfc3164 format = "rfc3164"
	bsd     format = "bsd"
	local   format = "local"
)

// formatAuto is the word for the format that fits the transport.
const formatAuto = "auto"

// framing says how the messages of a transport are told apart.
type framing int

const (
	// bare messages are what they are: the transport knows their length.
	bare framing = iota
	// datagram messages end with a newline for Logspout's sake alone.
	datagram
	// traditional messages end with a newline (RFC 6587, section 3.4.2).
	traditional
	// counted messages follow their length (RFC 6587, section 3.4.1, and RFC
	// 5425, section 4.3), which takes in the newline at their end.
	counted
)

// encoder writes syslog messages. It implements wire.Encoder.
type encoder struct {
	format   format
	framing  framing
	priority priority
	fields   fields
	// data is the element of structured data that names the container; nil for
	// none.
	data     *containerData
	text     textRule
	location *time.Location
	// layout is that of the time, with digits of a second's fraction.
	layout string
	digits int
	// host is the name of the agent's host.
	host   string
	logger *slog.Logger
	count  func(event string, lines int64)

	cache wire.Cache[headers]
	// container is the batch's, and current has its headers.
	container *record.Container
	current   *headers
	// runner runs the templates.
	runner template.Runner
	// rendered holds the result of a template, length the last message's length
	// and a space.
	rendered, length []byte
	// failures counts the templates that failed, ever.
	failures int
}

// Begin finds the container's headers.
func (e *encoder) Begin(c *record.Container) {
	if e.container = c; e.fields.templates {
		e.runner.Begin(c)
	}
	if cap(e.rendered) > keepMessage {
		e.rendered = nil
	}
	h, known := e.cache.Get(c)
	if !known {
		e.fill(h)
	}
	e.current = h
}

// Append appends one message, framed. It takes every record.
func (e *encoder) Append(dst []byte, r *record.Record) ([]byte, error) {
	if e.framing != counted {
		return e.append(dst, r), nil
	}
	// Most lengths have as many digits as the one before, so that room is left
	// for those and nothing needs to move.
	start := len(dst)
	dst = append(dst, e.length...)
	body := len(dst)
	dst = e.append(dst, r)
	e.length = append(strconv.AppendUint(e.length[:0], uint64(len(dst)-body), 10), ' ')
	return slices.Replace(dst, start, body, e.length...), nil
}

// append appends one message.
func (e *encoder) append(dst []byte, r *record.Record) []byte {
	failures := e.failures
	if e.fields.headerPerLine {
		e.runner.Record(r)
		dst = e.appendStart(dst, e.priority.severity(r), time.Unix(0, r.Time).In(e.location))
		dst = e.appendRest(dst)
	} else {
		dst = e.appendHeader(dst, r)
		if e.fields.text.template != nil {
			e.runner.Record(r)
		}
	}
	text := r.Line
	if rendered, ok := e.render(&e.fields.text); ok {
		text = rendered
	}
	if e.failures > failures || e.current.failed {
		e.count("template_failed", 1)
	}
	start := len(dst)
	dst, altered := e.text.append(dst, text)
	if e.framing == traditional {
		altered = replaceNewlines(dst[start:]) || altered
	}
	if altered {
		e.count("altered", 1)
	}
	if e.framing == bare {
		return dst
	}
	return append(dst, '\n')
}

// replaceNewlines keeps a line that holds newlines from being torn into several
// messages where a newline ends each. It reports whether there were any.
func replaceNewlines(text []byte) (any bool) {
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return any
		}
		text[i], any = ' ', true
		text = text[i+1:]
	}
}
