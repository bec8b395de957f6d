// Package nats publishes records to NATS: with core NATS, where a line counts as
// delivered once the server has it, or with JetStream, where it counts as
// delivered once it is stored in a stream.
package nats

import (
	"slices"
	"strings"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
)

// Description lists the adapter.
func Description() adapters.Description {
	return adapters.Description{
		Name:       "nats",
		Summary:    "Publishes each line to NATS, at most once with core NATS or exactly once with JetStream.",
		Transports: []string{"tcp", "tls"},
		Target: func(string) adapters.Target {
			return adapters.Target{Port: "4222", Several: true, User: true}
		},
		Options: slices.Concat(options(), streamOptions(), authOptions(), tlsOptions()),
		New: func(c adapters.Config) (adapters.Adapter, error) {
			return newAdapter(c, transport.Limits{})
		},
	}
}

func options() []adapters.Option {
	yesNo := []string{"true", "false"}
	return []adapters.Option{
		{
			Name: "subject", Default: "logs.{host}.{project}.{service}.{container}",
			Help: "Subject of the messages. Placeholders: " + strings.Join(placeholders(), ", ") + ".",
		},
		{
			Name: "format", Default: "raw", Values: []string{"raw", "json"},
			Help: "What a message holds: the line alone, or a JSON object with the line and what the headers tell.",
		},
		{
			Name: "headers", Default: "true", Values: yesNo,
			Help: "Whether each message has headers with the container's ID, name and image, the stream and the time.",
		},
		{
			Name: "jetstream", Default: "false", Values: yesNo,
			Help: "Wait for JetStream to store each message, and have it leave out those that it has already.",
		},
		{
			Name: "window", Default: "4096",
			Help: "How many messages JetStream may not have acknowledged yet, 1 to 65536.",
		},
		{
			Name: "ack_timeout", Default: "10s",
			Help: "How long the server may take to acknowledge before the lines are sent again, 100ms to 10m.",
		},
		{
			Name: "no_stream", Default: "reject", Values: []string{"reject", "wait"},
			Help: "What becomes of a line whose subject no stream takes, once JetStream has said so after ack_timeout: it is given up and counted, or all lines wait for a stream.",
		},
	}
}

func streamOptions() []adapters.Option {
	return []adapters.Option{
		{
			Name: "stream",
			Help: "Name of the stream to make if it is not there. A stream that is there is left as it is.",
		},
		{
			Name: "stream.subjects",
			Help: "Subjects of the new stream, separated by commas (%2C in a URI). By default those of option subject, with * for each part that varies.",
		},
		{Name: "stream.storage", Default: "file", Values: []string{"file", "memory"}, Help: "Where the new stream is kept."},
		{Name: "stream.replicas", Default: "1", Help: "On how many servers the new stream is kept, 1 to 5."},
		{Name: "stream.max_age", Default: "0s", Help: "How long the new stream keeps a message, such as 72h; 0s for ever."},
		{Name: "stream.max_bytes", Default: "-1", Help: "How many bytes the new stream holds at most; -1 for any number."},
		{Name: "stream.max_msgs", Default: "-1", Help: "How many messages the new stream holds at most; -1 for any number."},
		{
			Name: "stream.discard", Default: "old", Values: []string{"old", "new"},
			Help: "What a full stream does: it forgets its oldest messages, or takes no new ones, which then wait in their logs.",
		},
		{
			Name: "stream.duplicates", Default: "2m",
			Help: "For how long the new stream knows a message that comes again, 100ms or more.",
		},
	}
}

func authOptions() []adapters.Option {
	return []adapters.Option{
		{Name: "user", Help: "User name, in place of the one before the address."},
		{Name: "password", Secret: true, Help: "Password of option user."},
		{Name: "token", Secret: true, Help: "Token, in place of a user name alone before the address."},
		{Name: "nkey", File: true, Help: "File with the seed of an NKey."},
		{Name: "creds", File: true, Help: "File with a JWT and its seed, as nsc writes it."},
		{
			Name: "inbox_prefix", Default: "_INBOX",
			Help: "First part of the subjects on which JetStream answers, where permissions ask for another.",
		},
	}
}

// tlsOptions are those of the other adapters, and one that only NATS has.
func tlsOptions() []adapters.Option {
	over := []string{"tls"}
	return append(wire.TLSOptions(over...), adapters.Option{
		Name: "tls.handshake_first", Default: "false", Values: []string{"true", "false"}, Transports: over,
		Help: "Begin with TLS at once, before the server has said anything, for servers that are set so.",
	})
}
