package adaptertest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"

	"tallyman/adapters"
)

// Resolve makes an adapter's configuration as the route table does, on a host
// named node7.
func Resolve(t testing.TB, d adapters.Description, transport, address string, options map[string]string) adapters.Config {
	t.Helper()
	c, err := d.Resolve(transport, address, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	c.Hostname = "node7"
	return c
}

// New makes an adapter.
func New(t testing.TB, d adapters.Description, c adapters.Config) adapters.Adapter {
	t.Helper()
	a, err := d.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Unpack undoes the compression that a request's Content-Encoding names.
func Unpack(r *http.Request, body []byte) ([]byte, error) {
	var unpacked io.ReadCloser
	var err error
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
		return body, nil
	case "gzip":
		unpacked, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		unpacked, err = zlib.NewReader(bytes.NewReader(body))
	case "zstd":
		var decoder *zstd.Decoder
		if decoder, err = zstd.NewReader(bytes.NewReader(body)); err == nil {
			unpacked = decoder.IOReadCloser()
		}
	default:
		err = fmt.Errorf("unknown encoding %q", encoding)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = unpacked.Close() }() // All of it was read.
	return io.ReadAll(unpacked)
}

// Posting is an adapter that posts over http and https.
type Posting struct {
	Description adapters.Description
	// Take finds the lines in a request and answers it, as for StartHTTP.
	Take func(w http.ResponseWriter, r *http.Request, body []byte) ([][]byte, error)
	// Wrap, where it is not nil, changes what the suite sends to the adapter.
	Wrap func(adapters.Adapter) adapters.Adapter
}

// small are options by which bodies are short and soon under way.
func small(options map[string]string) map[string]string {
	all := map[string]string{"linger": "5ms", "max_bytes": "150000"}
	maps.Copy(all, options)
	return all
}

func (p *Posting) open(t *testing.T, transport, address string, options map[string]string) adapters.Adapter {
	t.Helper()
	a := New(t, p.Description, Resolve(t, p.Description, transport, address, options))
	if p.Wrap != nil {
		a = p.Wrap(a)
	}
	return a
}

// Run runs the suite. utf8 is as Suite has it.
func (p *Posting) Run(t *testing.T, transport string, options map[string]string, utf8 bool) {
	options = small(options)
	var config *tls.Config
	if transport == "https" {
		certificates := NewCertificates(t)
		config = certificates.Server
		options["tls.ca"] = certificates.CAFile
	}
	Run(t, Suite{
		Start: func(t *testing.T, mode Mode) Server { return StartHTTP(t, mode, config, p.Take) },
		New: func(t *testing.T, address string) adapters.Adapter {
			return p.open(t, transport, address, options)
		},
		NewImpatient: func(t *testing.T, address string) adapters.Adapter {
			return p.open(t, transport, address, With(options, "timeout", "300ms"))
		},
		UTF8: utf8,
	})
}

// DeliverThroughRestarts delivers lines to an address while restart is called
// five times: 30,000 lines, and 200,000 where TALLYMAN_SOAK is set.
func (p *Posting) DeliverThroughRestarts(t *testing.T, server Server, address string, restart func(), options map[string]string) {
	lines := 30_000
	if os.Getenv("TALLYMAN_SOAK") != "" {
		lines = 200_000
	}
	options = small(options)
	options["max_bytes"], options["linger"] = "20000", "1ms"
	DeliverThroughRestarts(t, server, p.open(t, "http", address, options), lines, restart)
}

// Restarts delivers lines to a server that is restarted, of which none may be
// missing.
func (p *Posting) Restarts(t *testing.T, options map[string]string) {
	s := StartRestartableHTTP(t, p.Take)
	p.DeliverThroughRestarts(t, s, s.Address(), s.Restart, options)
}
