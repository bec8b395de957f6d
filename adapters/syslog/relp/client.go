// Package relp is a client of RELP, the reliable event logging protocol: the
// server answers every message, so that what is delivered is known and not
// guessed. The specification is doc/relp.md of librelp,
// https://github.com/rsyslog/librelp.
package relp

import (
	"context"
	"errors"
	"fmt"

	"tallyman/adapters"
	"tallyman/adapters/transport"
)

// Config is what a Client is made from.
type Config struct {
	// Address is the server's host and port. The name is resolved at every
	// connect.
	Address string
	// TLS secures the connection; nil for plain TCP.
	TLS *transport.TLSOptions
	// Limits are the bounds; the zero value has the defaults. AckTimeout is how
	// long messages may wait without any response, and DialTimeout takes in the
	// opening of the session. MaxDatagram is not used.
	Limits transport.Limits
	// Window is how many messages may wait for their response, at least one.
	Window int
}

// Client sends batches of messages over one session at a time. It connects when
// there is something to send, and again after an error, and never sends anything
// twice by itself: the caller is told which messages the server took.
//
// A batch is sent in three steps: Begin, Append for every message, and Commit.
// The methods are called by one goroutine at a time. The done functions are
// called by that one or by the session's reader, in the order of the batches;
// they must neither block nor call the Client.
type Client struct {
	config  Config
	session *session
	closed  bool

	// buf holds the frames that are gathered and not written, ends where each
	// of them ends, and seq the sequence number of the message to come.
	buf  []byte
	ends []uint32
	seq  uint64
}

// NewClient checks the configuration, the files of TLS included, and returns a
// Client that is not connected.
func NewClient(c Config) (*Client, error) {
	if err := transport.CheckAddress(c.Address); err != nil {
		return nil, err
	}
	if c.Window < 1 {
		return nil, fmt.Errorf("a window of %d messages: it is at least one", c.Window)
	}
	if c.TLS != nil {
		if _, err := c.TLS.Config(c.Address); err != nil {
			return nil, err
		}
	}
	c.Limits = c.Limits.WithDefaults()
	return &Client{config: c}, nil
}

// Begin starts a batch. It connects when there is no session. Where one broke
// since the last Flush, with messages in flight, it returns why, once. After an error there is nothing to
// append or to commit.
func (c *Client) Begin(ctx context.Context) error {
	if c.closed {
		return adapters.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.session != nil {
		// The caller may not know yet, and what it sends now must not arrive
		// before what failed.
		if err := c.session.broken(); err != nil {
			if s := c.drop(); s.lost {
				return err
			}
		}
	}
	if c.session == nil {
		s, err := dial(ctx, &c.config)
		if err != nil {
			return err
		}
		c.session = s
	}
	c.session.begin(c.seq)
	return nil
}

// drop forgets a broken session, all of whose batches are settled, and returns
// it.
func (c *Client) drop() *session {
	s := c.session
	s.running.Wait()
	c.session, c.seq = nil, 0
	c.buf, c.ends = c.buf[:0], c.ends[:0]
	return s
}

// Append adds a message to the batch and keeps no part of it. When enough is
// gathered it writes, which blocks while too much waits for its response. It
// returns false when the session broke: then the caller appends no more and
// calls Commit.
func (c *Client) Append(ctx context.Context, message []byte) bool {
	c.buf = appendFrame(c.buf, txnr(c.seq), commandSyslog, message)
	c.ends = append(c.ends, uint32(len(c.buf)))
	c.seq++
	// In quarters of the window, so that writing and responding overlap.
	if len(c.buf) >= c.config.Limits.Gather || 4*len(c.ends) >= c.config.Window {
		c.flush(ctx)
	}
	return c.session.broken() == nil
}

// Commit ends a batch. done is called once: with nil when the server took all of
// it, else with an error of package adapters. A message that the server refuses,
// while it takes others, is among the rejects with the reason "refused".
func (c *Client) Commit(ctx context.Context, done func(error)) {
	c.session.commit(c.seq, done)
	if err := ctx.Err(); err != nil {
		c.session.fail(err)
	}
}

// Flush writes what is gathered. What became of it is told to the done functions
// of its batches; a context that ends meanwhile breaks the session.
func (c *Client) Flush(ctx context.Context) {
	if c.session != nil && c.session.broken() != nil && !c.closed {
		c.drop()
	}
	if c.session != nil && len(c.buf) > 0 {
		c.flush(ctx)
	}
}

func (c *Client) flush(ctx context.Context) {
	if len(c.buf) == 0 {
		return
	}
	if err := c.write(ctx); err != nil {
		c.session.fail(err)
	}
}

func (c *Client) write(ctx context.Context) error {
	if err := c.session.reserve(ctx, c.ends); err != nil {
		return err
	}
	if err := c.session.write(ctx, c.buf); err != nil {
		return err
	}
	c.ends = c.ends[:0]
	if c.buf = c.buf[:0]; cap(c.buf) > 2*c.config.Limits.Gather {
		c.buf = nil // One long message is no reason to hold so much for ever.
	}
	return nil
}

// Close writes what is gathered, waits until the server has responded to all or
// ctx ends, settles every batch and ends the session. It reports what stayed
// without a response.
func (c *Client) Close(ctx context.Context) error {
	if c.closed {
		return nil
	}
	c.closed = true
	s := c.session
	if s == nil {
		return nil
	}
	if s.broken() != nil {
		c.drop() // All that it held is settled already.
		return nil
	}
	var err error
	if len(c.buf) > 0 {
		err = c.write(ctx)
	}
	if err == nil {
		err = s.drain(ctx)
	}
	if err == nil {
		s.sayGoodbye(ctx, txnr(c.seq))
	} else {
		err = fmt.Errorf("closing the session with %q, %d messages without a response: %w",
			c.config.Address, s.unanswered()+len(c.ends), err)
	}
	s.fail(adapters.ErrClosed)
	c.drop()
	c.buf, c.ends = nil, nil
	return err
}

// errGoodbye ends a session of which all is settled.
var errGoodbye = errors.New("the session was closed")
