package nats

import (
	"context"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// adapter implements adapters.Adapter. Its methods are called by one goroutine
// at a time.
type adapter struct {
	settings *settings
	encoder  *encoder
	// session is nil when there is no connection.
	session session
	closed  bool
}

// newAdapter makes the adapter with the given bounds; the zero value has the
// defaults. The bound of the time of acknowledgements is an option and not read.
func newAdapter(c adapters.Config, limits transport.Limits) (adapters.Adapter, error) {
	s, err := newSettings(c, limits)
	if err != nil {
		return nil, err
	}
	return &adapter{settings: s, encoder: newEncoder(s)}, nil
}

// Send publishes a batch.
func (a *adapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	err := ctx.Err()
	if a.closed {
		err = adapters.ErrClosed
	}
	if err == nil {
		err = a.connect(ctx)
	}
	if err != nil {
		done(err)
		return
	}
	session := a.session
	// What blocks is the connection: it is given up, and with it all in flight.
	stop := context.AfterFunc(ctx, func() { session.fail(ctx.Err()) })
	session.send(b, done)
	stop()
}

// connect sees to it that there is a session. Where one has failed with batches
// in flight it returns why, once: the caller may not know yet, and what it sends
// now must not be stored before what failed.
func (a *adapter) connect(ctx context.Context) error {
	if a.session != nil {
		err := a.session.failure()
		if err == nil {
			return nil
		}
		overtaken := a.session.overtaken()
		if a.drop(); overtaken {
			return err
		}
	}
	var err error
	if a.settings.jetstream {
		a.session, err = newStored(ctx, a.settings, a.encoder)
	} else {
		a.session, err = newPlain(ctx, a.settings, a.encoder)
	}
	return err
}

// drop ends a session and returns when all done functions of it have.
func (a *adapter) drop() {
	a.session.close()
	a.session = nil
}

// Flush has the server confirm what was sent. After a failure it is when the
// caller learns of it, at the latest.
func (a *adapter) Flush(context.Context) {
	if a.session == nil {
		return
	}
	if a.session.failure() != nil {
		a.drop()
		return
	}
	a.session.flush()
}

// Close waits for the server to confirm everything, until ctx ends, and
// disconnects.
func (a *adapter) Close(ctx context.Context) error {
	a.closed = true
	if a.session == nil {
		return nil
	}
	a.session.flush()
	err := a.session.wait(ctx)
	a.session.fail(adapters.ErrClosed)
	a.drop()
	return err
}
