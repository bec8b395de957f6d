package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters/transport"
)

// dialer dials for nats.go, and keeps hold of the connection.
type dialer struct {
	tls      *transport.TLSOptions // nil for none
	tlsFirst bool
	limits   transport.Limits

	mu sync.Mutex
	// All below is guarded by mu. over says that no connection is wanted any
	// more, cancel ends the dial that is going on, errs are those of all dials.
	over   bool
	cancel context.CancelFunc
	pipe   *pipe
	errs   []error
	// bare says that a server has asked for a certificate and there was none.
	bare bool
}

// SkipTLSHandshake tells nats.go that TLS is not its business.
func (d *dialer) SkipTLSHandshake() bool { return d.tls != nil }

// Dial implements natsgo.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.limits.DialTimeout)
	defer cancel()
	d.mu.Lock()
	d.cancel = cancel
	over := d.over
	d.mu.Unlock()
	if over {
		return nil, context.Canceled
	}
	p, err := d.dial(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.errs = append(d.errs, err)
		return nil, err
	}
	if d.pipe = p; d.over {
		_ = p.Close()
	}
	return p, nil
}

func (d *dialer) dial(ctx context.Context, network, address string) (*pipe, error) {
	p := &pipe{timeout: d.limits.WriteTimeout}
	var config *tls.Config
	var err error
	if d.tls != nil {
		if config, err = d.tls.Config(address); err != nil {
			return nil, err
		}
		if len(config.Certificates) == 0 {
			config.GetClientCertificate = d.noCertificate
		}
	}
	if p.Conn, err = transport.NewDialer().DialContext(ctx, network, address); err != nil {
		return nil, err
	}
	p.plain = p.Conn
	if config == nil {
		return p, nil
	}
	p.secure = tls.Client(p.plain, config)
	if d.tlsFirst {
		if err := p.secure.HandshakeContext(ctx); err != nil {
			_ = p.Close()
			return nil, fmt.Errorf("connecting to %s with TLS: %w", address, err)
		}
		p.Conn = p.secure
	}
	return p, nil
}

// noCertificate takes note that the server has asked for a certificate: its
// complaint that there is none is often lost with the connection.
func (d *dialer) noCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bare = true
	return &tls.Certificate{}, nil
}

// hangUp ends the connection, and the dial of one.
func (d *dialer) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.cancel != nil {
		d.cancel()
	}
	if d.pipe != nil {
		_ = d.pipe.Close()
	}
}

// explain returns what became of the dials in place of nats.go's error, which
// says only that there is no server.
func (d *dialer) explain(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(err, natsgo.ErrNoServers) && len(d.errs) > 0 {
		err = d.errs[0]
		for _, other := range d.errs[1:] {
			err = fmt.Errorf("%w; %w", err, other)
		}
	}
	if d.bare {
		err = fmt.Errorf("%w; the server has asked for a certificate, which options tls.cert and tls.key would give", err)
	}
	return err
}

// pipe is a connection that nats.go and the adapter share: nats.go reads from it
// and writes its commands, the adapter writes messages. Every write of either
// is made of whole commands, and one is made at a time.
type pipe struct {
	// Conn is what is read from and written to: plain, or secure once it is in
	// use.
	net.Conn
	plain net.Conn
	// secure is nil without TLS.
	secure  *tls.Conn
	timeout time.Duration
	// sieve takes JetStream's acknowledgements out of what is read.
	sieve sieve

	// writing is held while something is written.
	writing sync.Mutex
}

// Read reads for nats.go.
func (p *pipe) Read(data []byte) (int, error) { return p.sieve.read(p.Conn, data) }

// Write writes p within the timeout. The connection breaks at the first error:
// nats.go throws away what it could not write and goes on, and the answer to
// what it writes later would vouch for what was thrown away.
func (p *pipe) Write(data []byte) (int, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.secure != nil && p.Conn == p.plain {
		// A server speaks first, in the clear, and then expects TLS (NATS
		// client protocol, INFO). This is nats.go's answer, and nobody reads
		// before it is given; the deadline is nats.go's for the whole of it.
		if err := p.secure.Handshake(); err != nil {
			_ = p.plain.Close()
			return 0, fmt.Errorf("beginning TLS: %w", err)
		}
		p.Conn = p.secure
	}
	err := p.plain.SetWriteDeadline(time.Now().Add(p.timeout))
	n := 0
	if err == nil {
		n, err = p.Conn.Write(data)
	}
	if err != nil {
		_ = p.plain.Close()
	}
	return n, err
}

// SetWriteDeadline does nothing: Write has a deadline of its own, and nats.go
// would take it away from a write of the adapter's.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is for the handshake.
func (p *pipe) SetDeadline(at time.Time) error { return p.plain.SetDeadline(at) }

// Close closes the connection at once, also under a write that is blocked.
func (p *pipe) Close() error { return p.plain.Close() }
