package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
)

// DefaultHost is where an engine listens when nobody says otherwise.
const DefaultHost = client.DefaultDockerHost

// defaultTimeout is how long one call may take. Engines with hundreds of
// containers and a busy disk have been seen to take several seconds for a list.
const defaultTimeout = 10 * time.Second

// Options say which engine to talk to, and how. The zero value is the engine of
// this host.
type Options struct {
	// Host is unix:///path, tcp://host:port, http://… or https://…; DefaultHost
	// when empty.
	Host string
	// APIVersion fixes the version of the API. When empty, the newest that both
	// sides know is taken.
	APIVersion string
	// TLSVerify asks for TLS and for a valid certificate of the engine.
	TLSVerify bool
	// CertPath is a folder with ca.pem, cert.pem and key.pem. It asks for TLS;
	// the engine's certificate is only checked with TLSVerify.
	CertPath string
	// Timeout bounds every call and the opening of an event stream; 10 seconds
	// when zero.
	Timeout time.Duration
	// Logger is told when the version spoken changes. None when nil.
	Logger *slog.Logger
}

// Client is an Engine over the Docker API.
type Client struct {
	options Options
	tls     *tls.Config
	log     *slog.Logger
	answers packer

	// streams counts the goroutines of open event streams, stopped ends them.
	streams sync.WaitGroup
	stopped context.Context
	stop    context.CancelFunc

	// turn holds one token, which is the right to negotiate. Unlike a mutex it
	// can be waited for with a deadline.
	turn chan struct{}
	// mu guards api and spoken, and is never held during a call.
	mu sync.Mutex
	// api speaks the negotiated version. It is nil when there is none yet or when
	// the engine may have been replaced since.
	api *library
	// spoken is the version that was logged last.
	spoken string
}

// Client must be what the collector asks for.
var _ Engine = (*Client)(nil)

// New checks the options and returns a client. It does not connect.
func New(o Options) (*Client, error) {
	if o.Host == "" {
		o.Host = DefaultHost
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{options: o, log: o.Logger, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}

	scheme, rest, found := strings.Cut(o.Host, "://")
	if !found || rest == "" {
		return nil, fmt.Errorf("bad engine address %q: want unix:///path or tcp://host:port", o.Host)
	}
	switch scheme {
	case "unix":
		// Certificates are for the network: an engine never asks for them here.
	case "tcp", "http", "https":
		config, err := tlsOf(o, scheme)
		if err != nil {
			return nil, err
		}
		c.tls = config
	default:
		return nil, fmt.Errorf("unknown scheme %q of engine address %q; known are unix, tcp, http, https", scheme, o.Host)
	}
	if _, err := c.newAPI(); err != nil {
		return nil, fmt.Errorf("using engine address %q: %w", o.Host, err)
	}
	c.stopped, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// tlsOf returns the TLS configuration that the options ask for, nil for none.
func tlsOf(o Options, scheme string) (*tls.Config, error) {
	if o.CertPath == "" && !o.TLSVerify && scheme != "https" {
		return nil, nil
	}
	if o.CertPath == "" {
		// The host's own certificate authorities, and no certificate of ours.
		return tlsconfig.ClientDefault(), nil
	}
	config, err := tlsconfig.Client(tlsconfig.Options{
		CAFile:             filepath.Join(o.CertPath, "ca.pem"),
		CertFile:           filepath.Join(o.CertPath, "cert.pem"),
		KeyFile:            filepath.Join(o.CertPath, "key.pem"),
		InsecureSkipVerify: !o.TLSVerify,
		ExclusiveRootPools: true,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the engine's certificates in %q: %w", o.CertPath, err)
	}
	return config, nil
}

// newAPI makes a client of the library, with connections of its own. The
// library takes nothing from the environment this way.
func (c *Client) newAPI() (*client.Client, error) {
	transport := &http.Transport{
		MaxIdleConns:    6,
		IdleConnTimeout: 30 * time.Second,
		TLSClientConfig: c.tls,
	}
	api, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(c.options.Host),
		client.WithVersion(c.options.APIVersion),
	)
	// WithHost sets a proxy from the environment. An engine is asked directly.
	transport.Proxy = nil
	return api, err
}

// Close ends all event streams, waits for them and frees the connections.
func (c *Client) Close() error {
	c.stop()
	c.streams.Wait()
	c.forget()
	return nil
}

// call runs one call with a deadline. doing completes the sentence of an error.
func (c *Client) call(ctx context.Context, doing string, do func(context.Context, *library) error) error {
	limited, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	api, err := c.negotiated(limited)
	if err == nil {
		err = do(limited, api)
	}
	return c.explain(ctx, doing, err)
}

// explain turns an error of the library into one of this package's, and has the
// version negotiated again where the engine may have been replaced.
func (c *Client) explain(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer from the engine within %s: %w", doing, c.options.Timeout, err)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w", doing, ErrNotFound)
	case client.IsErrConnectionFailed(err), errdefs.IsInvalidArgument(err):
		// An engine that is gone may come back as another version, and one that
		// has done so already says that the version asked for is too old or new.
		c.forget()
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// negotiated returns a client that speaks a version which the engine knows.
func (c *Client) negotiated(ctx context.Context) (*library, error) {
	if api := c.current(); api != nil {
		return api, nil
	}
	// One negotiation at a time; whoever waited finds the result.
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if api := c.current(); api != nil {
		return api, nil
	}
	docker, err := c.newAPI()
	if err != nil {
		return nil, err
	}
	// The library would go on with its newest version if this failed, which
	// older engines refuse with a misleading answer.
	ping, err := docker.Ping(ctx)
	if err != nil {
		_ = docker.Close() // It only drops idle connections and never fails.
		return nil, err
	}
	docker.NegotiateAPIVersionPing(ping)
	api := libraryOf(docker)

	c.mu.Lock()
	c.api = api
	changed := c.spoken != api.version
	c.spoken = api.version
	c.mu.Unlock()
	if changed {
		c.log.Debug("speaking with the engine", "host", c.options.Host, "api_version", api.version)
	}
	return api, nil
}

func (c *Client) current() *library {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.api
}

// forget drops the client and with it the version that was negotiated. Calls in
// progress end as they would have.
func (c *Client) forget() {
	c.mu.Lock()
	api := c.api
	c.api = nil
	c.mu.Unlock()
	if api != nil {
		_ = api.close() // It only drops idle connections and never fails.
	}
}
