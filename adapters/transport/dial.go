package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"syscall"
	"time"
)

// dial connects and starts the reader and the poller.
func dial(ctx context.Context, c *Config) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Limits.DialTimeout)
	defer cancel()
	raw, err := dialSocket(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("dialling %q: %w", c.Address, err)
	}
	l := &link{
		address: c.Address, limits: c.Limits, partial: c.Partial, raw: raw,
		wake: make(chan struct{}, 1), next: time.NewTimer(lastPoll), dead: make(chan struct{}),
	}
	if l.queue, err = newSendQueue(raw, c.Unix); err != nil {
		_ = raw.Close()
		return nil, err
	}
	if l.conn, err = newPlainConn(raw); err != nil {
		_ = raw.Close()
		return nil, err
	}
	var confirmed *confirmation
	if c.TLS != nil {
		if confirmed, err = l.secure(ctx, c.TLS); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("securing the connection to %q: %w", c.Address, err)
		}
	}
	l.running.Go(l.read)
	l.running.Go(l.poll)
	if confirmed != nil {
		if err := l.confirm(ctx, confirmed); err != nil {
			l.fail(err)
			l.running.Wait()
			return nil, fmt.Errorf("securing the connection to %q: %w", c.Address, err)
		}
	}
	return l, nil
}

// NewDialer returns a dialer whose connections find a peer that is gone after 75 s
// in which nothing is sent.
func NewDialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 4},
	}
}

// dialSocket connects over TCP or to a Unix socket. Of several addresses of a
// name those of both families are tried side by side (RFC 8305).
func dialSocket(ctx context.Context, c *Config) (socket, error) {
	dialer := NewDialer()
	dialer.Resolver = c.Resolver
	network := "unix"
	if !c.Unix {
		network = "tcp"
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			return setUserTimeout(raw, c.Limits.AckTimeout)
		}
	}
	conn, err := dialer.DialContext(ctx, network, c.Address)
	if err != nil {
		return nil, err
	}
	return conn.(socket), nil
}

// secure makes the TLS handshake. It returns a confirmation when the server is
// still to judge the client's certificate.
func (l *link) secure(ctx context.Context, o *TLSOptions) (*confirmation, error) {
	config, err := o.Config(l.address)
	if err != nil {
		return nil, err
	}
	confirmed := newConfirmation(config)
	l.cipher = &countingConn{Conn: l.conn}
	client := tls.Client(l.cipher, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	l.conn = client
	if !confirmed.asked.Load() || client.ConnectionState().Version < tls.VersionTLS13 {
		return nil, nil //nolint:nilnil // There is nothing to confirm.
	}
	return confirmed, nil
}

// confirm waits for the server's acceptance, or for its refusal to stay out.
func (l *link) confirm(ctx context.Context, c *confirmation) error {
	timer := time.NewTimer(confirmTime)
	defer timer.Stop()
	select {
	case <-c.ticket:
		return nil
	case <-timer.C:
		return nil
	case <-l.dead:
		return l.broken()
	case <-ctx.Done():
		return ctx.Err()
	}
}
