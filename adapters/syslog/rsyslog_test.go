package syslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// rsyslogConfig writes every message as it came, without what frames it. What
// comes by RELP is written before it is acknowledged. The arguments are a
// folder, the ports of UDP, RELP and RELP over TLS, and the files of the
// authority, a certificate and its key.
const rsyslogConfig = `
global(workDirectory="%[1]s" maxMessageSize="256k" parser.escapeControlCharactersOnReceive="off"
       defaultNetstreamDriverCAFile="%[5]s" defaultNetstreamDriverCertFile="%[6]s" defaultNetstreamDriverKeyFile="%[7]s")
module(load="imtcp")
module(load="imptcp")
module(load="imudp")
module(load="imrelp")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="all") { action(type="omfile" file="%[1]s/messages" template="raw" flushOnTXEnd="on") }
ruleset(name="direct" queue.type="direct") { action(type="omfile" file="%[1]s/messages" template="raw" flushOnTXEnd="on") }
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="%[1]s/tcp" ruleset="all")
input(type="imptcp" address="127.0.0.1" port="0" listenPortFileName="%[1]s/ptcp" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="%[1]s/tls" ruleset="all"
      streamDriver.name="%[8]s" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imudp" address="127.0.0.1" port="%[2]d" ruleset="all")
input(type="imrelp" address="127.0.0.1" port="%[3]d" ruleset="direct" maxDataSize="256k")
input(type="imrelp" address="127.0.0.1" port="%[4]d" ruleset="direct" maxDataSize="256k" tls="on" tls.authMode="certvalid"
      tls.caCert="%[5]s" tls.myCert="%[6]s" tls.myPrivKey="%[7]s" tls.permittedPeer=["*"])
`

// rsyslog is a real rsyslogd.
type rsyslog struct {
	*server
	// addresses are those of the inputs.
	addresses map[string]string
	// tls are the options of a client with a certificate.
	tls map[string]string
}

// startRsyslog starts rsyslogd with the named driver of TLS, gtls or ossl.
func startRsyslog(t *testing.T, driver string) *rsyslog {
	t.Helper()
	program := need(t, "rsyslogd")
	folder := t.TempDir()
	c := adaptertest.NewCertificates(t)
	udp, relp, relps := freePort(t), freePort(t), freePort(t)
	config := fmt.Sprintf(rsyslogConfig, folder, udp, relp, relps, c.CAFile, c.CertFile, c.KeyFile, driver)
	s := &rsyslog{
		server: startServer(t, folder, config, program, "-n", "-i", filepath.Join(folder, "pid"), "-f"),
		addresses: map[string]string{
			"udp": fmt.Sprint("127.0.0.1:", udp), "relp": fmt.Sprint("127.0.0.1:", relp), "relps": fmt.Sprint("127.0.0.1:", relps),
		},
		tls: map[string]string{"tls.ca": c.CAFile, "tls.cert": c.CertFile, "tls.key": c.KeyFile},
	}
	for _, name := range []string{"tcp", "ptcp", "tls"} {
		adaptertest.Eventually(t, adaptertest.Patience, "rsyslogd listens by "+name, func() bool {
			text, err := os.ReadFile(filepath.Join(folder, name))
			s.addresses[name] = "127.0.0.1:" + strings.TrimSpace(string(text))
			return err == nil && len(text) > 0
		})
	}
	s.listens(s.addresses["relp"], s.addresses["relps"])
	return s
}

// A real rsyslogd gets every message, byte for byte and in order.
func TestRsyslog(t *testing.T) {
	f := func(name, driver, input, transportName string, lines int, options map[string]string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRsyslog(t, driver)
			if transportName == "tls" || transportName == "relps" {
				for option, value := range s.tls {
					options[option] = value
				}
			}
			config := resolve(t, transportName, s.addresses[input], options)
			a, err := newAdapter(config, transport.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			// What the server is to write: the text as it was sent, and a newline.
			maps.DeleteFunc(options, func(name, _ string) bool { return name == "framing" || strings.HasPrefix(name, "tls.") })
			plain, err := newEncoder(resolve(t, "udp", s.addresses[input], options))
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			result := make(chan error, lines)
			const size = 100
			for i := 0; i < lines; i += size {
				texts := make([][]byte, size)
				for j := range texts {
					texts[j] = fmt.Appendf(nil, "line %d%s %%s \"q\" <é>", i+j, strings.Repeat(" word", j%40))
					if transportName == "relp" || transportName == "relps" {
						texts[j] = bytes.Replace(texts[j], []byte(" word word"), []byte("\n two\n\nlines"), 1)
					}
				}
				b := adaptertest.NewBatch(web(), texts...)
				want = appendBatch(t, plain, want, b)
				a.Send(t.Context(), b, func(err error) { result <- err })
				if transportName == "udp" {
					s.waitFor(len(want))
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), adaptertest.Patience)
			defer cancel()
			if err := a.Close(ctx); err != nil {
				t.Fatal(err)
			}
			for range lines / size {
				err = errors.Join(err, <-result)
			}
			if err != nil {
				t.Fatal(err)
			}
			compareLines(t, s.waitFor(len(want)), want)
		})
	}
	type options = map[string]string
	f("tcp", "gtls", "tcp", "tcp", 5000, options{})
	f("tcp octet-counted", "gtls", "tcp", "tcp", 5000, options{"framing": "octet-counted"})
	f("tcp rfc3164", "gtls", "tcp", "tcp", 5000, options{"format": "rfc3164"})
	f("imptcp octet-counted", "gtls", "ptcp", "tcp", 5000, options{"framing": "octet-counted"})
	f("tls by GnuTLS", "gtls", "tls", "tls", 5000, options{})
	f("tls by OpenSSL", "ossl", "tls", "tls", 5000, options{})
	f("tls traditional", "gtls", "tls", "tls", 5000, options{"framing": "traditional"})
	f("udp", "gtls", "udp", "udp", 1000, options{})
	f("relp", "gtls", "relp", "relp", 5000, options{})
	f("relps", "gtls", "relps", "relps", 5000, options{})
}

// A client without a certificate is refused where one is asked for, and told so.
func TestRsyslogWantsCertificate(t *testing.T) {
	s := startRsyslog(t, "gtls")
	for _, transportName := range []string{"tls", "relps"} {
		a, err := newAdapter(resolve(t, transportName, s.addresses[transportName], map[string]string{"tls.ca": s.tls["tls.ca"]}),
			transport.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("x")), func(err error) { result <- err })
		a.Flush(t.Context())
		if err := <-result; err == nil {
			t.Errorf("%s: a client without a certificate delivered", transportName)
		}
		_ = a.Close(t.Context())
	}
}

// Restarts of the server, half of them the hardest, cost RELP no line.
func TestRELPOutlivesServer(t *testing.T) {
	const restarts = 5
	total := 20_000
	if os.Getenv("TALLYMAN_SOAK") == "1" {
		total = 200_000
	}
	s := startRsyslog(t, "gtls")
	address := s.addresses["relp"]
	a, err := newAdapter(resolve(t, "relp", address, nil), transport.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan int)
	go func() { ended <- deliver(t, a, numberedBatches(total)) }()
	size := len(encode(t, "udp", map[string]string{}, web(), numberedBatches(1)[0].Records[0]))
	for i := 1; i <= restarts; i++ {
		s.waitFor(total * size * i / (restarts + 1))
		s.stop([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[i%2])
		s.start()
	}
	retries := <-ended
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	missing, repeated := countNumbered(t, s.file, total)
	t.Logf("%d lines, %d restarts, %d retries: %d missing, %d repeated", total, restarts, retries, missing, repeated)
	if missing > 0 {
		t.Fatalf("%d of %d lines are missing", missing, total)
	}
	if retries == 0 {
		t.Fatal("no restart was noticed")
	}
}
