package wire

import (
	"context"
	"errors"
	"syscall"

	"tallyman/collector/record"
)

// unixAdapter sends to a Unix socket. Whether that takes datagrams, as /dev/log
// does, or a stream shows only when it is connected to, and may be another thing
// after the server was started anew. So both ways stand ready, and at each
// connect the other one is taken when the kernel says that this one does not
// fit.
type unixAdapter struct {
	datagram *datagramAdapter
	stream   *streamAdapter
	// streams says that the socket took a stream when it was last connected to.
	streams bool
}

// Send sends the batch the way that the socket takes it.
func (a *unixAdapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	err := a.trySend(ctx, b, done)
	if errors.Is(err, syscall.EPROTOTYPE) {
		a.streams = !a.streams
		err = a.trySend(ctx, b, done)
	}
	if err != nil {
		done(err)
	}
}

// trySend sends the batch, or returns why there is no connection; then done was
// not called.
func (a *unixAdapter) trySend(ctx context.Context, b *record.Batch, done func(error)) error {
	if a.streams {
		dst, ends, err := a.stream.stream.Begin(ctx)
		if err == nil {
			a.stream.send(ctx, b, dst, ends, done)
		}
		return err
	}
	message, err := a.datagram.datagram.Begin(ctx)
	if err == nil {
		a.datagram.send(ctx, b, message, done)
	}
	return err
}

// Flush writes what is gathered.
func (a *unixAdapter) Flush(ctx context.Context) { a.stream.Flush(ctx) }

// Close delivers what is in flight and disconnects.
func (a *unixAdapter) Close(ctx context.Context) error {
	return errors.Join(a.datagram.Close(ctx), a.stream.Close(ctx))
}
