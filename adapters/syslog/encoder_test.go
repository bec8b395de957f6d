package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
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
	if options["timezone"] == "" {
		options["timezone"] = "UTC"
	}
	e, err := newEncoder(resolve(t, transportName, "127.0.0.1:514", options))
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
	f("tls", options{}, web(), failure, "<11>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("udp", options{}, web(), out(""), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - \n")
	f("udp", options{"timezone": "Asia/Tokyo"}, web(), out("x"),
		"<14>1 2026-11-21T10:09:08+09:00 010101010101 web 4242 - - x\n")

	f("udp", options{"format": "rfc3164"}, web(), out("hello"), "<14>2026-11-21T01:09:08Z 010101010101 web[4242]: hello\n")
	f("tcp", options{"format": "rfc3164"}, web(), failure, "<11>2026-11-21T01:09:08Z 010101010101 web[4242]: hello\n")

	counted := options{"framing": "octet-counted"}
	f("tcp", counted, web(), out("hello"), "59 <14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")
	f("tls", counted, web(), out(""), "54 <14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - \n")
	f("udp", counted, web(), out("hello"), "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello\n")

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
	containers := make([]*record.Container, 3*cachedContainers)
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
		if n := len(cached.cache.byContainer); n > cachedContainers {
			t.Fatalf("the cache holds %d containers", n)
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
	f("append_tag", "{{.ID}}", `bad value "{{.ID}}" of option "append_tag": templates have no meaning here`)
	f("structured_data", "a\nb", `bad value "a\nb" of option "structured_data": it holds a control character`)
	f("timezone", "Mars/Olympus", `bad value "Mars/Olympus" of option "timezone": unknown time zone Mars/Olympus`)
	f("tls.ca", "/none", "reading the CA file: open /none: no such file or directory")

	d := Description()
	for _, value := range []string{"479", "65508", "much"} {
		_, err := d.New(resolve(t, "udp", "127.0.0.1:514", map[string]string{"udp.max_bytes": value}))
		want := fmt.Sprintf(`bad value %q of option "udp.max_bytes"; it is a number from 480 to 65507`, value)
		if err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if _, err := d.New(resolve(t, "tcp", "nowhere", nil)); err == nil {
		t.Error("an address without a port was taken")
	}
	if _, err := d.Resolve("tcp", "h:1", map[string]string{"format": "rfc1"}, nil); err == nil {
		t.Error("an unknown format was taken")
	}
}

// Logspout's variables set the options that it had.
func TestEnvironment(t *testing.T) {
	d := Description()
	env := map[string]string{
		"SYSLOG_FORMAT": "rfc3164", "SYSLOG_TCP_FRAMING": "octet-counted", "SYSLOG_STRUCTURED_DATA": "a@1",
		"LOGSPOUT_TLS_CA_CERTS": "/ca.pem",
	}
	c, err := d.Resolve("tcp", "h:1", nil, func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"format": "rfc3164", "framing": "octet-counted", "structured_data": "a@1", "tls.ca": "/ca.pem",
	} {
		if got := c.Options[name]; got != want {
			t.Errorf("option %s is %q, want %q", name, got, want)
		}
	}
}

// flood returns a batch of 256 KiB of lines, with a new second every thousand.
func flood(length int) *record.Batch {
	lines := make([][]byte, record.BlockSize/length)
	line := []byte(strings.Repeat("0123456789", length/10+1)[:length])
	for i := range lines {
		lines[i] = line
	}
	b := adaptertest.NewBatch(web(), lines...)
	for i := range b.Records {
		b.Records[i].Time = oneOClock + int64(i)*int64(time.Millisecond)
	}
	return b
}

// A line costs no allocation, a new second of it included.
func TestAppendAllocates(t *testing.T) {
	for _, framing := range []string{"traditional", "octet-counted"} {
		for _, format := range []string{"rfc5424", "rfc3164"} {
			e, err := newEncoder(resolve(t, "tcp", "127.0.0.1:514", map[string]string{"framing": framing, "format": format}))
			if err != nil {
				t.Fatal(err)
			}
			b := flood(80)
			var dst []byte
			if n := testing.AllocsPerRun(100, func() { dst = appendBatch(t, e, dst[:0], b) }); n != 0 {
				t.Errorf("%s %s: %v allocations for %d lines", format, framing, n, len(b.Records))
			}
		}
	}
}

func appendBatch(t testing.TB, e *encoder, dst []byte, b *record.Batch) []byte {
	e.Begin(b.Container)
	for i := range b.Records {
		var err error
		if dst, err = e.Append(dst, &b.Records[i]); err != nil {
			t.Fatal(err)
		}
	}
	return dst
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

func BenchmarkAppend(b *testing.B) {
	for _, length := range []int{80, 200, 1000} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			e, err := newEncoder(resolve(b, "tcp", "127.0.0.1:514", nil))
			if err != nil {
				b.Fatal(err)
			}
			batch := flood(length)
			dst := make([]byte, 0, 1<<20)
			b.SetBytes(int64(batch.Bytes()))
			b.ReportAllocs()
			for b.Loop() {
				dst = appendBatch(b, e, dst[:0], batch)
			}
			perLine(b, batch)
		})
	}
}

// BenchmarkSend includes the write to a loopback connection whose other end
// throws all away; the time is that of the sender and the kernel together.
func BenchmarkSend(b *testing.B) {
	for _, length := range []int{80, 200, 1000} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			a, err := newAdapter(resolve(b, "tcp", discard(b), nil), transport.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			batch := flood(length)
			done := func(err error) {
				if err != nil {
					b.Error(err)
				}
			}
			b.SetBytes(int64(batch.Bytes()))
			b.ReportAllocs()
			start := processCPU(b)
			for b.Loop() {
				a.Send(b.Context(), batch, done)
			}
			if err := a.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(processCPU(b)-start)/float64(b.N)/float64(len(batch.Records)), "cpu-ns/line")
			perLine(b, batch)
		})
	}
}

func perLine(b *testing.B, batch *record.Batch) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Records)), "ns/line")
}
