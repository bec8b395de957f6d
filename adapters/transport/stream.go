package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Config is what a Stream or a Datagram is made from.
type Config struct {
	// Address is the peer's host and port, or the path of its socket. A name is
	// resolved at every connect.
	Address string
	// Unix says that the address is the path of a Unix socket.
	Unix bool
	// TLS secures a Stream over TCP; nil for none.
	TLS *TLSOptions
	// Resolver finds a name's addresses; nil for the system's.
	Resolver *net.Resolver
	// Limits are the bounds; the zero value has the defaults.
	Limits Limits
	// Partial makes the error of a batch of which the first settled frames are
	// delivered and the others failed with err.
	Partial func(settled int, err error) error
	// Closed is the error of batches that are still held when Close gives up.
	Closed error
}

// Stream sends batches of frames over one connection at a time: TCP, TLS or a
// Unix socket. It
// connects when there is something to send, and again after an error, and never
// sends anything twice by itself: the caller is told which frames arrived.
//
// Begin, Spill, Commit, Flush and Close are called by one goroutine at a time.
// The done functions are called by that one or by one of the Stream's own, in
// the order of the batches of a connection; they must neither block nor call
// the Stream.
//
// A batch is sent in three steps. Begin lends the buffer; the caller appends
// each frame to it and its end, the length of the buffer behind it, to ends;
// Commit takes both back.
type Stream struct {
	config Config
	link   *link
	writes interrupter
	closed bool
	timer  *time.Timer

	// buf holds what is gathered and not written, from byte base of the
	// connection on. ends is only lent to the caller, for its memory.
	buf  []byte
	base uint64
	ends []uint32
	// start is the length of buf at Begin, open the number of frames of the
	// batch that Spill has put in flight, and torn says that Spill failed.
	start int
	open  int
	torn  bool
}

// NewStream checks the configuration, the files of TLS included, and returns a
// Stream that is not connected.
func NewStream(c Config) (*Stream, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.TLS != nil {
		if _, err := c.TLS.Config(c.Address); err != nil {
			return nil, err
		}
	}
	c.Limits = c.Limits.WithDefaults()
	return &Stream{config: c}, nil
}

// Begin starts a batch: it returns the buffer to append frames to, which may
// hold earlier batches, and an empty slice for their ends. It connects when
// there is no connection. Where one broke since the last Flush, with batches in
// flight, it returns why, once: the caller may not know yet, and what it sends
// now must not arrive before what failed. After an error there is nothing to
// commit.
func (s *Stream) Begin(ctx context.Context) (dst []byte, ends []uint32, err error) {
	if s.closed {
		return nil, nil, s.config.Closed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.link != nil {
		if err := s.link.broken(); err != nil {
			if l := s.drop(); l.lost {
				return nil, nil, err
			}
		}
	}
	if s.link == nil {
		if s.link, err = dial(ctx, &s.config); err != nil {
			return nil, nil, err
		}
	}
	s.start = len(s.buf)
	return s.buf, s.ends[:0], nil
}

// drop forgets a broken link, all of whose batches are settled, and returns it.
func (s *Stream) drop() *link {
	l := s.link
	l.running.Wait()
	s.link = nil
	s.buf, s.base = s.buf[:0], 0
	return l
}

// room is how much of the buffer is kept free for the next frame, where that is not
// longer.
const room = 4 << 10

// Grow returns the buffer with room for another frame, itself in nearly all calls.
func (s *Stream) Grow(dst []byte) []byte {
	if cap(dst)-len(dst) >= room {
		return dst
	}
	return s.grow(dst)
}

// grow takes few steps up to what is gathered before a write: each is a copy, and
// leaves garbage.
func (s *Stream) grow(dst []byte) []byte {
	most := s.config.Limits.Gather + room
	if cap(dst) >= most {
		return dst
	}
	grown := make([]byte, len(dst), min(max(4*cap(dst), 4*room), most))
	copy(grown, dst)
	return grown
}

// Spill writes what is gathered though the batch is not complete, so that a
// batch whose frames are far longer than its records needs no memory to match.
// It returns the buffer and the ends to go on with. When it is not ok, the
// caller encodes no more and calls Commit, which settles the batch.
func (s *Stream) Spill(ctx context.Context, dst []byte, ends []uint32) ([]byte, []uint32, bool) {
	s.take(dst, ends)
	if err := s.write(ctx); err != nil {
		s.link.fail(err)
		s.buf, s.torn = s.buf[:0], true
	}
	return s.buf, s.ends[:0], !s.torn
}

// take puts the frames of a batch that is being committed or spilled in flight.
func (s *Stream) take(dst []byte, ends []uint32) {
	s.buf, s.ends = dst, ends
	s.link.add(s.base, ends)
	s.open += len(ends)
}

// Commit ends a batch. done is called once: with nil when all of its frames are
// acknowledged, else with an error made by Config.Partial. When enough is
// gathered, Commit writes it, which blocks while too much is unacknowledged.
func (s *Stream) Commit(ctx context.Context, dst []byte, ends []uint32, done func(error)) {
	if s.open == 0 && !s.torn && ctx.Err() != nil {
		// What was gathered before stays, for Close to deliver.
		s.buf, s.ends = dst[:s.start], ends
		done(ctx.Err())
		return
	}
	s.take(dst, ends)
	s.link.commit(batch{frames: s.open, end: s.base + uint64(len(s.buf)), torn: s.torn, done: done})
	s.open, s.torn = 0, false
	if len(s.buf) >= s.config.Limits.Gather {
		s.flush(ctx)
		return
	}
	s.link.settle()
}

// Flush writes what is gathered. What became of it is told to the done
// functions of its batches.
func (s *Stream) Flush(ctx context.Context) {
	if s.link != nil && s.link.failed.Load() && !s.closed {
		s.drop()
	}
	if s.link == nil || len(s.buf) == 0 || s.closed || ctx.Err() != nil {
		return
	}
	s.flush(ctx)
}

// flush writes what is gathered between batches.
func (s *Stream) flush(ctx context.Context) {
	err := s.write(ctx)
	if err == nil {
		return
	}
	var interrupted *interruptedError
	if errors.As(err, &interrupted) {
		// The connection is sound, and what it carries may still arrive.
		s.link.abandon(s.cause(err))
	} else {
		s.link.fail(s.cause(err))
	}
	s.buf = s.buf[:0]
}

// cause returns the error to settle batches with.
func (s *Stream) cause(err error) error {
	if s.closed {
		return s.config.Closed
	}
	return err
}

// interruptedError says that a context ended before anything was written.
type interruptedError struct{ err error }

func (e *interruptedError) Error() string { return e.err.Error() }
func (e *interruptedError) Unwrap() error { return e.err }

// write waits for room, writes the buffer and settles what is acknowledged.
func (s *Stream) write(ctx context.Context) error {
	l := s.link
	if err := l.broken(); err != nil {
		return err
	}
	if err := s.waitForRoom(ctx, l); err != nil {
		return err
	}
	s.writes.watch(ctx)
	if err := l.write(&s.writes, s.buf); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	s.base += uint64(len(s.buf))
	if s.buf = s.buf[:0]; cap(s.buf) > 2*s.config.Limits.Gather {
		s.buf = nil // One long frame is no reason to hold so much for ever.
	}
	l.checkNow()
	return nil
}

// waitForRoom blocks while what is unacknowledged and what is to be written are
// together over the limit.
func (s *Stream) waitForRoom(ctx context.Context, l *link) error {
	room := uint64(max(s.config.Limits.InFlight-len(s.buf), 0))
	if l.outstanding() <= room {
		return nil
	}
	return s.waitFor(ctx, l, room, s.config.Limits.WriteTimeout)
}

// waitFor blocks until no more than most bytes are unacknowledged. It gives up
// when the peer acknowledges nothing for so long as patience.
func (s *Stream) waitFor(ctx context.Context, l *link, most uint64, patience time.Duration) error {
	if s.timer == nil {
		s.timer = time.NewTimer(0)
	}
	acked, since := l.ackedBytes(), time.Now()
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		l.check()
		if l.outstanding() <= most {
			return nil
		}
		now := time.Now()
		if a := l.ackedBytes(); a != acked {
			acked, since = a, now
		} else if now.Sub(since) > patience {
			return fmt.Errorf("waiting for %q to acknowledge %d bytes: %w",
				l.address, l.outstanding(), os.ErrDeadlineExceeded)
		}
		s.timer.Reset(wait)
		select {
		case <-s.timer.C:
		case <-l.dead:
			return l.broken()
		case <-ctx.Done():
			return &interruptedError{ctx.Err()}
		}
	}
}

// Close writes what is gathered, waits until it is acknowledged or ctx ends,
// settles every batch and ends the connection. It reports what stayed
// undelivered.
func (s *Stream) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.writes.release()
	l := s.link
	if l == nil {
		return nil
	}
	if l.failed.Load() {
		s.drop() // All that it held is settled already.
		return nil
	}
	if len(s.buf) > 0 {
		s.flush(ctx)
	}
	err := l.broken()
	if err == nil {
		err = s.waitFor(ctx, l, 0, s.config.Limits.AckTimeout)
	}
	if err == nil {
		// With TLS this says goodbye; without, it only closes the socket. All
		// has arrived, so what becomes of the goodbye does not matter.
		_ = l.conn.Close()
	} else {
		err = fmt.Errorf("closing the connection to %q with %d bytes unacknowledged: %w",
			s.config.Address, l.outstanding(), err)
	}
	l.fail(s.config.Closed)
	l.running.Wait()
	s.link, s.buf, s.ends = nil, nil, nil
	return err
}
