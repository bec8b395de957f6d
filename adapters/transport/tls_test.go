package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

func tlsConfig(address string, o *transport.TLSOptions) transport.Config {
	return transport.Config{
		Address: address, TLS: o, Partial: adapters.Partial, Closed: adapters.ErrClosed,
	}
}

// send sends one frame and returns what became of it.
func send(t *testing.T, c transport.Config) error {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := transport.NewStream(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }()
	dst, ends, err := s.Begin(t.Context())
	if err != nil {
		return err
	}
	dst = append(dst, "hello\n"...)
	result := make(chan error, 1)
	s.Commit(t.Context(), dst, append(ends, uint32(len(dst))), func(err error) { result <- err })
	s.Flush(t.Context())
	return <-result
}

func startServer(t *testing.T, config *tls.Config) *adaptertest.TCPServer {
	t.Helper()
	return adaptertest.StartTCP(t, adaptertest.Serves, config, adaptertest.Format{
		Split: adaptertest.SplitNewline, Line: func(message []byte) []byte { return message },
	})
}

// A hardened client and a server agree on a suite with forward secrecy and
// authenticated encryption, or on none.
func TestTLSHardened(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	f := func(hardened bool, suite uint16, works bool) {
		t.Helper()
		config := certificates.Server.Clone()
		config.MinVersion, config.MaxVersion, config.CipherSuites = tls.VersionTLS12, tls.VersionTLS12, []uint16{suite}
		server := startServer(t, config)
		o := transport.TLSOptions{CAFiles: []string{certificates.CAFile}, Hardened: hardened}
		if err := send(t, tlsConfig(server.Address(), &o)); (err == nil) != works {
			t.Errorf("hardened %v, %s: %v", hardened, tls.CipherSuiteName(suite), err)
		}
	}
	const weak = tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
	f(false, weak, true)
	f(true, weak, false)
	f(true, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, true)
	f(true, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, true)
	server := startServer(t, certificates.Server) // Of TLS 1.3.
	if err := send(t, tlsConfig(server.Address(), &transport.TLSOptions{CAFiles: []string{certificates.CAFile}, Hardened: true})); err != nil {
		t.Error(err)
	}
}

func TestTLSTrust(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	f := func(name string, o transport.TLSOptions, want string) {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, certificates.Server)
			err := send(t, tlsConfig(server.Address(), &o))
			if want == "" {
				if err != nil {
					t.Fatal(err)
				}
				adaptertest.Eventually(t, adaptertest.Patience, "the line arrives",
					func() bool { return server.Count() == 1 })
				return
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %s", err, want)
			}
			if server.Count() != 0 {
				t.Fatal("the line arrived all the same")
			}
		})
	}
	ca := []string{certificates.CAFile}
	f("own authority", transport.TLSOptions{CAFiles: ca}, "")
	f("own authority alone", transport.TLSOptions{CAFiles: ca, NoSystemRoots: true}, "")
	f("unknown authority", transport.TLSOptions{}, "certificate signed by unknown authority")
	f("any certificate", transport.TLSOptions{InsecureSkipVerify: true}, "")
	f("other name", transport.TLSOptions{CAFiles: ca, ServerName: "localhost"}, "")
	f("wrong name", transport.TLSOptions{CAFiles: ca, ServerName: "example.org"}, "not example.org")
}

// systemRootsOf names the server to which TestSystemRoots, run again in a process
// of its own, sends; the system's certificates are read once in a process.
const systemRootsOf = "TALLYMAN_TEST_SYSTEM_ROOTS_OF"

// The system's authorities are trusted unless the user does not want it.
func TestSystemRoots(t *testing.T) {
	if address := os.Getenv(systemRootsOf); address != "" {
		if err := send(t, tlsConfig(address, &transport.TLSOptions{})); err != nil {
			t.Error(err)
		}
		own := &transport.TLSOptions{NoSystemRoots: true, CAFiles: []string{adaptertest.NewCertificates(t).CAFile}}
		if err := send(t, tlsConfig(address, own)); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("got %v, want a refusal", err)
		}
		return
	}
	certificates := adaptertest.NewCertificates(t)
	server := startServer(t, certificates.Server)
	again := exec.Command(os.Args[0], "-test.run=^TestSystemRoots$", "-test.v")
	again.Env = append(os.Environ(), systemRootsOf+"="+server.Address(), "SSL_CERT_FILE="+certificates.CAFile)
	if output, err := again.CombinedOutput(); err != nil || !strings.Contains(string(output), "PASS: TestSystemRoots") {
		t.Fatalf("%v\n%s", err, output)
	}
	adaptertest.Eventually(t, adaptertest.Patience, "one line arrives", func() bool { return server.Count() == 1 })
}

// A server that speaks only what is older than allowed is refused.
func TestTLSVersion(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	f := func(name string, server, least uint16, refused bool) {
		t.Run(name, func(t *testing.T) {
			config := certificates.Server.Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, server
			err := send(t, tlsConfig(startServer(t, config).Address(), &transport.TLSOptions{
				CAFiles: []string{certificates.CAFile}, MinVersion: least,
			}))
			if refused && (err == nil || !strings.Contains(err.Error(), "protocol version")) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if !refused && err != nil {
				t.Fatal(err)
			}
		})
	}
	f("1.1 by default", tls.VersionTLS11, 0, true)
	f("1.1 though allowed", tls.VersionTLS11, tls.VersionTLS10, true)
	f("1.2 by default", tls.VersionTLS12, 0, false)
	f("1.2 where 1.3 is asked for", tls.VersionTLS12, tls.VersionTLS13, true)
	f("1.3 where 1.3 is asked for", tls.VersionTLS13, tls.VersionTLS13, false)
}

// TestTLSHardening: a server that has none of the allowed suites or curves is
// refused, others are not.
func TestTLSHardening(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	f := func(name string, hardened bool, change func(*tls.Config), want string) {
		t.Run(name, func(t *testing.T) {
			config := certificates.Server.Clone()
			config.MaxVersion = tls.VersionTLS12
			change(config)
			server := startServer(t, config)
			err := send(t, tlsConfig(server.Address(), &transport.TLSOptions{CAFiles: []string{certificates.CAFile}, Hardened: hardened}))
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %q", err, want)
			}
		})
	}
	weak := func(c *tls.Config) {
		c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
	}
	f("weak suites", false, weak, "")
	f("weak suites, hardened", true, weak, "handshake failure")
	f("a good server, hardened", true, func(*tls.Config) {}, "")
	f("a good curve, hardened", true, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }, "")
}

// A server that wants a client certificate gets it; where it refuses, nothing is
// said to be delivered, though in TLS 1.3 it refuses after the handshake and its
// kernel acknowledges everything.
func TestTLSClientCertificate(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	f := func(name string, version uint16, tickets, certificate bool) {
		t.Run(name, func(t *testing.T) {
			config := certificates.Server.Clone()
			config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, certificates.Authority
			config.MaxVersion, config.SessionTicketsDisabled = version, !tickets
			server := startServer(t, config)
			o := transport.TLSOptions{CAFiles: []string{certificates.CAFile}}
			if certificate {
				o.CertFile, o.KeyFile = certificates.CertFile, certificates.KeyFile
			}
			err := send(t, tlsConfig(server.Address(), &o))
			if certificate {
				if err != nil {
					t.Fatal(err)
				}
				adaptertest.Eventually(t, adaptertest.Patience, "the line arrives",
					func() bool { return server.Count() == 1 })
				return
			}
			if err == nil || server.Count() != 0 {
				t.Fatalf("got %v, want a refusal for want of a certificate", err)
			}
		})
	}
	f("1.2 with", tls.VersionTLS12, true, true)
	f("1.2 without", tls.VersionTLS12, true, false)
	f("1.3 with", tls.VersionTLS13, true, true)
	f("1.3 without", tls.VersionTLS13, true, false)
	f("1.3 with, no tickets", tls.VersionTLS13, false, true)
	f("1.3 without, no tickets", tls.VersionTLS13, false, false)
}

// A server that accepts and says nothing holds a dial up no longer than its
// deadline or its context.
func TestSilentHandshake(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	f := func(timeout time.Duration, ctx context.Context, want error) {
		t.Helper()
		c := tlsConfig(listener.Addr().String(), &transport.TLSOptions{})
		c.Limits.DialTimeout = timeout
		s, err := transport.NewStream(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = s.Begin(ctx); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f(30*time.Millisecond, t.Context(), context.DeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(30*time.Millisecond, cancel)
	defer stop.Stop()
	f(time.Hour, ctx, context.Canceled)
}

// A configuration that can never work is refused before there is a connection.
func TestBadConfig(t *testing.T) {
	f := func(c transport.Config, want string) {
		t.Helper()
		if _, err := transport.NewStream(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(transport.Config{Address: "host"}, `reading address "host": address host: missing port in address`)
	f(transport.Config{Address: "host:"}, `reading address "host:": the port is missing`)
	f(transport.Config{Address: "host:1", TLS: &transport.TLSOptions{CAFiles: []string{"/none"}}},
		"reading the CA file: open /none: no such file or directory")
	f(transport.Config{Address: "host:1", TLS: &transport.TLSOptions{CAFiles: []string{"doc.go"}}},
		`reading the CA file "doc.go": it holds no certificate`)
	f(transport.Config{Address: "host:1", TLS: &transport.TLSOptions{NoSystemRoots: true}},
		"without the system's certificates a CA file is needed")
	f(transport.Config{Address: "host:1", TLS: &transport.TLSOptions{CertFile: "a"}},
		"a client certificate and its key go together: one of them is missing")
}
