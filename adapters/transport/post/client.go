package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
)

const (
	// maxAnswer is how much of an answer is looked at.
	maxAnswer = 64 << 10
	// idleTimeout is how long an unused connection is kept: less than what
	// servers and proxies usually grant, so that they seldom close one just when
	// it is wanted again.
	idleTimeout = 50 * time.Second
)

// client posts bodies to one URL. It may be used by several goroutines.
type client struct {
	url    *url.URL
	header http.Header
	host   string
	tls    *transport.TLSOptions
	proxy  func(*http.Request) (*url.URL, error)
	limits limits

	mu sync.Mutex
	// transport is nil when there is no connection to go on with; mu guards it.
	transport *http.Transport
}

// newClient checks the configuration, the files of TLS included, and does not
// connect.
func newClient(c *Config, l limits) (*client, error) {
	target, err := readTarget(c)
	if err != nil {
		return nil, err
	}
	header, err := readHeader(c)
	if err != nil {
		return nil, err
	}
	if c.Compression != None && c.Compression != Snappy {
		header.Set("Content-Encoding", c.Compression)
	}
	proxy, err := readProxy(c.Adapter.Options["proxy"])
	if err != nil {
		return nil, err
	}
	result := &client{url: target, header: header, host: header.Get("Host"), proxy: proxy, limits: l}
	header.Del("Host")
	if target.Scheme == secureTransport {
		result.tls = wire.TLS(c.Adapter.Options)
		if _, err := result.tls.Config(target.Host); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// connections returns the transport to use. It reads the authorities of TLS when
// it makes one, so that renewed ones are found at the latest after the connection
// with the old ones has failed, and the client's certificate at each handshake.
func (c *client) connections() (*http.Transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		return c.transport, nil
	}
	t := &http.Transport{
		Proxy:                  c.proxy,
		DialContext:            c.limits.dialer().DialContext,
		TLSHandshakeTimeout:    c.limits.dialTimeout(),
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    c.limits.concurrency,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true,
	}
	if c.tls != nil {
		config, err := c.tls.Config(c.url.Host)
		if err != nil {
			return nil, err
		}
		// Where no name is set net/http takes that of the host it speaks to, which
		// may be a proxy.
		config.ServerName = c.tls.ServerName
		if c.tls.CertFile != "" {
			config.GetClientCertificate = c.certificate
		}
		t.TLSClientConfig = config
	}
	c.transport = t
	return t, nil
}

// certificate reads the client's certificate. One that has run out may be answered
// with a refusal of each request, and so without a failure that would have the
// files read anew.
func (c *client) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	config, err := c.tls.Config(c.url.Host)
	if err != nil {
		return nil, err
	}
	return &config.Certificates[0], nil
}

// drop forgets a transport that has failed.
func (c *client) drop(t *http.Transport) {
	c.mu.Lock()
	if c.transport == t {
		c.transport = nil
	}
	c.mu.Unlock()
	t.CloseIdleConnections()
}

// close ends the connections; none is under way.
func (c *client) close() {
	c.mu.Lock()
	t := c.transport
	c.mu.Unlock()
	if t != nil {
		c.drop(t)
	}
}

// post sends data and returns the answer, whose body is in scratch's memory
// where it fits. data is the caller's again when it returns.
func (c *client) post(ctx context.Context, data, scratch []byte) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.timeout)
	var bodies bodyTracker
	defer bodies.wait()
	defer cancel() // What still sends the body stops before the wait for it.
	request := (&http.Request{
		Method: http.MethodPost, URL: c.url, Host: c.host, Header: c.header.Clone(),
		Body: bodies.open(data), ContentLength: int64(len(data)),
	}).WithContext(ctx)
	// A connection that the server closed while it was unused fails before
	// anything is written; this lets net/http try once more.
	request.GetBody = func() (io.ReadCloser, error) { return bodies.open(data), nil }
	t, err := c.connections()
	if err != nil {
		_ = request.Body.Close()
		return nil, fmt.Errorf("posting to %q: %w", c.url.Host, err)
	}
	// RoundTrip follows no redirect, which would send lines and passwords where
	// nobody has said that they may go.
	response, err := t.RoundTrip(request)
	if err != nil {
		c.drop(t)
		return nil, fmt.Errorf("posting to %q: %w", c.url.Host, c.cause(ctx, err))
	}
	text, err := readAnswer(response.Body, scratch)
	if err != nil {
		c.drop(t)
		return nil, fmt.Errorf("reading the answer of %q: %w", c.url.Host, c.cause(ctx, err))
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: text}, nil
}

// cause says how long was waited when that is why a request failed.
func (c *client) cause(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", c.limits.timeout, context.DeadlineExceeded)
	}
	return err
}

// readAnswer returns the first maxAnswer bytes. Whatever follows is left, and
// the connection with it, unless it is little.
func readAnswer(r io.ReadCloser, scratch []byte) ([]byte, error) {
	defer func() { _ = r.Close() }() // All that is wanted was read.
	buffer := bytes.NewBuffer(scratch[:0])
	_, err := buffer.ReadFrom(io.LimitReader(r, maxAnswer))
	if err == nil && buffer.Len() == maxAnswer {
		_, err = io.CopyN(io.Discard, r, maxAnswer)
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return buffer.Bytes(), err
}

// bodyTracker knows when a body is no longer read: net/http may go on reading it
// after an early answer.
type bodyTracker struct{ opened sync.WaitGroup }

// smallBody is what goes out with the header in one write of net/http's.
const smallBody = 3 << 10

// open returns a reader of data. A small body is copied instead of tracked: only
// from a reader that net/http knows to be in memory does it send the body along
// with the header, which saves a fifth of a short request's work.
func (t *bodyTracker) open(data []byte) io.ReadCloser {
	if len(data) <= smallBody {
		return io.NopCloser(bytes.NewReader(bytes.Clone(data)))
	}
	t.opened.Add(1)
	b := &trackedBody{tracker: t}
	b.Reset(data)
	return b
}

func (t *bodyTracker) wait() { t.opened.Wait() }

// trackedBody is one reading of a body.
type trackedBody struct {
	bytes.Reader
	tracker *bodyTracker
	once    sync.Once
}

// Close says that nothing more is read.
func (b *trackedBody) Close() error {
	b.once.Do(b.tracker.opened.Done)
	return nil
}
