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

func TestConformance(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	run := func(name, transportName string, line func([]byte) []byte, options map[string]string) {
		t.Run(name, func(t *testing.T) {
			var config *tls.Config
			if transportName == "tls" {
				config = certificates.Server
				options["tls.ca"] = certificates.CAFile
			}
			suite := adaptertest.Suite{
				Start: func(t *testing.T, mode adaptertest.Mode) adaptertest.Server {
					format := adaptertest.Format{Split: adaptertest.SplitNewline, Line: line}
					if transportName == "udp" {
						return adaptertest.StartUDP(t, format)
					}
					return adaptertest.StartTCP(t, mode, config, format)
				},
				New: func(t *testing.T, address string) adapters.Adapter {
					a, err := newAdapter(resolve(t, transportName, address, options), transport.Limits{
						DialTimeout:  2 * time.Second,
						WriteTimeout: 400 * time.Millisecond,
						AckTimeout:   800 * time.Millisecond,
					})
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
	run("tcp", "tcp", lineOf, map[string]string{})
	run("tls", "tls", lineOf, map[string]string{})
	run("udp", "udp", lineOf, map[string]string{})
	run("tcp template", "tcp", lineOf, map[string]string{"format": "{{.Data}}{{\"\\n\"}}"})
}
