package syslog

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strconv"
	"strings"
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
		WriteTimeout: 200 * time.Millisecond,
		AckTimeout:   400 * time.Millisecond,
	}
}

func newWith(t *testing.T, c adapters.Config, limits transport.Limits) adapters.Adapter {
	t.Helper()
	a, err := newAdapter(c, limits)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// resolve makes a configuration as the route table does.
func resolve(t testing.TB, transportName, address string, options map[string]string) adapters.Config {
	t.Helper()
	d := Description()
	c, err := d.Resolve(transportName, address, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger, c.Hostname = slog.New(slog.DiscardHandler), "node7"
	return c
}

// lineOf returns the text behind a header of RFC 5424, without the final newline.
func lineOf(message []byte) []byte {
	parts := bytes.SplitN(message, []byte(" "), 8)
	if len(parts) != 8 || !bytes.HasSuffix(parts[0], []byte(">1")) || string(parts[5]) != "-" || string(parts[6]) != "-" {
		return append([]byte("no header: "), message...)
	}
	return bytes.TrimSuffix(parts[7], []byte("\n"))
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
		datagrams := name == "udp" || name == "unix datagrams"
		t.Run(name, func(t *testing.T) {
			var config *tls.Config
			if transportName == "tls" || transportName == "relps" {
				config = certificates.Server
				options["tls.ca"] = certificates.CAFile
			}
			isRELP := strings.HasPrefix(transportName, "relp")
			suite := adaptertest.Suite{
				Start: func(t *testing.T, mode adaptertest.Mode) adaptertest.Server {
					format := adaptertest.Format{Split: split, Line: lineOf}
					switch {
					case transportName == "udp":
						return adaptertest.StartUDP(t, format)
					case datagrams:
						return adaptertest.StartUnixgram(t, format)
					case transportName == "unix":
						return adaptertest.StartUnix(t, mode, format)
					case isRELP:
						return adaptertest.StartRELP(t, mode, config, lineOf)
					default:
						return adaptertest.StartTCP(t, mode, config, format)
					}
				},
				New: func(t *testing.T, address string) adapters.Adapter {
					return newWith(t, resolve(t, transportName, address, options), transport.Limits{})
				},
				NewImpatient: func(t *testing.T, address string) adapters.Adapter {
					return newWith(t, resolve(t, transportName, address, options), shortLimits())
				},
			}
			if datagrams {
				suite.Lossy, suite.MaxLine = true, 60000
			}
			if isRELP {
				suite.MaxLine = 128_000
			}
			adaptertest.Run(t, suite)
		})
	}
	run("tcp", "tcp", adaptertest.SplitNewline, map[string]string{})
	run("tls", "tls", splitCounted, map[string]string{})
	run("udp", "udp", nil, map[string]string{})
	run("relp", "relp", nil, map[string]string{})
	run("relps", "relps", nil, map[string]string{})
	run("unix stream", "unix", adaptertest.SplitNewline, map[string]string{"format": "rfc5424"})
	run("unix datagrams", "unix", nil, map[string]string{"format": "rfc5424"})
}
