// Package wire makes an adapter of an Encoder: it joins the transports TCP, TLS,
// UDP and Unix sockets with the contract of package adapters, for every protocol
// that is a sequence of messages with no answers.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// Encoder turns records into messages. It is called by one goroutine at a time.
type Encoder interface {
	// Begin is called before the records of a batch, all of them of container c.
	Begin(c *record.Container)
	// Append appends the message of r to dst, framed as the transport needs it,
	// and keeps no part of either. An error, to be made by adapters.Permanent,
	// rejects the record; dst then comes back as it was.
	Append(dst []byte, r *record.Record) ([]byte, error)
}

// New returns the adapter that sends encoder's messages to c.Address over
// c.Transport, with the options that Options lists. It does not connect. The
// zero value of limits has the defaults; limits.MaxDatagram is an option and
// not read.
func New(c adapters.Config, encoder Encoder, limits transport.Limits) (adapters.Adapter, error) {
	config := transport.Config{
		Address: c.Address, Limits: limits.WithDefaults(),
		Partial: adapters.Partial, Closed: adapters.ErrClosed,
	}
	var datagram *datagramAdapter
	var err error
	switch c.Transport {
	case "tcp":
	case "tls":
		config.TLS = TLS(c.Options)
	case "udp", Unix:
		config.Unix = c.Transport == Unix
		if datagram, err = newDatagram(c, config, encoder); err != nil {
			return nil, err
		}
		if !config.Unix {
			return datagram, nil
		}
	default:
		return nil, fmt.Errorf("unknown transport %q", c.Transport)
	}
	stream, err := newStream(config, encoder)
	if err != nil {
		return nil, err
	}
	if config.Unix {
		return &unixAdapter{datagram: datagram, stream: stream}, nil
	}
	return stream, nil
}

// streamAdapter sends over TCP, TLS or a stream to a Unix socket.
type streamAdapter struct {
	stream  *transport.Stream
	encoder Encoder
	gather  int
}

func newStream(config transport.Config, encoder Encoder) (*streamAdapter, error) {
	stream, err := transport.NewStream(config)
	if err != nil {
		return nil, err
	}
	return &streamAdapter{stream: stream, encoder: encoder, gather: config.Limits.Gather}, nil
}

// Send encodes the batch behind what is gathered already.
func (a *streamAdapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	dst, ends, err := a.stream.Begin(ctx)
	if err != nil {
		done(err)
		return
	}
	a.send(ctx, b, dst, ends, done)
}

// send sends a batch that has begun.
func (a *streamAdapter) send(ctx context.Context, b *record.Batch, dst []byte, ends []uint32, done func(error)) {
	a.encoder.Begin(b.Container)
	var rejects []adapters.Reject
	for i := range b.Records {
		var err error
		if dst, err = a.encoder.Append(a.stream.Grow(dst), &b.Records[i]); err != nil {
			rejects = append(rejects, Reject(i, err))
		}
		// A rejected record is a frame of no length, so that frames and records
		// have the same numbers.
		ends = append(ends, uint32(len(dst)))
		if len(dst) >= a.gather {
			var ok bool
			if dst, ends, ok = a.stream.Spill(ctx, dst, ends); !ok {
				break
			}
		}
	}
	if rejects != nil {
		done = withRejects(done, rejects)
	}
	a.stream.Commit(ctx, dst, ends, done)
}

// Flush writes what is gathered.
func (a *streamAdapter) Flush(ctx context.Context) { a.stream.Flush(ctx) }

// Close delivers what is in flight and disconnects.
func (a *streamAdapter) Close(ctx context.Context) error { return a.stream.Close(ctx) }

// datagramAdapter sends datagrams, over UDP or to a Unix socket.
type datagramAdapter struct {
	datagram *transport.Datagram
	encoder  Encoder
	logger   *slog.Logger
	count    func(event string, lines int64)
	address  string
	most     int
	// cut is how many messages were cut so far.
	cut uint64
}

func newDatagram(c adapters.Config, config transport.Config, encoder Encoder) (*datagramAdapter, error) {
	var err error
	if config.Limits.MaxDatagram, err = maxDatagram(c.Options); err != nil {
		return nil, err
	}
	datagram, err := transport.NewDatagram(config)
	if err != nil {
		return nil, err
	}
	return &datagramAdapter{
		datagram: datagram, encoder: encoder, logger: c.Logger,
		count: c.Count, address: c.Address, most: config.Limits.MaxDatagram,
	}, nil
}

// Send sends every message of the batch at once.
func (a *datagramAdapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	message, err := a.datagram.Begin(ctx)
	if err != nil {
		done(err)
		return
	}
	a.send(ctx, b, message, done)
}

// atOnce is how many messages are sent under one deadline: the reader of a socket
// that takes so many in time is slow, and not to be given up.
const atOnce = 64

// send sends a batch that has begun, with message for its memory.
func (a *datagramAdapter) send(ctx context.Context, b *record.Batch, message []byte, done func(error)) {
	a.encoder.Begin(b.Container)
	var rejects []adapters.Reject
	var failure error
	for i := range b.Records {
		var err error
		if i > 0 && i%atOnce == 0 {
			a.datagram.Keep(message)
			if message, err = a.datagram.Begin(ctx); err != nil {
				failure = adapters.Partial(i, err)
				break
			}
		}
		if message, err = a.encoder.Append(message[:0], &b.Records[i]); err != nil {
			rejects = append(rejects, Reject(i, err))
			continue
		}
		if err = a.datagram.Send(message); errors.Is(err, transport.ErrTooLong) {
			rejects = append(rejects, Reject(i, adapters.Permanent("too_long", err)))
		} else if err != nil {
			failure = adapters.Partial(i, err)
			break
		}
	}
	a.datagram.Keep(message)
	if cut := a.datagram.Cut(); cut > a.cut {
		if a.cut == 0 {
			a.logger.Warn("cutting messages that are too long for a datagram",
				"address", a.address, "max_bytes", a.most)
		}
		a.count("cut", int64(cut-a.cut))
		a.cut = cut
	}
	if rejects != nil {
		done = withRejects(done, rejects)
	}
	done(failure)
}

// Flush has nothing to do: nothing is gathered.
func (a *datagramAdapter) Flush(context.Context) {}

// Close closes the socket.
func (a *datagramAdapter) Close(context.Context) error {
	a.datagram.Close()
	return nil
}

// Reject makes the Reject of a record that could not be encoded or sent.
func Reject(index int, err error) adapters.Reject {
	var permanent *adapters.PermanentError
	if errors.As(err, &permanent) {
		return adapters.Reject{Index: index, Reason: permanent.Reason, Err: err}
	}
	return adapters.Reject{Index: index, Reason: "encoding", Err: err}
}

// withRejects adds the rejects of a batch to what is told of it.
func withRejects(done func(error), rejects []adapters.Reject) func(error) {
	return func(err error) {
		var partial *adapters.PartialError
		switch {
		case err == nil:
			err = adapters.Rejected(rejects)
		case errors.As(err, &partial):
			n, _ := slices.BinarySearchFunc(rejects, partial.Settled, func(r adapters.Reject, settled int) int {
				return r.Index - settled
			})
			err = &adapters.PartialError{Settled: partial.Settled, Rejects: rejects[:n], Err: partial.Err}
		}
		done(err)
	}
}
