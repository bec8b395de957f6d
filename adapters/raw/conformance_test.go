package raw

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

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

// lineOf returns a message without its final newline.
func lineOf(message []byte) []byte { return bytes.TrimSuffix(message, []byte("\n")) }

func newWith(t *testing.T, c adapters.Config, limits transport.Limits) adapters.Adapter {
	t.Helper()
	a, err := newAdapter(c, limits)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestConformance(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	run := func(name, transportName string, datagrams bool, options map[string]string) {
		t.Run(name, func(t *testing.T) {
			var config *tls.Config
			if transportName == "tls" {
				config = certificates.Server
				options["tls.ca"] = certificates.CAFile
			}
			suite := adaptertest.Suite{
				Start: func(t *testing.T, mode adaptertest.Mode) adaptertest.Server {
					format := adaptertest.Format{Split: adaptertest.SplitNewline, Line: lineOf}
					switch {
					case transportName == "udp":
						return adaptertest.StartUDP(t, format)
					case datagrams:
						return adaptertest.StartUnixgram(t, format)
					case transportName == "unix":
						return adaptertest.StartUnix(t, mode, format)
					default:
						return adaptertest.StartTCP(t, mode, config, format)
					}
				},
				New: func(t *testing.T, address string) adapters.Adapter {
					return newWith(t, resolve(t, transportName, address, options), transport.Limits{})
				},
				NewImpatient: func(t *testing.T, address string) adapters.Adapter {
					limits := transport.Limits{WriteTimeout: 200 * time.Millisecond, AckTimeout: 400 * time.Millisecond}
					return newWith(t, resolve(t, transportName, address, options), limits)
				},
			}
			if datagrams {
				suite.Lossy, suite.MaxLine = true, 60000
			}
			adaptertest.Run(t, suite)
		})
	}
	run("tcp", "tcp", false, map[string]string{})
	run("tls", "tls", false, map[string]string{})
	run("udp", "udp", true, map[string]string{})
	run("unix stream", "unix", false, map[string]string{})
	run("unix datagrams", "unix", true, map[string]string{})
	run("udp template", "udp", true, map[string]string{"format": "{{.Data}}{{\"\\n\"}}"})
}
