package syslog

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"tallyman/collector/record"
)

func TestPriority(t *testing.T) {
	f := func(facility, severity string, stream record.Stream, line string, want int) {
		t.Helper()
		got := encode(t, "udp", map[string]string{"facility": facility, "severity": severity}, web(),
			record.Record{Stream: stream, Line: []byte(line)})
		if !strings.HasPrefix(got, fmt.Sprintf("<%d>1 ", want)) {
			t.Errorf("%s %s %s %q: %q, want priority %d", facility, severity, stream, line, got, want)
		}
	}
	f("user", "stream", record.Stdout, "error", 14)
	f("user", "stream", record.Stderr, "info", 11)
	f("daemon", "stream", record.Stdout, "", 30)
	f("3", "stream", record.Stderr, "", 27)
	f("kern", "emerg", record.Stdout, "", 0)
	f("local7", "debug", record.Stderr, "", 191)
	f("23", "warning", record.Stderr, "", 188)
	f("user", "level", record.Stdout, "level=warn msg=x", 12)
	f("user", "level", record.Stderr, "DEBUG x", 15)
	f("user", "level", record.Stderr, "no word of it", 11)
	f("user", "level", record.Stdout, "no word of it", 14)
}

// The cache of headers never shows another severity's.
func TestSeveritiesInTurn(t *testing.T) {
	e, err := newEncoder(resolve(t, "relp", "127.0.0.1:514", map[string]string{"severity": "level", "timezone": "UTC", "timestamp_digits": "3"}))
	if err != nil {
		t.Fatal(err)
	}
	e.Begin(web())
	words := []string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}
	for i := range 1000 {
		severity := i * i % len(words)
		got := e.append(nil, &record.Record{Time: oneOClock + int64(i)*37e6, Line: []byte("level=" + words[severity])})
		millis := 987 + i*37
		want := fmt.Sprintf("<%d>1 2026-11-21T01:09:%02d.%03dZ 010101010101 web 4242 - - level=%s",
			8+severity, (8+millis/1000)%60, millis%1000, words[severity])
		if millis < 52_000 && string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestTimestamp(t *testing.T) {
	f := func(options map[string]string, at int64, want string) {
		t.Helper()
		got := encode(t, "udp", options, web(), record.Record{Time: at, Line: []byte("x")})
		if got = strings.Fields(got)[1]; got != want {
			t.Errorf("%v at %d: %q, want %q", options, at, got, want)
		}
	}
	type options = map[string]string
	f(options{"timestamp_digits": "0"}, oneOClock, "2026-11-21T01:09:08Z")
	f(options{"timestamp_digits": "1"}, oneOClock, "2026-11-21T01:09:08.9Z")
	f(options{"timestamp_digits": "3"}, oneOClock, "2026-11-21T01:09:08.987Z")
	f(options{"timestamp_digits": "6"}, oneOClock, "2026-11-21T01:09:08.987654Z")
	f(options{"timestamp_digits": "6", "timezone": "Asia/Tokyo"}, oneOClock, "2026-11-21T10:09:08.987654+09:00")
	f(options{"timestamp_digits": "6"}, -1, "1969-12-31T23:59:59.999999Z")
	f(options{"timestamp_digits": "2"}, 0, "1970-01-01T00:00:00.00Z")
	f(options{"timestamp_digits": "4", "timestamp": "{{.Timestamp}}"}, oneOClock, "2026-11-21T01:09:08.9876Z")
}

func TestStructuredData(t *testing.T) {
	f := func(options map[string]string, c *record.Container, want string) {
		t.Helper()
		got := encode(t, "udp", options, c, record.Record{Time: oneOClock, Line: []byte("x")})
		got = strings.SplitN(got, " ", 7)[6]
		if got != want+" x\n" {
			t.Errorf("%v:\ngot  %q\nwant %q", options, got, want+" x\n")
		}
	}
	type options = map[string]string
	f(options{}, inspected(), "-")
	f(options{"sd": "container"}, inspected(), `[docker@32473 id="0123456789ab" name="web_1" image="nginx:1"]`)
	f(options{"sd": "container", "sd.id": "c@1", "structured_data": `e@1 a="b"`}, inspected(),
		`[c@1 id="0123456789ab" name="web_1" image="nginx:1"][e@1 a="b"]`)
	c := &record.Container{Labels: map[string]string{
		"com.docker.compose.service": "api", "com.docker.compose.project.working_dir": "/srv",
		"foo": "q\"b\\s]\n\x00 \u00e9\xff", "bar": "no", "a b=\"]": "1", "\u00e9": "2", "": "3", "x/y": "4",
	}}
	f(options{"sd": "container", "sd.labels": "com.docker.compose.*, foo"}, c,
		`[docker@32473 id="" name="" image="" com.docker.compose.project.worki="/srv" com.docker.compose.service="api" `+
			`foo="q\"b\\s\]   é`+"\ufffd"+`"]`)
	f(options{"sd": "container", "sd.labels": "[a]*,\u00e9,"}, c, `[docker@32473 id="" name="" image="" a_b___="1" _="2"]`)
	f(options{"sd": "container", "sd.labels": "x*"}, c, `[docker@32473 id="" name="" image=""]`)
	f(options{"structured_data": "a@1 b=\"{{.ContainerName}}\""}, &record.Container{Name: "n\nm"}, `[a@1 b="n m"]`)
}

func TestBadStructuredData(t *testing.T) {
	f := func(options map[string]string, want string) {
		t.Helper()
		if _, err := newEncoder(resolve(t, "udp", "h:1", options)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", options, err, want)
		}
	}
	type options = map[string]string
	for _, id := range []string{"", "docker", "@1", "a@", "a@b", "a b@1", "a=@1", "é@1", strings.Repeat("a", 31) + "@1"} {
		f(options{"sd": "container", "sd.id": id}, fmt.Sprintf("bad value %q of option \"sd.id\": it is a name", id))
	}
	f(options{"sd": "container", "sd.labels": "a,[b"}, `bad value "a,[b" of option "sd.labels": syntax error in pattern`)
	f(options{"sd": "container", "structured_data": `docker@32473 a="b"`},
		`bad value "docker@32473 a=\"b\"" of option "structured_data": option sd makes the element "docker@32473" already`)
	f(options{"sd.labels": "tier"}, `bad value "tier" of option "sd.labels": it has a meaning only when option sd is container`)
	f(options{"sd": "container", "format": "rfc3164"}, `bad value "container" of option "sd": the format rfc5424 alone`)
	f(options{"msgid": "x", "format": "bsd"}, `bad value "x" of option "msgid": the format rfc5424 alone`)
	f(options{"text": "utf8-bom", "format": "local"}, `bad value "utf8-bom" of option "text": the format rfc5424 alone`)
	f(options{"timestamp_digits": "3", "format": "bsd"}, `bad value "3" of option "timestamp_digits": the time of RFC 3164`)
}

func TestText(t *testing.T) {
	f := func(rule, line, want string, altered bool) {
		t.Helper()
		got, changed := newTextRule(rule).append(nil, []byte(line))
		if string(got) != want || changed != altered {
			t.Errorf("%s %q: %q %v, want %q %v", rule, line, got, changed, want, altered)
		}
	}
	odd := "a\xff\xc3(é\x1b[0m\t\x7f\ufffd"
	f("unaltered", odd, odd, false)
	f("utf8", odd, "a\ufffd\ufffd(é\x1b[0m\t\x7f\ufffd", true)
	f("utf8", "é\t\ufffd", "é\t\ufffd", false)
	f("utf8-bom", "é", "\xef\xbb\xbfé", false)
	f("utf8-bom", "\xff", "\xef\xbb\xbf\ufffd", true)
	f("printable", odd, "a\ufffd\ufffd(é#033[0m#011#177\ufffd", true)
	f("printable", "", "", false)
	f("printable", "plain é", "plain é", false)
}

// Lines that are not what they were are counted.
func TestAlteredIsCounted(t *testing.T) {
	counted := int64(0)
	config := resolve(t, "tcp", "127.0.0.1:514", map[string]string{"text": "utf8"})
	config.Count = func(event string, lines int64) {
		if event == "altered" {
			counted += lines
		}
	}
	e, err := newEncoder(config)
	if err != nil {
		t.Fatal(err)
	}
	e.Begin(web())
	for _, line := range []string{"whole", "\xff", "two\nlines", "é"} {
		e.append(nil, &record.Record{Line: []byte(line)})
	}
	if counted != 2 {
		t.Fatalf("%d lines are counted, want 2", counted)
	}
}

func FuzzParts(f *testing.F) {
	f.Add("name", "value]\"\\", []byte("text\x00\xff"))
	f.Fuzz(func(t *testing.T, name, value string, text []byte) {
		param := string(appendParam(nil, name, value))
		key, quoted, _ := strings.Cut(param[1:], "=")
		if len(key) == 0 || len(key) > maxName || strings.ContainsFunc(key, func(r rune) bool { return !inName(r) }) {
			t.Fatalf("%q has the name %q", param, key)
		}
		plain := strings.NewReplacer(`\\`, "", `\"`, "", `\]`, "").Replace(quoted[1 : len(quoted)-1])
		if strings.ContainsAny(plain, `"\]`) || strings.ContainsFunc(plain, isControl) || !utf8.ValidString(plain) {
			t.Fatalf("%q has the value %q", param, plain)
		}
		printable, altered := newTextRule(textPrintable).append(nil, text)
		if !utf8.Valid(printable) || strings.ContainsFunc(string(printable), isControl) {
			t.Fatalf("%q is not printable", printable)
		}
		if !altered && string(printable) != string(text) {
			t.Fatalf("%q became %q without a word", text, printable)
		}
	})
}
