package nats

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// oneOClock is the time of the examples.
var oneOClock = time.Date(2026, 11, 21, 1, 9, 8, 987654321, time.UTC).UnixNano()

func web() *record.Container {
	return &record.Container{
		ID: strings.Repeat("0123456789abcdef", 4), Name: "shop-web-1", Image: "example/web:1",
		Labels: map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "tier": "front"},
	}
}

// testEncoder returns an encoder for messages of 1 MiB.
func testEncoder(t testing.TB, options map[string]string) *encoder {
	t.Helper()
	s, err := newSettings(resolve(t, "tcp", "127.0.0.1:4222", options), transport.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	e := newEncoder(s)
	e.most = 1 << 20
	return e
}

func TestMessage(t *testing.T) {
	type options = map[string]string
	f := func(o options, r record.Record, inbox, want string) {
		t.Helper()
		e := testEncoder(t, o)
		e.begin(web())
		if r.Time == 0 {
			r.Time = oneOClock
		}
		got, long := e.append([]byte("before|"), &r, inbox, 33)
		if text, _ := strings.CutPrefix(string(got), "before|"); text != want || long != 0 {
			t.Errorf("%v:\ngot  %q\nwant %q", o, text, want)
		}
	}
	hello := record.Record{Line: []byte("hello"), Resume: 100}
	failure := record.Record{Line: []byte("a\r\nPUB x 0\r\n"), Stream: record.Stderr}
	const subject = "logs.node7.shop.web.shop-web-1"

	f(options{"headers": "false"}, hello, "", "PUB "+subject+" 5\r\nhello\r\n")
	f(options{"headers": "false"}, failure, "", "PUB "+subject+" 12\r\na\r\nPUB x 0\r\n\r\n")
	f(options{"headers": "false"}, record.Record{}, "", "PUB "+subject+" 0\r\n\r\n")
	f(options{"headers": "false", "subject": "x.{stream}"}, failure, "", "PUB x.stderr 12\r\na\r\nPUB x 0\r\n\r\n")

	id := strings.Repeat("0123456789abcdef", 4)
	headers := "NATS/1.0\r\nContainer-Id: " + id + "\r\nContainer-Name: shop-web-1\r\nContainer-Image: example/web:1\r\n" +
		"Log-Stream: stdout\r\nLog-Time: 2026-11-21T01:09:08.987654321Z\r\n\r\n"
	f(nil, hello, "", fmt.Sprintf("HPUB %s %d %d\r\n%shello\r\n", subject, len(headers), len(headers)+5, headers))

	// The id tells the container and its subject, the time and the place.
	start := testEncoder(t, options{"jetstream": "true"}).begin(web())[0].idStart
	ids := "NATS/1.0\r\nNats-Msg-Id: " + start + strconv.FormatInt(oneOClock, tokenBase) + ".34\r\n\r\n"
	f(options{"headers": "false", "jetstream": "true"}, hello, "_INBOX.a.",
		fmt.Sprintf("HPUB %s _INBOX.a.11 %d %d\r\n%shello\r\n", subject, len(ids), len(ids)+5, ids))

	fields := `{"time":"2026-11-21T01:09:08.987654321Z","source":"stdout","host":"node7","id":"` + id +
		`","name":"shop-web-1","image":"example/web:1","line":"hello"}`
	f(options{"headers": "false", "format": "json"}, hello, "", fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(fields), fields))
}

// Records that differ in anything that tells records apart have different ids.
func TestIDs(t *testing.T) {
	seen := map[string]string{}
	add := func(what string, c *record.Container, o map[string]string, r record.Record) {
		t.Helper()
		if o == nil {
			o = map[string]string{}
		}
		o["jetstream"] = "true"
		id := string(appendID([]byte(testEncoder(t, o).begin(c)[r.Stream].idStart), &r))
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the same id %q", what, other, id)
		}
		if len(id) > 64 {
			t.Errorf("the id %q is long", id)
		}
		seen[id] = what
	}
	base := record.Record{Time: oneOClock, Resume: 4711}
	add("the record", web(), nil, base)
	add("another time", web(), nil, record.Record{Time: oneOClock + 1, Resume: 4711})
	add("another place", web(), nil, record.Record{Time: oneOClock, Resume: 4712})
	add("a skip", web(), nil, record.Record{Time: oneOClock, Resume: 4711, Skip: 1})
	add("another subject", web(), map[string]string{"subject": "audit.{container}"}, base)
	other := web()
	other.ID = "f" + other.ID[1:]
	add("another container", other, nil, base)
	add("numbers that run together", web(), nil, record.Record{Time: oneOClock<<5 | 1, Resume: 4711 >> 5})
}

func TestTime(t *testing.T) {
	e := testEncoder(t, nil)
	for _, at := range []int64{0, 1, -1, oneOClock, oneOClock + 1, oneOClock + 1e9, -62135596800e9 / 10, 1<<63 - 1} {
		got := string(e.appendTime(nil, at))
		if want := time.Unix(0, at).UTC().Format("2006-01-02T15:04:05.000000000Z"); got != want {
			t.Errorf("%d is written as %s, want %s", at, got, want)
		}
	}
}

// The memory of what is sent is all that the encoder needs.
func TestNoAllocations(t *testing.T) {
	for _, o := range []map[string]string{
		{"headers": "false"}, nil, {"format": "json"}, {"jetstream": "true"},
	} {
		e, b := testEncoder(t, o), flood(80)
		b.Records[1].Line = []byte("\"quoted\" \x00 grüße \xff")
		var dst []byte
		n := testing.AllocsPerRun(50, func() {
			dst = dst[:0]
			e.begin(b.Container)
			for i := range b.Records {
				dst, _ = e.append(dst, &b.Records[i], "_INBOX.x.", uint64(i))
			}
		})
		if n != 0 {
			t.Errorf("%v: %v allocations for %d lines", o, n, len(b.Records))
		}
	}
}

// The cache does not grow without bounds, and a container is found in it again.
func TestCache(t *testing.T) {
	e := testEncoder(t, nil)
	c := web()
	first := e.begin(c)
	if e.begin(c) != first {
		t.Fatal("a container was not found again")
	}
	for range 3 * cachedContainers {
		e.begin(web())
	}
	if len(e.cache) > cachedContainers {
		t.Fatalf("%d containers are cached", len(e.cache))
	}
}

// A server understands every message, whatever is in a line or in a container.
func FuzzMessage(f *testing.F) {
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	s, err := server.NewServer(options)
	if err != nil {
		f.Fatal(err)
	}
	s.Start()
	f.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(patience) {
		f.Fatal("the server does not listen")
	}
	conn := connectTo(f, s)
	messages, err := conn.SubscribeSync(">")
	if err != nil || conn.Flush() != nil {
		f.Fatal("subscribing")
	}
	f.Add("web", "example/web:1", "label", []byte("line\r\nPUB a 1\r\n"), int64(1e18))
	f.Add("", "\r\nX: y", "a.b *>$", []byte(nil), int64(-1))
	f.Add("\xff", "\x00", strings.Repeat("ü", 5000), []byte("{\"a\":\xff}"), int64(0))
	f.Fuzz(func(t *testing.T, name, image, label string, line []byte, at int64) {
		c := &record.Container{ID: "0123", Name: name, Image: image, Labels: map[string]string{"l": label}}
		o := map[string]string{"subject": "x.{label:l}.{container}.{image}"}
		for _, o["format"] = range []string{"raw", "json"} {
			e := testEncoder(t, o)
			r := record.Record{Time: at, Line: line}
			e.begin(c)
			message, _ := e.append(nil, &r, "", 0)
			send(t, s, message)
			m, err := messages.NextMsg(patience)
			if err != nil {
				t.Fatalf("the server did not take %q: %v", message, err)
			}
			if strings.Count(m.Subject, ".") != 3 || m.Header.Get(headerContainer) != "0123" || m.Header.Get(headerStream) != "stdout" {
				t.Fatalf("%q arrived as %q with %v", message, m.Subject, m.Header)
			}
			if o["format"] == "raw" {
				if string(m.Data) != string(line) {
					t.Fatalf("%q arrived as %q", line, m.Data)
				}
				continue
			}
			var got struct{ Line, Name string }
			if err := json.Unmarshal(m.Data, &got); err != nil {
				t.Fatal(err)
			}
			// Each byte that is not UTF-8 is one U+FFFD, as in a conversion to runes.
			if got.Line != string([]rune(string(line))) {
				t.Fatalf("%q arrived as %q", line, got.Line)
			}
		}
	})
}

// send writes messages on a connection of the adapter's and waits until the
// server has them.
func send(t *testing.T, s *server.Server, messages []byte) {
	t.Helper()
	n, err := newConnector(resolve(t, "tcp", address(s), nil), transport.Limits{}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	l, err := n.connect(t.Context(), events{denied: func(string, error) {}, broke: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	l.out = messages
	if err := l.spill(); err != nil {
		t.Fatal(err)
	}
	if err := l.conn.FlushTimeout(patience); err != nil {
		t.Fatalf("the server did not take %q: %v", messages, err)
	}
}

func TestParseAck(t *testing.T) {
	f := func(text string, want string) {
		t.Helper()
		err := parseAck(&natsgo.Msg{Data: []byte(text)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	f(`{"stream":"LOGS","seq":1}`, "")
	f(`{"stream":"LOGS","seq":18446744073709551615}`, "")
	f(`{"stream":"LOGS","seq":42,"duplicate":true}`, "")
	f(`{"stream":"LOGS","domain":"hub","seq":42}`, "")
	f(`{"stream":"LOGS","seq":0}`, "no acknowledgement")
	f(`{"stream":"","seq":1}`, "no acknowledgement")
	f(`{"stream":"LOGS","seq":1`, "no acknowledgement")
	f(`{"stream":"LOGS","seq":1x}`, "no acknowledgement")
	f(`hello`, "no acknowledgement")
	f(``, "no acknowledgement")
	f(`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"LOGS","seq":0}`,
		"maximum messages exceeded (error 10077)")
	if err := parseAck(&natsgo.Msg{Header: natsgo.Header{"Status": {"503"}}}); err != errNoStream {
		t.Errorf("got %v, want %v", err, errNoStream)
	}
}

// The short way through an acknowledgement takes nothing that a JSON parser
// does not.
func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"LOGS","seq":1}`))
	f.Add([]byte(`{"stream":"LOGS","seq":1,"duplicate":true}`))
	f.Add([]byte(`{"error":{"code":503},"stream":"LOGS","seq":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var ack struct {
			Stream string
			Seq    uint64
		}
		if parseAck(&natsgo.Msg{Data: text}) == nil {
			if err := json.Unmarshal(text, &ack); err != nil || ack.Seq == 0 || ack.Stream == "" {
				t.Fatalf("%q is taken for an acknowledgement: %v", text, err)
			}
		}
	})
}

func TestDeniedSubject(t *testing.T) {
	f := func(text, want string, ok bool) {
		t.Helper()
		got, is := deniedSubject(fmt.Errorf("%w: %s", natsgo.ErrPermissionViolation, text))
		if got != want || is != ok {
			t.Errorf("%s: got %q %v", text, got, is)
		}
	}
	f(`Permissions Violation for Publish to "logs.a"`, "logs.a", true)
	f(`Permissions Violation for Publish to "logs.\u00ad" using account X`, "logs.\u00ad", true)
	f(`Permissions Violation for Subscription to "_INBOX.x"`, "", false)
	f(`Permissions Violation for Publish to logs`, "", false)
	if _, is := deniedSubject(natsgo.ErrTimeout); is {
		t.Error("a timeout is taken for a denial")
	}
}
