// Package syslog sends records as syslog messages, RFC 5424 or RFC 3164, over
// UDP, TCP or TLS.
package syslog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "syslog",
		Summary:    "Sends each line as a syslog message, RFC 5424 or RFC 3164.",
		Transports: wire.Transports(),
		Options:    slices.Concat(options(), wire.Options()),
		New: func(c adapters.Config) (adapters.Adapter, error) {
			return newAdapter(c, transport.Limits{})
		},
	}
}

func options() []adapters.Option {
	return []adapters.Option{
		{
			Name: "format", Default: "rfc5424", Values: []string{"rfc5424", "rfc3164"}, Env: "SYSLOG_FORMAT",
			Help: "Layout of the header.",
		},
		{
			Name: "framing", Default: "traditional", Values: []string{"traditional", "octet-counted"},
			Env:  "SYSLOG_TCP_FRAMING",
			Help: "How messages are told apart over TCP and TLS: each ends with a newline, or its length goes before it.",
		},
		{
			Name: "append_tag",
			Help: "Text to put behind the container's name in the tag.",
		},
		{
			Name: "structured_data", Env: "SYSLOG_STRUCTURED_DATA",
			Help: `Structured data of every message, without its brackets, such as env@32473 site="a"; rfc5424 only.`,
		},
		{
			Name: "hostname",
			Help: "Host name of every message, in place of the container's.",
		},
		{
			Name: "timezone", Default: "Local",
			Help: "Time zone of the timestamps: Local, UTC, or a name such as Europe/Berlin.",
		},
	}
}

// newAdapter makes the adapter with the given bounds.
func newAdapter(c adapters.Config, limits transport.Limits) (adapters.Adapter, error) {
	e, err := newEncoder(c)
	if err != nil {
		return nil, err
	}
	return wire.New(c, e, limits)
}

// newEncoder reads the options.
func newEncoder(c adapters.Config) (*encoder, error) {
	e := &encoder{
		rfc3164:   c.Options["format"] == "rfc3164",
		stream:    c.Transport != "udp",
		appendTag: c.Options["append_tag"],
		hostname:  c.Options["hostname"],
		data:      "-",
	}
	e.counted = e.stream && c.Options["framing"] == "octet-counted"
	for _, name := range []string{"append_tag", "structured_data", "hostname"} {
		// Logspout runs these as templates. Text with braces in every message
		// is surely not what its author wanted.
		if strings.Contains(c.Options[name], "{{") {
			return nil, fmt.Errorf("bad value %q of option %q: templates have no meaning here", c.Options[name], name)
		}
	}
	if text := c.Options["structured_data"]; text != "" && text != "-" {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("bad value %q of option %q: it holds a control character", text, "structured_data")
		}
		e.data = "[" + text + "]"
	}
	var err error
	if e.location, err = time.LoadLocation(c.Options["timezone"]); err != nil {
		return nil, fmt.Errorf("bad value %q of option %q: %w", c.Options["timezone"], "timezone", err)
	}
	e.cache.byContainer = make(map[*record.Container]*headers)
	return e, nil
}
