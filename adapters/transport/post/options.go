package post

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/wire"
)

// Transports returns the transports that New knows, the default first.
func Transports() []string { return []string{"http", secureTransport} }

// secureTransport is the transport over TLS.
const secureTransport = "https"

// The bounds of the options.
const (
	leastBytes, mostBytes     = 1 << 10, 64 << 20
	leastLines, mostLines     = 1, 1_000_000
	mostLinger                = time.Minute
	leastTimeout, mostTimeout = 10 * time.Millisecond, 10 * time.Minute
	mostConcurrency           = 16
)

// Options returns the options that New reads, for a Description.
func Options() []adapters.Option {
	return slices.Concat([]adapters.Option{
		{
			Name: "max_bytes", Default: "1000000",
			Help: "Longest body in bytes before it is compressed, 1024 to 67108864; a single line may make a longer one.",
		},
		{
			Name: "max_lines", Default: "10000",
			Help: "Most lines in a body, 1 to 1000000.",
		},
		{
			Name: "linger", Default: "200ms",
			Help: "How long a body that is not full waits for more lines, 0s to 1m.",
		},
		{
			Name: "concurrency", Default: "1",
			Help: "Most requests under way at a time, 1 to 16; never two with lines of the same container.",
		},
		{
			Name: "timeout", Default: "30s",
			Help: "How long a request may take from its beginning to the answer's end, 10ms to 10m.",
		},
		{
			Name: "retry_status",
			Help: "Statuses besides the usual ones to try again after, such as 401,403,404: lines then wait, where otherwise they would be dropped, until the token or the path is put right.",
		},
		{
			Name: "token", Secret: true,
			Help: "Bearer token of every request.",
		},
		{
			Name: "header.*", Secret: true,
			Help: "Header of every request, such as header.X-Tenant=a.",
		},
		{
			Name: "proxy", Secret: true,
			Help: "URL of the proxy to use, http, https or socks5; variables of the environment such as HTTPS_PROXY are not read.",
		},
	}, wire.TLSOptions(secureTransport))
}

// limits are the bounds of bodies and requests.
type limits struct {
	bytes, lines, concurrency int
	linger, timeout           time.Duration
}

func readLimits(options map[string]string) (l limits, err error) {
	if l.bytes, err = number(options, "max_bytes", leastBytes, mostBytes); err != nil {
		return l, err
	}
	if l.lines, err = number(options, "max_lines", leastLines, mostLines); err != nil {
		return l, err
	}
	if l.concurrency, err = number(options, "concurrency", 1, mostConcurrency); err != nil {
		return l, err
	}
	if l.linger, err = duration(options, "linger", 0, mostLinger); err != nil {
		return l, err
	}
	l.timeout, err = duration(options, "timeout", leastTimeout, mostTimeout)
	return l, err
}

func number(options map[string]string, name string, least, most int) (int, error) {
	n, err := strconv.Atoi(options[name])
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("bad value %q of option %q; it is a number from %d to %d", options[name], name, least, most)
	}
	return n, nil
}

func duration(options map[string]string, name string, least, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(options[name])
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("bad value %q of option %q; it is a time such as 500ms or 2s, from %v to %v",
			options[name], name, least, most)
	}
	return d, nil
}

// readRetry reads the option retry_status.
func readRetry(text string) (map[int]bool, error) {
	statuses := make(map[int]bool)
	if text == "" {
		return statuses, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		status, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || status < 400 || status > 599 {
			return nil, fmt.Errorf("bad value %q of option %q; it is statuses from 400 to 599, separated by commas", text, "retry_status")
		}
		statuses[status] = true
	}
	return statuses, nil
}

// readTarget returns the URL to post to.
func readTarget(c *Config) (*url.URL, error) {
	if !slices.Contains(Transports(), c.Adapter.Transport) {
		return nil, fmt.Errorf("unknown transport %q", c.Adapter.Transport)
	}
	if err := transport.CheckAddress(c.Adapter.Address); err != nil {
		return nil, err
	}
	path := c.Adapter.Path
	if path == "" || path == "/" {
		path = c.Path
	}
	return &url.URL{Scheme: c.Adapter.Transport, Host: c.Adapter.Address, Path: path, RawQuery: c.Query}, nil
}

// readProxy returns the option proxy as an http.Transport wants it, nil for
// none. No error shows the value, for it may hold a password.
func readProxy(text string) (func(*http.Request) (*url.URL, error), error) {
	if text == "" {
		return nil, nil //nolint:nilnil // There is no proxy.
	}
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) || u.Hostname() == "" ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("bad value of option %q; it is written http://host:port, https://host:port or socks5://host:port", "proxy")
	}
	return http.ProxyURL(u), nil
}

// ours are the headers that the adapter sets itself.
var ours = map[string]bool{
	"Content-Length": true, "Content-Encoding": true, "Transfer-Encoding": true, "Connection": true,
}

// readHeader returns the header of every request, in which Host stands for the
// request's host. No error shows a value, for it may be a secret.
func readHeader(c *Config) (http.Header, error) {
	header := http.Header{"User-Agent": {"tallyman"}, "Content-Type": {c.ContentType}}
	for name, value := range c.Header {
		if err := setHeader(header, name, value); err != nil {
			return nil, err
		}
	}
	given := make(map[string]bool)
	for option, value := range c.Adapter.Options {
		name, ok := strings.CutPrefix(option, "header.")
		if !ok {
			continue
		}
		name = http.CanonicalHeaderKey(name)
		if ours[name] {
			return nil, fmt.Errorf("bad option %q: this header cannot be chosen", option)
		}
		if given[name] {
			return nil, fmt.Errorf("the header %q is given twice", name)
		}
		given[name] = true
		if err := setHeader(header, name, value); err != nil {
			return nil, fmt.Errorf("bad option %q: %w", option, err)
		}
	}
	authorization := []string{}
	if user := c.Adapter.User; user != nil {
		password, _ := user.Password()
		request := http.Request{Header: http.Header{}}
		request.SetBasicAuth(user.Username(), password)
		authorization = append(authorization, request.Header.Get("Authorization"))
	}
	if token := c.Adapter.Options["token"]; token != "" {
		authorization = append(authorization, "Bearer "+token)
	}
	if len(authorization) == 0 {
		return header, nil
	}
	if len(authorization) > 1 || given["Authorization"] {
		return nil, errors.New("a user in the URI, the option \"token\" and the option \"header.Authorization\" exclude each other")
	}
	if err := setHeader(header, "Authorization", authorization[0]); err != nil {
		return nil, fmt.Errorf("bad value of option %q: %w", "token", err)
	}
	return header, nil
}

// setHeader checks a name and a value (RFC 9110, section 5) and sets them.
func setHeader(header http.Header, name, value string) error {
	const symbols = "!#$%&'*+-.^_`|~"
	bad := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune(symbols, r)
	}
	if name == "" || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%q is no name of a header", name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("the value of header %q holds a control character", name)
	}
	header.Set(name, value)
	return nil
}

// dialTimeout bounds a connection and its TLS handshake.
func (l *limits) dialTimeout() time.Duration { return min(l.timeout, 10*time.Second) }

func (l *limits) dialer() *net.Dialer {
	dialer := transport.NewDialer()
	dialer.Timeout = l.dialTimeout()
	return dialer
}
