// Package raw sends records as text that a template makes, by default the bare
// lines, over UDP, TCP, TLS or a Unix socket.
package raw

import (
	"slices"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
)

// defaultFormat is each line and a newline.
const defaultFormat = "{{.Data}}\n"

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "raw",
		Summary:    "Sends each line as it is, or as a Go template makes it.",
		Transports: append(wire.Transports(), wire.Unix),
		Aliases:    map[string]string{"tcp": "tcp", "udp": "udp", "tls": "tls"},
		Target:     wire.Target,
		Options: slices.Concat([]adapters.Option{{
			Name: "format", Default: defaultFormat, Env: "RAW_FORMAT",
			Help: "Go template of a message, with Logspout's fields .Container, .Source, .Data and .Time and its function toJSON. " +
				"Nothing is added to what it makes: it ends with a newline if messages are to.",
		}}, wire.Options()),
		New: func(c adapters.Config) (adapters.Adapter, error) {
			return newAdapter(c, transport.Limits{})
		},
	}
}

// newAdapter makes the adapter with the given bounds.
func newAdapter(c adapters.Config, limits transport.Limits) (adapters.Adapter, error) {
	e, err := newEncoder(c.Options["format"], c.Hostname)
	if err != nil {
		return nil, err
	}
	return wire.New(c, e, limits)
}
