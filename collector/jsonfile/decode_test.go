package jsonfile

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tallyman/collector/record"
)

func TestDecode(t *testing.T) {
	at := time.Date(2026, 11, 21, 1, 5, 47, 974927820, time.UTC).UnixNano()
	f := func(line, wantText string, wantStream record.Stream, wantWhole bool, wantTime int64) {
		t.Helper()
		var d decoder
		var rec record.Record
		whole, err := d.decode([]byte(line), &rec)
		if err != nil {
			t.Fatalf("decoding %s: %v", line, err)
		}
		if string(rec.Line) != wantText || rec.Stream != wantStream || whole != wantWhole || rec.Time != wantTime {
			t.Fatalf("decoding %s: got %q %v whole=%v time=%d", line, rec.Line, rec.Stream, whole, rec.Time)
		}
	}
	const tail = `"time":"2026-11-21T01:05:47.97492782Z"}`
	f(`{"log":"hello\n","stream":"stdout",`+tail, "hello", record.Stdout, true, at)
	f(`{"log":"hello\n","stream":"stderr",`+tail, "hello", record.Stderr, true, at)
	// An empty line.
	f(`{"log":"\n","stream":"stdout",`+tail, "", record.Stdout, true, at)
	// A part, also one whose text ends in a backslash and an n.
	f(`{"log":"part","stream":"stdout",`+tail, "part", record.Stdout, false, at)
	f(`{"log":"part\\n","stream":"stdout",`+tail, `part\n`, record.Stdout, false, at)
	f(`{"log":"whole\\\n","stream":"stdout",`+tail, `whole\`, record.Stdout, true, at)
	// What dockerd leaves out when it is empty.
	f(`{"stream":"stdout",`+tail, "", record.Stdout, false, at)
	f(`{"log":"a\n",`+tail, "a", record.Stdout, true, at)
	// Every escape that dockerd writes.
	f(`{"log":"\"\\\r\u0009\u0000\u003ca\u003e\u0026\u2028\ufffd\u001b[0m\n","stream":"stdout",`+tail,
		"\"\\\r\t\x00<a>&\u2028\ufffd\x1b[0m", record.Stdout, true, at)
	// Attributes, with whatever they hold.
	f(`{"log":"a\n","stream":"stderr","attrs":{"k":"v","q":"\"}, \"time\":\"x\""},`+tail, "a", record.Stderr, true, at)
	// A text that looks like the end of a record.
	f(`{"log":"\",\"stream\":\"stderr\",\"time\":\"x\"}\n","stream":"stdout",`+tail,
		`","stream":"stderr","time":"x"}`, record.Stdout, true, at)
	// Times with fewer digits.
	whole := time.Date(2026, 11, 21, 1, 5, 47, 0, time.UTC).UnixNano()
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21T01:05:47Z"}`, "a", record.Stdout, true, whole)
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21T01:05:47.5Z"}`, "a", record.Stdout, true, whole+5e8)
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21T01:05:47.1234567Z"}`, "a", record.Stdout, true, whole+123456700)
	// Valid JSON by another writer.
	f(`{ "time": "2026-11-21T02:05:47.97492782+01:00", "stream": "stderr", "log": "x\ud83d\ude00\n" }`,
		"x😀", record.Stderr, true, at)
}

func TestDecodeBroken(t *testing.T) {
	f := func(line string) {
		t.Helper()
		var d decoder
		var rec record.Record
		if _, err := d.decode([]byte(line), &rec); err == nil {
			t.Fatalf("decoding %q: no error but %q", line, rec.Line)
		}
	}
	f("")
	f("{}")
	f(`{"log":"a\n","stream":"stdout"}`)
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21"}`)
	f(`{"log":"a\n","stream":"stdout","time":"2026-13-21T01:05:47Z"}`)
	f(`{"log":"a\n","stream":"stdout","time":"2026-11-21T01:05:47.12x4Z"}`)
	f(`g":"torn\n","stream":"stdout","time":"2026-11-21T01:05:47.5Z"}`)
	f(strings.Repeat("\x00", 300))
}

// dockerLine writes a record as dockerd does: the standard library's encoder
// makes the same escapes.
func dockerLine(text string, stream record.Stream, at time.Time) []byte {
	line, err := json.Marshal(struct {
		Log    string    `json:"log,omitempty"`
		Stream string    `json:"stream,omitempty"`
		Time   time.Time `json:"time"`
	}{text, stream.String(), at.UTC()})
	if err != nil {
		panic(err)
	}
	return append(line, '\n')
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\u0000\\\"\n","stream":"stdout","time":"2026-11-21T01:05:47.97492782Z"}`))
	f.Add([]byte(`{"log":"a","stream":"stderr","attrs":{"a":"b"},"time":"2026-11-21T01:05:47Z"}`))
	f.Add([]byte("plain"))
	f.Fuzz(func(t *testing.T, in []byte) {
		// Whatever comes, it must not panic.
		var d decoder
		var rec record.Record
		_, _ = d.decode([]byte(string(in)), &rec)
		// What dockerd would write of it must come back as it was.
		at := time.Unix(0, int64(len(in))*7919)
		text := strings.ToValidUTF8(string(in), "\ufffd")
		line := dockerLine(text+"\n", record.Stderr, at)
		whole, err := d.decode(line[:len(line)-1], &rec)
		if err != nil || !whole || string(rec.Line) != text || rec.Time != at.UnixNano() || rec.Stream != record.Stderr {
			t.Fatalf("%q came back as %q, whole=%v, err=%v", text, rec.Line, whole, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	f := func(name, text string) {
		b.Run(name, func(b *testing.B) {
			line := dockerLine(text+"\n", record.Stdout, time.Unix(1795225145, 841123456))
			line = line[:len(line)-1]
			scratch := make([]byte, len(line))
			var d decoder
			var rec record.Record
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, line)
				if _, err := d.decode(scratch, &rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	words := strings.Repeat(`GET /api/v1/items?limit=50 HTTP/1.1 200 5123 upstream=10.0.3.17:8080 rt=0.012 `, 300)
	f("80", words[:80])
	f("200", words[:200])
	f("1000", words[:1000])
	f("16000", words[:16000])
	f("json200", strings.Repeat(`{"level":"info","msg":"request \"done\"","status":200} `, 10)[:200])
}

// The clock reads what the package time reads, in whatever order seconds come, and
// nothing else.
func TestClock(t *testing.T) {
	var c clock
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Unix(1795225145, 0).UTC()
	for range 100_000 {
		if random.IntN(3) == 0 {
			at = at.Add(time.Duration(random.Int64N(int64(48*time.Hour))) - 24*time.Hour)
		}
		at = at.Add(time.Duration(random.IntN(1e9))).Truncate(time.Duration(powers[random.IntN(10)]))
		text := []byte(at.Format(time.RFC3339Nano))
		if got, ok := c.parse(text); !ok || got != at.UnixNano() {
			t.Fatalf("%s is read as %d, %v, want %d", text, got, ok, at.UnixNano())
		}
		// One byte is another. The package time takes a comma for a point.
		i, b := random.IntN(len(text)), byte(random.IntN(256))
		if b == ',' {
			continue
		}
		text[i] = b
		want, err := time.Parse(time.RFC3339Nano, string(text))
		if got, ok := c.parse(text); ok != (err == nil) || ok && got != want.UnixNano() {
			t.Fatalf("%q is read as %d, %v, want %v, %v", text, got, ok, want, err)
		}
	}
}

// Escapes are resolved wherever they stand, many or few.
func TestUnescapeEverywhere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	special := []rune("\"\\\n\r\t\x00\x1f<>&\u2028é€\U0001f600")
	var d decoder
	var rec record.Record
	for range 50_000 {
		var text strings.Builder
		one := 1 + random.IntN(30) // of so many characters is special.
		for range random.IntN(100) {
			if random.IntN(one) == 0 {
				text.WriteRune(special[random.IntN(len(special))])
			} else {
				text.WriteByte('a' + byte(random.IntN(26)))
			}
		}
		line := dockerLine(text.String()+"\n", record.Stdout, time.Unix(1, 0))
		if whole, err := d.decode(line[:len(line)-1], &rec); err != nil || !whole || string(rec.Line) != text.String() {
			t.Fatalf("%q came back as %q, whole=%v, err=%v", text.String(), rec.Line, whole, err)
		}
	}
}
