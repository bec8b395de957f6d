package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// dial returns a session with the agent at an address.
func (c *command) dial(addr string) (*session, error) {
	dialer := net.Dialer{Timeout: askTimeout}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: askTimeout}
	s := &session{client: &http.Client{Transport: transport}, close: transport.CloseIdleConnections}
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		s.base, s.at = "http://agent", addr
		return s, nil
	}
	u, err := parseAddr(addr)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "https" {
		roots, err := c.roots()
		if err != nil {
			return nil, UsageError{err}
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	s.base, s.at, s.token, s.user = u.Scheme+"://"+u.Host, u.Redacted(), c.Token, u.User
	return s, nil
}

// parseAddr reads an address over TCP. No interface is the loopback interface.
func parseAddr(addr string) (*url.URL, error) {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	u, err := url.Parse(addr)
	// What cannot be read is not repeated: it may hold a password.
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usagef("the agent's address cannot be read; it is written host:port, https://host:port or unix:///path, and in a password %%23 stands for #, %%2F for / and %%3F for ?")
	}
	if host, port := u.Hostname(), u.Port(); port != "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			u.Host = net.JoinHostPort("127.0.0.1", port)
		}
	}
	return u, nil
}

// roots returns the certificate authorities to trust: the system's and those of
// --ca; nil for the system's alone.
func (c *command) roots() (*x509.CertPool, error) {
	if c.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the file of --ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("loading the system's certificates: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the file %q of --ca: it holds no certificate", c.CA)
	}
	return pool, nil
}

// advise adds to an error of a connection what to do about it.
func advise(err error) error {
	var authority x509.UnknownAuthorityError
	if errors.As(err, &authority) {
		return fmt.Errorf("%w; --ca names a file with the authority's certificate", err)
	}
	return err
}
