package syslog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// oneOClock is the time of the examples.
var oneOClock = time.Date(2026, 11, 21, 1, 9, 8, 987654321, time.UTC).UnixNano()

func web() *record.Container {
	return &record.Container{Name: "web", Hostname: "010101010101", PID: 4242}
}

// encode returns the message of one line.
func encode(t *testing.T, transportName string, options map[string]string, c *record.Container, r record.Record) string {
	t.Helper()
	config := resolve(t, transportName, "127.0.0.1:514", options)
	if options["timezone"] == "" {
		config.Options["timezone"] = "UTC"
	}
	return encodeWith(t, config, c, r)
}

func encodeWith(t *testing.T, config adapters.Config, c *record.Container, r record.Record) string {
	t.Helper()
	e, err := newEncoder(config)
	if err != nil {
		t.Fatal(err)
	}
	e.Begin(c)
	dst, err := e.Append([]byte("before|"), &r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(dst), "before|")
}

func TestMessage(t *testing.T) {
	type options = map[string]string
	f := func(transportName string, o options, c *record.Container, r record.Record, want string) {
		t.Helper()
		r.Time = oneOClock
		if got := encode(t, transportName, o, c, r); got != want {
			t.Errorf("%s %v:\ngot  %q\nwant %q", transportName, o, got, want)
		}
	}
	out := func(line string) record.Record { return record.Record{Line: []byte(line)} }
	failure := record.Record{Line: []byte("hello"), Stream: record.Stderr}

	f("udp", options{}, web(), out("hello"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("tcp", options{}, web(), out("hello"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("tls", options{}, web(), failure, "59 <11>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("tls", options{"framing": "traditional"}, web(), failure, "<11>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("relp", options{}, web(), failure, "<11>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello")
	f("relps", options{}, web(), out("a\nb"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - a\nb")
	f("udp", options{}, web(), out(""), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - \n")
	f("udp", options{"timezone": "Asia/Tokyo"}, web(), out("x"),
		"<14>1 2026-11-21T10:09:08+09:00 010101010101 web 4242 - - x\n")

	f("udp", options{"format": "rfc3164"}, web(), out("hello"), "<14>2026-11-21T01:09:08Z 010101010101 web[4242]: hello\n")
	f("tcp", options{"format": "rfc3164"}, web(), failure, "<11>2026-11-21T01:09:08Z 010101010101 web[4242]: hello\n")

	f("udp", options{"format": "bsd"}, web(), out("hello"), "<14>Nov 21 01:09:08 010101010101 web[4242]: hello\n")
	f("udp", options{"format": "local"}, web(), out("hello"), "<14>Nov 21 01:09:08 web[4242]: hello\n")

	counted := options{"framing": "octet-counted"}
	f("tcp", counted, web(), out("hello"), "59 <14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("tls", counted, web(), out(""), "54 <14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - \n")
	// Logspout's variable is for all routes, and means nothing to some.
	for transportName, end := range map[string]string{"udp": "\n", "relp": "", "unix": "\n"} {
		config := resolve(t, transportName, "/dev/null:514", options{"timezone": "UTC", "format": "rfc5424"})
		config.Options["framing"] = "octet-counted"
		want := "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello" + end
		if got := encodeWith(t, config, web(), record.Record{Line: []byte("hello"), Time: oneOClock}); got != want {
			t.Errorf("%s: got %q, want %q", transportName, got, want)
		}
	}

	f("udp", options{"append_tag": ".prod"}, web(), out("x"), "<14>1 2026-11-21T01:09:08Z 010101010101 web.prod 4242 - - x\n")
	f("udp", options{"structured_data": `a@1 b="c d"`}, web(), out("x"),
		"<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - [a@1 b=\"c d\"] x\n")
	f("udp", options{"structured_data": "-"}, web(), out("x"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - x\n")
	f("udp", options{"hostname": "node7"}, web(), out("x"), "<14>1 2026-11-21T01:09:08Z node7 web 4242 - - x\n")

	// What is in a line stays in it, except that a newline would tear it where a
	// newline ends the message.
	odd := "a%sb\x00c\xff\r\td"
	f("tcp", options{}, web(), out(odd), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - "+odd+"\n")
	f("tcp", options{}, web(), out("a\nb\n\nc"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - a b  c\n")
	f("tcp", counted, web(), out("a\nb"), "57 <14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - a\nb\n")
	f("udp", options{}, web(), out("a\nb"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - a\nb\n")

	// Header fields hold no spaces, nothing that is not ASCII, and are not empty.
	f("udp", options{}, &record.Container{Name: "w\u00e9b \n1", Hostname: "\xff\tb\x7f"}, out("x"),
		"<14>1 2026-11-21T01:09:08Z __b_ w_b__1 0 - - x\n")
	f("udp", options{}, &record.Container{}, out("x"), "<14>1 2026-11-21T01:09:08Z - - 0 - - x\n")
	f("udp", options{"format": "rfc3164"}, &record.Container{}, out("x"), "<14>2026-11-21T01:09:08Z - -[0]: x\n")

	// And are cut.
	long := &record.Container{Name: strings.Repeat("é", 100), Hostname: strings.Repeat("h", 300), PID: 1}
	f("udp", options{}, long, out("x"), fmt.Sprintf("<14>1 2026-11-21T01:09:08Z %s %s 1 - - x\n",
		strings.Repeat("h", 255), strings.Repeat("_", 48)))
	f("udp", options{"format": "rfc3164"}, long, out("x"), fmt.Sprintf("<14>2026-11-21T01:09:08Z %s %s[1]: x\n",
		strings.Repeat("h", 300), strings.Repeat("_", 32)))
}

// The cache of headers never shows another container's, stream's or second's.
func TestHeaderCache(t *testing.T) {
	cached, err := newEncoder(resolve(t, "tcp", "127.0.0.1:514", nil))
	if err != nil {
		t.Fatal(err)
	}
	containers := make([]*record.Container, 200)
	for i := range containers {
		containers[i] = &record.Container{Name: fmt.Sprint("c", i), Hostname: fmt.Sprint("h", i), PID: i}
	}
	for i := range 20_000 {
		c := containers[i*i%len(containers)]
		r := record.Record{
			Time:   oneOClock + int64(i*i%50)*int64(time.Second)/10,
			Stream: record.Stream(i / 7 % 2),
			Line:   []byte("x"),
		}
		cached.Begin(c)
		got, err := cached.Append(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		priority := "<14>"
		if r.Stream == record.Stderr {
			priority = "<11>"
		}
		want := fmt.Sprintf("%s1 %s %s %s %d - - x\n",
			priority, time.Unix(0, r.Time).Format(time.RFC3339), c.Hostname, c.Name, c.PID)
		if string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestBadOptions(t *testing.T) {
	f := func(name, value, want string) {
		t.Helper()
		_, err := Description().New(resolve(t, "tls", "127.0.0.1:514", map[string]string{name: value}))
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	f("append_tag", "{{", `bad value "{{.ContainerName}}{{" of option "append_tag": template: append_tag:1: unclosed action`)
	f("tag", "{{nothing}}", `bad value "{{nothing}}" of option "tag": template: tag:1: function "nothing" not defined`)
	f("facility", "24", `bad value "24" of option "facility": it is a number from 0 to 23 or one of kern, user, mail, `+
		`daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, ntp, audit, console, cron2, `+
		`local0, local1, local2, local3, local4, local5, local6, local7`)
	f("priority", "192", `bad value "192" of option "priority": it is a number from 0 to 191`)
	f("structured_data", "a\nb", `bad value "a\nb" of option "structured_data": it holds a control character`)
	f("timezone", "Mars/Olympus", `bad value "Mars/Olympus" of option "timezone": unknown time zone Mars/Olympus`)
	f("tls.ca", "/none", "reading the CA file: open /none: no such file or directory")

	d := Description()
	for name, want := range map[string]string{"relp.window": "it is a number from 1 to 100000", "relp.max_bytes": "it is a number from 480 to 16777216"} {
		_, err := d.New(resolve(t, "relp", "127.0.0.1:2514", map[string]string{name: "0"}))
		if want = fmt.Sprintf("bad value %q of option %q: %s", "0", name, want); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	for _, value := range []string{"479", "65508", "much"} {
		_, err := d.New(resolve(t, "udp", "127.0.0.1:514", map[string]string{"udp.max_bytes": value}))
		want := fmt.Sprintf(`bad value %q of option "udp.max_bytes"; it is a number from 480 to 65507`, value)
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	for _, transportName := range []string{"tcp", "relp"} {
		if _, err := d.New(resolve(t, transportName, "nowhere", nil)); err == nil {
			t.Errorf("an address without a port was taken for %s", transportName)
		}
	}
	if _, err := d.Resolve("tcp", "h:1", map[string]string{"format": "rfc1"}, nil); err == nil {
		t.Error("an unknown format was taken")
	}
}

// A port need not be named where there is one that everybody means.
func TestDefaultPort(t *testing.T) {
	d := Description()
	for transportName, want := range map[string]string{"": "514", "udp": "514", "tcp": "514", "tls": "6514", "relp": "", "relps": ""} {
		if got := d.TargetOf(transportName).Port; got != want {
			t.Errorf("the port of %q is %q, want %q", transportName, got, want)
		}
	}
}

// Logspout's variables set the options that it had.
func TestEnvironment(t *testing.T) {
	d := Description()
	want := map[string]string{}
	env := map[string]string{}
	for name, option := range map[string]string{
		"SYSLOG_FORMAT": "format", "SYSLOG_TCP_FRAMING": "framing", "SYSLOG_STRUCTURED_DATA": "structured_data",
		"SYSLOG_PRIORITY": "priority", "SYSLOG_TIMESTAMP": "timestamp", "SYSLOG_HOSTNAME": "hostname", "SYSLOG_TAG": "tag",
		"SYSLOG_PID": "pid", "SYSLOG_DATA": "data", "LOGSPOUT_TLS_CA_CERTS": "tls.ca",
	} {
		env[name] = "value of " + name
		want[option] = env[name]
	}
	env["SYSLOG_FORMAT"], want["format"] = "rfc3164", "rfc3164"
	env["SYSLOG_TCP_FRAMING"], want["framing"] = "octet-counted", "octet-counted"
	c, err := d.Resolve("tcp", "h:1", nil, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range want {
		if got := c.Options[name]; got != want {
			t.Errorf("option %s is %q, want %q", name, got, want)
		}
	}
}

// The lengths before messages are right also where the number of their digits
// changes.
func TestCountedLengths(t *testing.T) {
	e, err := newEncoder(resolve(t, "tls", "127.0.0.1:514", nil))
	if err != nil {
		t.Fatal(err)
	}
	e.Begin(web())
	var frames []byte
	sizes := []int{0, 40, 50, 0, 10_000, 1, 900, 950, 100_000, 3}
	for _, size := range sizes {
		if frames, err = e.Append(frames, &record.Record{Line: bytes.Repeat([]byte("x"), size)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range sizes {
		length, message := splitCounted(frames)
		if line := lineOf(message); length == 0 || !bytes.Equal(line, bytes.Repeat([]byte("x"), size)) {
			t.Fatalf("a line of %d bytes came as %.100q", size, message)
		}
		frames = frames[length:]
	}
	if len(frames) > 0 {
		t.Fatalf("%d bytes are left", len(frames))
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("web", "host", []byte("line\n"), int64(1e18))
	f.Add("", " \x00", []byte(nil), int64(-1))
	f.Fuzz(func(t *testing.T, name, hostname string, line []byte, at int64) {
		c := &record.Container{Name: name, Hostname: hostname}
		for _, options := range []map[string]string{{}, {"format": "rfc3164"}} {
			got := encode(t, "tcp", options, c, record.Record{Time: at, Line: line})
			if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
				t.Fatalf("the frame is torn: %q", got)
			}
			fields := 8
			if options["format"] == "rfc3164" {
				fields = 4
			}
			parts := strings.SplitN(strings.TrimSuffix(got, "\n"), " ", fields)
			if len(parts) != fields || parts[fields-1] != strings.ReplaceAll(string(line), "\n", " ") {
				t.Fatalf("the header has %d fields: %q", len(parts), got)
			}
		}
	})
}
