// Package syslog sends records as syslog messages, RFC 5424 or RFC 3164, over
// UDP, TCP, TLS, a Unix socket or RELP.
package syslog

import (
	"slices"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
)

// The transports besides those of package wire.
const (
	relpTransport  = "relp"
	relpsTransport = "relps"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "syslog",
		Summary:    "Sends each line as a syslog message, RFC 5424 or RFC 3164, or with acknowledgement over RELP.",
		Transports: slices.Concat(wire.Transports(), []string{wire.Unix, relpTransport, relpsTransport}),
		Target:     target,
		Options:    slices.Concat(options(), relpOptions(), wire.Options(relpsTransport)),
		New: func(c adapters.Config) (adapters.Adapter, error) {
			return newAdapter(c, transport.Limits{})
		},
	}
}

// target gives each transport the port that is registered for it. RELP has none.
func target(transport string) adapters.Target {
	switch transport {
	case wire.Unix:
		return wire.Target(transport)
	case "udp", "tcp":
		return adapters.Target{Port: "514"}
	case "tls":
		return adapters.Target{Port: "6514"} // RFC 5425, section 4.1.
	default:
		return adapters.Target{}
	}
}

// newAdapter makes the adapter with the given bounds.
func newAdapter(c adapters.Config, limits transport.Limits) (adapters.Adapter, error) {
	e, err := newEncoder(c)
	if err != nil {
		return nil, err
	}
	if c.Transport == relpTransport || c.Transport == relpsTransport {
		return newRELP(c, e, limits)
	}
	return wire.New(c, e, limits)
}
