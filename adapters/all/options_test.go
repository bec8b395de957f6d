package all

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
)

// addressFor returns an address that a transport takes.
func addressFor(d *adapters.Description, transport string) string {
	if d.TargetOf(transport).File {
		return "/run/none"
	}
	return "127.0.0.1:1"
}

// transportFor returns a transport over which an option has a meaning.
func transportFor(d *adapters.Description, o *adapters.Option) string {
	switch {
	case len(o.Transports) > 0:
		return o.Transports[0]
	case len(d.Transports) > 0:
		return d.Transports[0]
	}
	return ""
}

// nameIn returns a name that sets an option, also for one that stands for many.
func nameIn(o *adapters.Option) string { return strings.ReplaceAll(o.Name, "*", "X-Name") }

// refusal returns why a route with the options cannot be; nil when it can.
func refusal(t *testing.T, d *adapters.Description, transport string, options map[string]string) error {
	t.Helper()
	c, err := d.Resolve(transport, addressFor(d, transport), options, nil)
	if err != nil {
		return err
	}
	c.Logger = slog.New(slog.DiscardHandler)
	a, err := d.New(c)
	if err == nil {
		err = errors.Join(a.Close(t.Context()))
		if err != nil {
			t.Errorf("closing an adapter that was never used: %v", err)
		}
		return nil
	}
	return err
}

// An unknown option refuses the route, and the error names all that are known.
func TestUnknownOptions(t *testing.T) {
	for _, d := range List() {
		for _, transport := range append(slices.Clone(d.Transports), "") {
			err := refusal(t, &d, transport, map[string]string{"no_such_option": "x"})
			if err == nil || !strings.Contains(err.Error(), `"no_such_option"`) {
				t.Errorf("%s over %q: an unknown option gets %v", d.Name, transport, err)
				continue
			}
			for _, o := range d.Options {
				if !strings.Contains(err.Error()+",", " "+o.Name+",") {
					t.Errorf("%s: the error does not name option %s: %v", d.Name, o.Name, err)
				}
			}
		}
	}
}

// anyText are the options that take every text. All others have malformed values.
var anyText = map[string][]string{
	"gelf":   {"hostname", "labels", "env", "field.*", "tls.server_name"},
	"http":   {"labels", "tls.server_name"},
	"loki":   {"labels", "tls.server_name"},
	"otlp":   {"labels", "tls.server_name"},
	"nats":   {"user", "password", "token", "nkey", "creds", "tls.server_name"},
	"raw":    {"tls.server_name"},
	"syslog": {"tls.server_name"},
}

// A malformed value refuses the route, and the error names the option, or the file
// that cannot be read.
func TestMalformedOptions(t *testing.T) {
	// It is no number, no template, no expression, no pattern, no URL, and nothing
	// for a header, a path or a subject.
	const malformed = "{{\x01([ "
	for _, d := range List() {
		for _, o := range d.Options {
			if slices.Contains(anyText[d.Name], o.Name) {
				continue
			}
			options := map[string]string{nameIn(&o): malformed}
			for name, value := range map[string]string{"sd.labels": "container", "stream.subjects": "LOGS", "linger": "true"} {
				needs := map[string]string{"sd.labels": "sd", "stream.subjects": "stream", "linger": "bulk"}[name]
				if _, known := d.Option(needs); known && o.Name == name {
					options[needs] = value
				}
			}
			if strings.HasPrefix(o.Name, "stream") && d.Name == "nats" {
				options["jetstream"] = "true"
				if o.Name != "stream" {
					options["stream"] = "LOGS"
				}
			}
			if o.Name == "tls.cert" || o.Name == "tls.key" {
				options["tls.cert"], options["tls.key"] = malformed, malformed
			}
			err := refusal(t, &d, transportFor(&d, &o), options)
			switch {
			case err == nil:
				t.Errorf("%s: option %s takes %q", d.Name, o.Name, malformed)
			case !strings.Contains(err.Error(), nameIn(&o)) && !(o.File && strings.Contains(err.Error(), "no such file")):
				t.Errorf("%s: the error of option %s does not name it: %v", d.Name, o.Name, err)
			}
		}
	}
}

// An option over a transport that does not know it refuses the route: who sets
// tls.ca and forgets the tls in the scheme would else send in the clear.
func TestOptionsOfOtherTransports(t *testing.T) {
	checked := 0
	for _, d := range List() {
		for _, o := range d.Options {
			for _, transport := range d.Transports {
				if len(o.Transports) == 0 || slices.Contains(o.Transports, transport) {
					continue
				}
				checked++
				err := refusal(t, &d, transport, map[string]string{nameIn(&o): "x"})
				if len(o.Values) > 0 {
					err = refusal(t, &d, transport, map[string]string{nameIn(&o): o.Default})
				}
				if err == nil || !strings.Contains(err.Error(), "has no meaning over "+transport) ||
					!strings.Contains(err.Error(), strings.Join(o.Transports, ", ")) {
					t.Errorf("%s over %s: option %s gets %v", d.Name, transport, o.Name, err)
				}
			}
			// A variable is for all routes.
			if o.Env == "" || len(o.Values) == 0 {
				continue
			}
			for _, transport := range d.Transports {
				if _, err := d.Resolve(transport, addressFor(&d, transport), nil, func(name string) (string, bool) {
					return o.Values[0], name == o.Env
				}); err != nil {
					t.Errorf("%s over %s: variable %s gets %v", d.Name, transport, o.Env, err)
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d options were tried", checked)
	}
}

// What belongs into a file of keys is refused in place of the file's name, and not
// shown.
func TestFilesContentIsRefused(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, d := range List() {
		for _, o := range d.Options {
			if !o.File {
				continue
			}
			for _, content := range []string{
				"-----BEGIN PRIVATE KEY-----" + secret, secret + "\n", "eyJ0" + secret, "SU" + strings.Repeat(secret, 4),
			} {
				err := refusal(t, &d, transportFor(&d, &o), map[string]string{o.Name: content})
				if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), `"`+o.Name+`"`) ||
					!strings.Contains(err.Error(), "the name of a file") {
					t.Errorf("%s: option %s as %q gets %v", d.Name, o.Name, content, err)
				}
			}
		}
	}
}

// secret is one that is looked for.
const secret = "hunter2"

// secretly is a way to give an adapter a secret.
type secretly struct {
	what    string
	options map[string]string
	user    *url.Userinfo
}

// secrets returns all ways over a transport.
func secrets(d *adapters.Description, transport string) []secretly {
	var all []secretly
	for _, o := range d.Options {
		if !o.Secret || len(o.Transports) > 0 && !slices.Contains(o.Transports, transport) {
			continue
		}
		s := secretly{what: "option " + o.Name, options: map[string]string{nameIn(&o): secret}}
		switch o.Name {
		case "proxy":
			s.options[o.Name] = "http://me:" + secret + "@127.0.0.1:1"
		case "password":
			s.options["user"] = "me"
		}
		all = append(all, s)
	}
	if d.TargetOf(transport).User {
		all = append(all, secretly{what: "user", user: url.User(secret)}, secretly{what: "password", user: url.UserPassword("me", secret)})
	}
	return all
}

// lockedBuffer is memory that several goroutines write to.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// shows reports whether a text has the secret in it, as it is or as basic
// authentication has it.
func shows(text string) bool {
	for _, user := range []string{"me", secret} {
		for _, password := range []string{"", secret} {
			if strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(user+":"+password))) && user+password != "me" {
				return true
			}
		}
	}
	return strings.Contains(text, secret)
}

// No error and no line of the log shows a secret: not when the route is refused,
// nor when nobody listens, nor when the server hangs up, talks nonsense, sends
// elsewhere or refuses who is asking.
func TestSecretsAreInNoErrorAndNoLog(t *testing.T) {
	servers := map[string]string{"refuses": "127.0.0.1:1"}
	for name, answer := range map[string]string{
		"hangs up":    "",
		"nonsense":    "\x00\x01 nonsense\r\n\r\n",
		"401":         "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"redirects":   "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"nats errors": "INFO {\"max_payload\":1024,\"auth_required\":true,\"headers\":true}\r\n-ERR 'Authorization Violation'\r\n",
	} {
		servers[name] = answering(t, answer)
	}
	checked := 0
	for _, d := range List() {
		for _, transport := range d.Transports {
			for _, s := range secrets(&d, transport) {
				checked++
				for name := range s.options {
					broken := map[string]string{name: s.options[name] + "\x01\n %zz"}
					if err := refusal(t, &d, transport, broken); err != nil && shows(err.Error()) {
						t.Errorf("%s over %s, %s malformed: the error shows it: %v", d.Name, transport, s.what, err)
					}
				}
				for server, address := range servers {
					var log lockedBuffer
					err := sendOnce(t, &d, transport, address, s, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
					if err == nil {
						t.Errorf("%s over %s, %s: a line is delivered to a server that %s", d.Name, transport, s.what, server)
					}
					if text := fmt.Sprint(err) + log.text.String(); shows(text) {
						t.Errorf("%s over %s, %s: it is shown when a server %s: %s", d.Name, transport, s.what, server, text)
					}
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d secrets were tried", checked)
	}
}

// sendOnce returns what becomes of one line.
func sendOnce(t *testing.T, d *adapters.Description, transport, address string, s secretly, logger *slog.Logger) error {
	t.Helper()
	c, err := d.Resolve(transport, address, s.options, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.User, c.Logger = s.user, logger
	a, err := d.New(c)
	if err != nil {
		t.Fatalf("%s over %s, %s: %v", d.Name, transport, s.what, err)
	}
	settled := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(adaptertest.Containers(1)[0], []byte("a line")), func(err error) { settled <- err })
	closing := a.Close(t.Context())
	return errors.Join(<-settled, closing)
}

// answering starts a server that says the same to everybody and hangs up.
func answering(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, answer) // The client may have gone already.
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	return listener.Addr().String()
}
