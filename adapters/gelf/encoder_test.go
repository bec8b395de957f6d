package gelf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	library "github.com/Graylog2/go-gelf/gelf"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/textenc"
	"tallyman/collector/record"
)

// webFields are the fields of web's messages.
func webFields() map[string]any {
	return map[string]any{
		"version": "1.1", "host": "dock1", "short_message": "hello", "level": 6.0, "timestamp": 1795223348.987,
		"_command": "/bin/web -v a b", "_container_id": web().ID, "_container_name": "web",
		"_created":  "2026-11-20T01:02:03.45Z",
		"_image_id": web().ImageID, "_image_name": "example/web:1", "_tag": "0123456789ab",
	}
}

func TestMessage(t *testing.T) {
	// f compares a message with webFields, of which some are replaced, or are not
	// there where the replacement is nil.
	f := func(o options, r record.Record, replaced map[string]any) {
		t.Helper()
		want := webFields()
		maps.Copy(want, replaced)
		maps.DeleteFunc(want, func(_ string, value any) bool { return value == nil })
		if r.Time == 0 {
			r.Time = oneOClock
		}
		got := checkLegal(t, encode(t, mustEncoder(t, "udp", o), web(), r))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v:\ngot  %v\nwant %v", o, got, want)
		}
	}
	line := func(text string) record.Record { return record.Record{Line: []byte(text)} }
	hello := line("hello")
	type fields = map[string]any

	f(nil, hello, nil)
	f(nil, record.Record{Line: []byte("hello"), Stream: record.Stderr}, fields{"level": 3.0})
	f(options{"level": "detect"}, line("ERROR no"), fields{"short_message": "ERROR no", "level": 3.0})
	f(options{"level": "detect"}, record.Record{Line: []byte("x"), Stream: record.Stderr}, fields{"short_message": "x", "level": 3.0})
	f(options{"hostname": "node7"}, hello, fields{"host": "node7"})
	f(nil, record.Record{Line: []byte("hello"), Time: 1_000_999_999}, fields{"timestamp": 1.0})
	f(nil, record.Record{Line: []byte("hello"), Time: 1_040_000_000}, fields{"timestamp": 1.04})
	f(nil, line("a\"b\\c\x00\x1b\x7f\n\r\t\xff\xfeé世🚢\xc3"), fields{"short_message": "a\"b\\c\x00\x1b\x7f\n\r\t\ufffd\ufffdé世🚢\ufffd"})
	f(nil, line(" </script>&\u2028 "), fields{"short_message": " </script>&\u2028 "})

	f(options{"tag": "{{.ImageName}}/{{.Name}}/{{.ID}}"}, hello, fields{"_tag": "example/web:1/web/0123456789ab"})
	f(options{"tag": "{{.FullID}}"}, hello, fields{"_tag": web().ID})
	f(options{"tag": "{{.ImageID}} {{.ImageFullID}}"}, hello, fields{"_tag": "fedcba987654 " + web().ImageID})
	f(options{"tag": "{{.DaemonName}} {{.Hostname}} {{.Command}}"}, hello, fields{"_tag": "docker dock1 /bin/web -v a b"})
	f(options{"tag": `{{join (split (upper .Name) "E") "."}}{{truncate (lower "ABC") 2}}{{pad "x" 1 1}}{{json .Name}}`}, hello,
		fields{"_tag": `W.Bab x "web"`})
	f(options{"tag": `{{index .ContainerLabels "com.example.team"}}{{len .ContainerEnv}}{{.ContainerCreated.Year}}`}, hello,
		fields{"_tag": "blue42026"})
	// A template that fails for this container.
	f(options{"tag": `{{if eq .Name "web"}}{{index .ContainerEnv 99}}{{end}}`}, hello, nil)
	f(options{"tag": ""}, hello, fields{"_tag": nil})

	f(options{"labels": "com.example.team,missing,none"}, hello, fields{"_com.example.team": "blue"})
	f(options{"labels": "id,a/b"}, hello, fields{"_id_": "7", "_a_b": "c"})
	f(options{"labels-regex": "^com[.]"}, hello, fields{"_com.example.team": "blue"})
	f(options{"labels-regex": "."}, hello, fields{"_com.example.team": "blue", "_id_": "7", "_a_b": "c"})
	f(options{"env": "REGION,EMPTY,odd"}, hello, fields{"_REGION": "eu"})
	f(options{"env-regex": "^(REG|P)", "labels": "id"}, hello, fields{"_REGION": "eu", "_PATH": "/bin", "_id_": "7"})
	f(options{"field.site": "berlin", "field._tag": "t", "field.n.o-1": "x"}, hello, fields{"_site": "berlin", "_tag": "t", "_n.o-1": "x"})
	f(options{"env": "REGION", "field.REGION": "us"}, hello, fields{"_REGION": "us"})
}

// A container of which nothing is known, and one with more than Graylog takes.
func TestOddContainers(t *testing.T) {
	e := mustEncoder(t, "tcp", nil)
	message := encode(t, e, &record.Container{}, record.Record{Line: []byte("x"), Time: math.MinInt64})
	if want := `{"version":"1.1","host":"dock1","timestamp":-9223372036.854,"level":6,"short_message":"x"}` + "\x00"; string(message) != want {
		t.Errorf("got %q, want %q", message, want)
	}
	long := &record.Container{Command: []string{strings.Repeat("é", 40_000)}, Name: "\xff\x00", Labels: map[string]string{
		strings.Repeat("n", 1000): "v", "": "empty", "_": "underscore", "ü": "uml", "message": "m", "_source": "s", "__id": "i",
	}}
	message = encode(t, mustEncoder(t, "udp", options{"labels-regex": ""}), long, record.Record{Line: []byte("x")})
	checkLegal(t, message)
	fields := checkLegal(t, encode(t, mustEncoder(t, "udp", options{"labels-regex": ".*"}), long, record.Record{Line: []byte("x")}))
	for name, value := range map[string]any{
		"_command": strings.Repeat("é", maxValue/2), "_container_name": "\ufffd\x00", "_message_": "m", "_source_": "s",
		"__id_": "i", "_" + strings.Repeat("n", 255): "v",
	} {
		if fields[name] != value {
			t.Errorf("%.20s is %.20q, want %.20q", name, fields[name], value)
		}
	}
	unnamed := resolve(t, "udp", "127.0.0.1:1", nil)
	unnamed.Hostname = " "
	e, err := newEncoder(&unnamed)
	if err != nil {
		t.Fatal(err)
	}
	if got := checkLegal(t, encode(t, e, web(), record.Record{Line: []byte("x")}))["host"]; got != "unknown" {
		t.Errorf("the host is %q", got)
	}
}

// The encoder writes what the library's own does.
func TestAgainstLibrary(t *testing.T) {
	e := mustEncoder(t, "udp", nil)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("abcdefgh \"\\\n\t\x00\x1f\x7f<>&é世🚢\u2028")
	for range 500 {
		text := make([]rune, 1+random.IntN(60))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		line := "x" + string(text)
		if random.IntN(4) == 0 {
			line += string([]byte{byte(0x80 + random.IntN(0x80)), 'y'})
		}
		at := random.Int64N(4e18)
		m := library.Message{Version: "1.1", Host: "dock1", Short: line, TimeUnix: float64(at/1e6) / 1000, Level: 6}
		m.Extra = map[string]any{}
		for name, value := range webFields() {
			if strings.HasPrefix(name, "_") {
				m.Extra[name] = value
			}
		}
		var want bytes.Buffer
		if err := m.MarshalJSONBuf(&want); err != nil {
			t.Fatal(err)
		}
		got := encode(t, e, web(), record.Record{Line: []byte(line), Time: at})
		if !reflect.DeepEqual(decode(t, got), decode(t, want.Bytes())) {
			t.Fatalf("got  %s\nwant %s", got, &want)
		}
	}
}

// rejection encodes a line that is rejected and returns the reason.
func rejection(t *testing.T, o options, line string) string {
	t.Helper()
	e := mustEncoder(t, "tcp", o)
	e.Begin(web())
	dst, err := e.Append([]byte("before"), &record.Record{Line: []byte(line)})
	if string(dst) != "before" {
		t.Errorf("%.20q left %.40q", line, dst)
	}
	var permanent *adapters.PermanentError
	if !errors.As(err, &permanent) {
		return ""
	}
	return permanent.Reason
}

// Blank is what Java calls so.
func TestBlank(t *testing.T) {
	for _, line := range []string{"", " ", "\r", "\t\n\v\f\r\x1c\x1d\x1e\x1f ", "\u2003\u3000\u2028\u1680"} {
		if got := rejection(t, nil, line); got != "blank" {
			t.Errorf("%q is rejected as %q", line, got)
		}
		checkLegal(t, encode(t, mustEncoder(t, "udp", options{"blank": "send"}), web(), record.Record{Line: []byte(line)}))
	}
	for _, line := range []string{"\u00a0", "\u2007", "\u202f", "\u0085", "\x00", "\x08", "\xff", "\ufeff", "."} {
		if blank([]byte(line)) {
			t.Errorf("%q is blank", line)
		}
	}
}

// A line is cut so that the message has any length that is asked for, and is
// whole JSON all the same.
func TestCut(t *testing.T) {
	line := strings.Repeat("a\"\\\n\x00é世🚢\xff", 30)
	var cuts int64
	e := mustEncoder(t, "udp", nil)
	e.count = func(event string, lines int64) {
		if event != "cut" {
			t.Errorf("counted %q", event)
		}
		cuts += lines
	}
	whole := encode(t, e, web(), record.Record{Line: []byte(line)})
	if cuts != 0 {
		t.Error("a message that fits was cut")
	}
	least := len(whole) - len(textenc.AppendJSON(nil, line)) + len(`""`)
	for most := least + 1; most < len(whole); most++ {
		e.most = most
		got := encode(t, e, web(), record.Record{Line: []byte(line)})
		short := checkLegal(t, got)["short_message"].(string)
		if len(got) > most || len(got) < most-6 || !strings.HasPrefix(asText([]byte(line)), short) {
			t.Fatalf("with %d bytes allowed, %d were made: %q", most, len(got), short)
		}
	}
	if want := int64(len(whole) - least - 1); cuts != want {
		t.Errorf("%d cuts were counted, want %d", cuts, want)
	}
	long := strings.Repeat("x", 2000)
	if got := rejection(t, options{"max_bytes": "1024", "too_long": "reject"}, long); got != "too_long" {
		t.Errorf("rejected as %q", got)
	}
	// There is no room for any text behind such a field.
	if got := rejection(t, options{"max_bytes": "1024", "field.x": long}, "line"); got != "too_long" {
		t.Errorf("rejected as %q", got)
	}
}

// A message never has another container's fields.
func TestManyContainers(t *testing.T) {
	e := mustEncoder(t, "udp", nil)
	containers := adaptertest.Containers(200)
	for range 3 {
		for _, c := range containers {
			got := decode(t, encode(t, e, c, record.Record{Line: []byte("x")}))
			if got["_container_id"] != c.ID || got["_container_name"] != c.Name {
				t.Fatalf("container %s got %v", c.Name, got)
			}
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("line\n"), int64(1e18), "web", 2000)
	f.Add([]byte("\xff\xc3\x00\"\\é\u2028"), int64(-1), "\x00ü", 1024)
	f.Fuzz(func(t *testing.T, line []byte, at int64, name string, most int) {
		c := &record.Container{Name: name, Labels: map[string]string{name: name}}
		e := mustEncoder(t, "tcp", options{"blank": "send", "labels-regex": "."})
		got := encode(t, e, c, record.Record{Line: line, Time: at})
		short := checkLegal(t, got[:len(got)-1])["short_message"]
		if got[len(got)-1] != 0 || short != asText(line) {
			t.Fatalf("%q became %q", line, short)
		}
		e.most = most
		e.Begin(c)
		cut, err := e.Append(nil, &record.Record{Line: line, Time: at})
		if err != nil {
			return
		}
		short = checkLegal(t, cut[:len(cut)-1])["short_message"]
		if len(cut)-1 > most || !strings.HasPrefix(asText(line), short.(string)) {
			t.Fatalf("with %d bytes allowed, %q became %q", most, line, short)
		}
	})
}

// flood returns a batch of lines of a length, as many as a block of the log
// holds.
func flood(length int) *record.Batch {
	line := bytes.Repeat([]byte("GET /index.html 200 "), length/20)
	lines := make([][]byte, record.BlockSize/(length+80))
	for i := range lines {
		lines[i] = line
	}
	return adaptertest.NewBatch(web(), lines...)
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

// A line costs no allocation, whatever says its level.
func TestAppendAllocates(t *testing.T) {
	b := flood(200)
	for i, line := range []string{
		`{"level":"warn","msg":"slow"}`, "2026-11-21 01:09:08 ERROR main - no", `level=info msg="x"`,
		"I1121 10:00:00.000000 1 x.go:1] up", "\x1b[33mWARN\x1b[0m odd", "not \xff UTF-8",
	} {
		b.Records[i].Line = []byte(line)
	}
	for _, from := range []string{"stream", "detect"} {
		e := mustEncoder(t, "tcp", options{"level": from})
		dst := make([]byte, 0, 4<<20)
		if n := testing.AllocsPerRun(20, func() { dst = appendBatch(t, e, dst[:0], b) }); n != 0 {
			t.Errorf("level=%s: %v allocations for %d lines", from, n, len(b.Records))
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, length := range []int{80, 200, 1000} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			e := mustEncoder(b, "tcp", nil)
			batch := flood(length)
			dst := make([]byte, 0, 4<<20)
			b.SetBytes(int64(batch.Bytes()))
			b.ReportAllocs()
			for b.Loop() {
				dst = appendBatch(b, e, dst[:0], batch)
			}
			perLine(b, batch)
		})
	}
}

// BenchmarkLibrary is the same work by the library, a line at a time.
func BenchmarkLibrary(b *testing.B) {
	line := flood(200).Records[0].Line
	var fields map[string]any
	if err := json.Unmarshal(encode(b, mustEncoder(b, "udp", nil), web(), record.Record{Line: line}), &fields); err != nil {
		b.Fatal(err)
	}
	maps.DeleteFunc(fields, func(name string, _ any) bool { return !strings.HasPrefix(name, "_") })
	var buf bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		m := library.Message{Version: "1.1", Host: "dock1", Short: string(line), TimeUnix: 1795223348.987, Level: 6, Extra: fields}
		if err := m.MarshalJSONBuf(&buf); err != nil {
			b.Fatal(err)
		}
	}
}

func perLine(b *testing.B, batch *record.Batch) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Records)), "ns/line")
}
