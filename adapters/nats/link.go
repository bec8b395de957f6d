package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
)

// connector makes connections.
type connector struct {
	servers     []string
	auth        auth
	tls         *transport.TLSOptions // nil for none
	tlsFirst    bool
	inboxPrefix string
	limits      transport.Limits
}

func newConnector(c adapters.Config, limits transport.Limits) (connector, error) {
	n := connector{limits: limits, inboxPrefix: c.Options["inbox_prefix"]}
	for address := range strings.SplitSeq(c.Address, ",") {
		if err := transport.CheckAddress(address); err != nil {
			return connector{}, err
		}
		n.servers = append(n.servers, address)
	}
	var err error
	if n.auth, err = newAuth(c); err != nil {
		return connector{}, err
	}
	if !validPattern(n.inboxPrefix) || strings.ContainsAny(n.inboxPrefix, "*>") {
		return connector{}, fmt.Errorf("bad value %q of option %q; it is a subject without wildcards", n.inboxPrefix, "inbox_prefix")
	}
	switch c.Transport {
	case "tls":
		n.tls, n.tlsFirst = wire.TLS(c.Options), c.Options["tls.handshake_first"] == "true"
		if _, err := n.tls.Config(n.servers[0]); err != nil {
			return connector{}, err
		}
	case "tcp":
	default:
		return connector{}, fmt.Errorf("unknown transport %q", c.Transport)
	}
	return n, nil
}

// events are what a link tells of. They are called one after the other, in a
// goroutine of the link's.
type events struct {
	// denied is called with a subject on which the server lets nobody publish.
	denied func(subject string, err error)
	// broke is called with the reason when the connection is of no use any more,
	// and when it has ended.
	broke func(error)
}

// link is a connection to one of the servers. It does not reconnect by itself:
// what is in flight when it breaks has to be sent again by others, and nothing
// may be sent before that.
type link struct {
	conn   *natsgo.Conn
	dialer *dialer
	// ended is closed behind the last event.
	ended chan struct{}
	// out are messages that are not written yet. It is used by the goroutine
	// that sends.
	out []byte

	mu sync.Mutex
	// told is the last error that was told of, over says that no more will be;
	// both guarded by mu. changed says that one of them has changed.
	told    error
	over    bool
	changed *sync.Cond
}

// connect tries the servers in a random order. The connection is dialled within
// ctx and then no longer bound to it.
func (n *connector) connect(ctx context.Context, e events) (*link, error) {
	l := &link{
		dialer: &dialer{tls: n.tls, tlsFirst: n.tlsFirst, limits: n.limits},
		ended:  make(chan struct{}),
	}
	l.changed = sync.NewCond(&l.mu)
	options, err := n.options()
	if err != nil {
		return nil, err
	}
	options = append(options,
		natsgo.SetCustomDialer(l.dialer),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { l.tell(e, err) }),
		natsgo.ClosedHandler(func(c *natsgo.Conn) {
			defer close(l.ended)
			l.mu.Lock()
			l.over = true
			l.mu.Unlock()
			l.changed.Broadcast()
			e.broke(fmt.Errorf("the connection broke: %w", c.LastError()))
		}),
	)
	stop := context.AfterFunc(ctx, l.dialer.hangUp)
	l.conn, err = natsgo.Connect("nats://"+strings.Join(n.servers, ",nats://"), options...)
	if interrupted := !stop(); interrupted && err == nil {
		l.close()
		err = ctx.Err()
	}
	if err == nil {
		if err = l.check(n); err != nil {
			l.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", strings.Join(n.servers, ","), l.dialer.explain(err))
	}
	return l, nil
}

func (n *connector) options() ([]natsgo.Option, error) {
	options, err := n.auth.options()
	if err != nil {
		return nil, err
	}
	if n.tls != nil {
		options = append(options, natsgo.Secure())
		if n.tlsFirst {
			options = append(options, natsgo.TLSHandshakeFirst())
		}
	}
	return append(options,
		natsgo.Name("tallyman"),
		natsgo.NoReconnect(),
		natsgo.ReconnectBufSize(-1),
		natsgo.Timeout(n.limits.DialTimeout),
		natsgo.FlusherTimeout(n.limits.WriteTimeout),
		natsgo.CustomInboxPrefix(n.inboxPrefix),
		natsgo.SkipHostLookup(), // The dialer does it, within its deadline.
	), nil
}

// check finds out whether messages can be written to the connection.
func (l *link) check(n *connector) error {
	if _, err := l.conn.TLSConnectionState(); n.tls == nil && err == nil {
		return errors.New("the server asks for TLS: the route has to begin with nats+tls://")
	}
	if !l.conn.HeadersSupported() {
		return errors.New("the server is too old: it knows no headers")
	}
	return nil
}

// Sizes of what is written at once, in bytes: after how many the next write is
// made, and how much memory is kept for it.
const (
	writeSize = 64 << 10
	keepSize  = 256 << 10
)

// spill writes the messages that are not written yet.
func (l *link) spill() error {
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.dialer.pipe.Write(l.out)
	if l.out = l.out[:0]; cap(l.out) > keepSize {
		l.out = nil
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", l.dialer.pipe.RemoteAddr(), err)
	}
	return nil
}

// tell passes an error of the server on and takes note of it.
func (l *link) tell(e events, err error) {
	switch subject, ok := deniedSubject(err); {
	case ok:
		e.denied(subject, err)
	case errors.Is(err, natsgo.ErrPermissionViolation):
		// It is the subscription to the answers.
		e.broke(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = err
	l.changed.Broadcast()
}

// settleErrors returns when all errors have been told of that the server sent
// before the answer that was just received: nats.go hands answers and errors to
// different goroutines.
func (l *link) settleErrors() {
	last := l.conn.LastError()
	if !errors.Is(last, natsgo.ErrPermissionViolation) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.told != last && !l.over {
		l.changed.Wait()
	}
}

// cause returns why the connection is closed in place of an error that says
// only that it is.
func (l *link) cause(err error) error {
	if last := l.conn.LastError(); last != nil && errors.Is(err, natsgo.ErrConnectionClosed) {
		return last
	}
	return err
}

// hangUp ends the connection. It does not wait, not even for a write that is
// blocked.
func (l *link) hangUp() { l.dialer.hangUp() }

// close ends the connection and waits for its last event.
func (l *link) close() {
	l.hangUp()
	l.conn.Close()
	<-l.ended
}

// deniedSubject returns the subject of an error that says that publishing on it
// is not permitted.
func deniedSubject(err error) (string, bool) {
	if !errors.Is(err, natsgo.ErrPermissionViolation) {
		return "", false
	}
	_, quoted, found := strings.Cut(err.Error(), "for Publish to ")
	if !found {
		return "", false
	}
	if quoted, err = strconv.QuotedPrefix(quoted); err != nil {
		return "", false
	}
	subject, err := strconv.Unquote(quoted)
	return subject, err == nil
}
