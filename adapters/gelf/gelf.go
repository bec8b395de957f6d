// Package gelf sends records as GELF messages to Graylog and others, over UDP,
// TCP, TLS or HTTP, with the fields of Docker's own gelf driver.
package gelf

import (
	"slices"
	"strconv"

	library "github.com/Graylog2/go-gelf/gelf"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/post"
	"tallyman/adapters/transport/wire"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "gelf",
		Summary:    "Sends each line as a GELF 1.1 message with the fields of Docker's own gelf driver.",
		Transports: slices.Concat(wire.Transports(), post.Transports()),
		Target: func(transport string) adapters.Target {
			web := slices.Contains(post.Transports(), transport)
			return adapters.Target{Port: "12201", Path: web, User: web}
		},
		Options: slices.Concat(messageOptions(), transportOptions(), webOptions(), wire.TLSOptions("tls", "https")),
		New: func(c adapters.Config) (adapters.Adapter, error) {
			return newAdapter(c, transport.Limits{})
		},
	}
}

func messageOptions() []adapters.Option {
	return []adapters.Option{
		{Name: "hostname", Help: "Host of every message, in place of the agent's host name."},
		{
			Name: "level", Default: "stream", Values: []string{"stream", "detect"},
			Help: "Where the level comes from: 6 for stdout and 3 for stderr, or the line where it names one.",
		},
		{
			Name: "tag", Default: "{{.ID}}",
			Help: "Go template of the field _tag, as of Docker's log option: .ID, .FullID, .Name, .ImageID, " +
				".ImageFullID, .ImageName, .Command, .Hostname and .DaemonName.",
		},
		{Name: "labels", Help: "Labels of the container to send as fields, separated by commas."},
		{Name: "labels-regex", Help: "Regular expression of the labels to send as fields."},
		{Name: "env", Help: "Variables of the container's environment to send as fields, separated by commas."},
		{Name: "env-regex", Help: "Regular expression of the variables to send as fields."},
		{Name: "field.*", Help: "Text of a field of every message, such as field.site=berlin."},
		{
			Name: "json", Default: "false", Values: []string{"true", "false"},
			Help: "Make fields of the members of a line that is a JSON object.",
		},
		{
			Name: "blank", Default: "drop", Values: []string{"drop", "send"},
			Help: "What becomes of a line without text, which Graylog does not take.",
		},
		{
			Name: "too_long", Default: "cut", Values: []string{"cut", "reject"},
			Help: "What becomes of a line whose message is too long.",
		},
		{
			Name: "max_bytes",
			Help: "Longest message in bytes before compression, when not what Graylog takes by default: " +
				"8388608 over UDP, 2097152 over TCP and TLS, 65536 over HTTP.",
		},
	}
}

func transportOptions() []adapters.Option {
	compressed := append([]string{"udp"}, post.Transports()...)
	return []adapters.Option{
		{
			Name: "compression", Default: "auto", Values: []string{"auto", "gzip", "zlib", "none"},
			Transports: compressed,
			Help:       "Over UDP and HTTP; auto uses gzip for messages that are too long for one datagram, and none over HTTP.",
		},
		{Name: "compression_level", Default: "1", Transports: compressed, Help: "From 1, fast, to 9, small; 0 is none and -1 what the format's makers chose."},
		{
			Name: "chunk_size", Default: strconv.Itoa(library.ChunkSize), Transports: []string{"udp"},
			Help: "Longest UDP datagram in bytes; a longer message is sent in up to 128 chunks.",
		},
	}
}

// newAdapter makes the adapter with the given bounds.
func newAdapter(c adapters.Config, limits transport.Limits) (adapters.Adapter, error) {
	e, err := newEncoder(&c)
	if err != nil {
		return nil, err
	}
	switch c.Transport {
	case "udp":
		return newDatagram(&c, e, limits)
	case "http", "https":
		return newHTTP(&c, e)
	}
	return wire.New(c, e, limits)
}
