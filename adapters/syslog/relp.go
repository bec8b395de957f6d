package syslog

import (
	"context"
	"log/slog"
	"unicode/utf8"

	"tallyman/adapters"
	"tallyman/adapters/syslog/relp"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

// keepMessage is how much memory is kept for the next message.
const keepMessage = 256 << 10

// relpAdapter sends messages as RELP transactions.
type relpAdapter struct {
	client  *relp.Client
	encoder *encoder
	logger  *slog.Logger
	count   func(event string, lines int64)
	address string
	// most is the longest message, in bytes.
	most int
	// cut says that a message was cut, and told of.
	cut bool
	// message is the memory of the message at hand.
	message []byte
}

func newRELP(c adapters.Config, e *encoder, limits transport.Limits) (adapters.Adapter, error) {
	config := relp.Config{Address: c.Address, Limits: limits}
	var err error
	if config.Window, err = number(c.Options, "relp.window", 1, maxWindow); err != nil {
		return nil, err
	}
	most, err := number(c.Options, "relp.max_bytes", minMessage, maxMessage)
	if err != nil {
		return nil, err
	}
	if c.Transport == relpsTransport {
		config.TLS = wire.TLS(c.Options)
	}
	client, err := relp.NewClient(config)
	if err != nil {
		return nil, err
	}
	return &relpAdapter{
		client: client, encoder: e, logger: c.Logger, count: c.Count, address: c.Address, most: most,
	}, nil
}

// Send makes a transaction of every record.
func (a *relpAdapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	if err := a.client.Begin(ctx); err != nil {
		done(err)
		return
	}
	a.encoder.Begin(b.Container)
	for i := range b.Records {
		a.message = a.encoder.append(a.message[:0], &b.Records[i])
		if !a.client.Append(ctx, a.shorten(a.message)) {
			break
		}
	}
	if cap(a.message) > keepMessage {
		a.message = nil
	}
	a.client.Commit(ctx, done)
}

// shorten cuts a message that is longer than the protocol, or the server, has it.
func (a *relpAdapter) shorten(message []byte) []byte {
	if len(message) <= a.most {
		return message
	}
	if a.count("cut", 1); !a.cut {
		a.cut = true
		a.logger.Warn("cutting messages that are too long for RELP", "address", a.address, "max_bytes", a.most)
	}
	end := a.most
	for end > a.most-utf8.UTFMax && !utf8.RuneStart(message[end]) {
		end--
	}
	if !utf8.RuneStart(message[end]) {
		end = a.most // It is not UTF-8, so any place is as good.
	}
	return message[:end]
}

// Flush writes what is gathered.
func (a *relpAdapter) Flush(ctx context.Context) { a.client.Flush(ctx) }

// Close delivers what is in flight and ends the session.
func (a *relpAdapter) Close(ctx context.Context) error { return a.client.Close(ctx) }
