package syslog

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"regexp"
	"strconv"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// shortLimits make a dead server known in a fraction of a second.
func shortLimits() transport.Limits {
	return transport.Limits{
		DialTimeout:  2 * time.Second,
		WriteTimeout: 400 * time.Millisecond,
		AckTimeout:   800 * time.Millisecond,
	}
}

// resolve makes a configuration as the route table does.
func resolve(t testing.TB, transportName, address string, options map[string]string) adapters.Config {
	t.Helper()
	d := Description()
	c, err := d.Resolve(transportName, address, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// anyHeader matches the header of either format.
var anyHeader = regexp.MustCompile(`^<\d+>(1 \S+ \S+ \S+ \d+ - -|\S+ \S+ \S+\[\d+\]:) `)

// lineOf returns the text behind a header, without the final newline.
func lineOf(message []byte) []byte {
	header := anyHeader.Find(message)
	if header == nil {
		return append([]byte("no header: "), message...)
	}
	return bytes.TrimSuffix(message[len(header):], []byte("\n"))
}

// splitCounted is the Split of octet counting (RFC 6587, section 3.4.1).
func splitCounted(data []byte) (length int, message []byte) {
	digits, rest, found := bytes.Cut(data, []byte(" "))
	if !found {
		return 0, nil
	}
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return len(data), []byte("no length: " + string(digits))
	}
	if len(rest) < n {
		return 0, nil
	}
	return len(digits) + 1 + n, rest[:n]
}

func TestConformance(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	run := func(name, transportName string, split func([]byte) (int, []byte), options map[string]string) {
		t.Run(name, func(t *testing.T) {
			var config *tls.Config
			if transportName == "tls" {
				config = certificates.Server
				options["tls.ca"] = certificates.CAFile
			}
			suite := adaptertest.Suite{
				Start: func(t *testing.T, mode adaptertest.Mode) adaptertest.Server {
					format := adaptertest.Format{Split: split, Line: lineOf}
					if transportName == "udp" {
						return adaptertest.StartUDP(t, format)
					}
					return adaptertest.StartTCP(t, mode, config, format)
				},
				New: func(t *testing.T, address string) adapters.Adapter {
					a, err := newAdapter(resolve(t, transportName, address, options), shortLimits())
					if err != nil {
						t.Fatal(err)
					}
					return a
				},
			}
			if transportName == "udp" {
				suite.Lossy, suite.MaxLine = true, 60000
			}
			adaptertest.Run(t, suite)
		})
	}
	run("tcp", "tcp", adaptertest.SplitNewline, map[string]string{})
	run("tcp octet-counted", "tcp", splitCounted, map[string]string{"framing": "octet-counted"})
	run("tcp rfc3164", "tcp", adaptertest.SplitNewline, map[string]string{"format": "rfc3164"})
	run("tls", "tls", adaptertest.SplitNewline, map[string]string{})
	run("tls octet-counted", "tls", splitCounted, map[string]string{"framing": "octet-counted"})
	run("udp", "udp", nil, map[string]string{})
	run("udp rfc3164", "udp", nil, map[string]string{"format": "rfc3164"})
}
