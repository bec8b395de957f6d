package template

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"tallyman/adapters"
	"tallyman/collector/record"
)

func answered(answer any) *record.Answer { return record.NewAnswer(func() any { return answer }) }

// inspectedWeb is a container of which the engine has told all.
func inspectedWeb() *record.Container {
	return &record.Container{
		ID: "0123456789abcdef", Name: "web.1", Hostname: "0101", PID: 42, Image: "example/web:1",
		Labels: map[string]string{"team": "blue"},
		Inspect: answered(container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{
				ID: "0123456789abcdef", Name: "/web.1", State: &container.State{Pid: 42},
			},
			Config: &container.Config{
				Hostname: "0101", Image: "example/web:1", Labels: map[string]string{"team": "blue"},
				Env: []string{"A=b", "C=d"},
			},
		}),
	}
}

// vanishedWeb is the same one, gone before the engine could be asked.
func vanishedWeb() *record.Container {
	c := inspectedWeb()
	c.Inspect, c.Env = nil, []string{"A=b", "C=d"}
	return c
}

func testRecord() *record.Record {
	return &record.Record{
		Time:   time.Date(2026, 11, 21, 1, 9, 8, 5, time.UTC).UnixNano(),
		Line:   []byte("a <b> \"c\" %d\xff"),
		Stream: record.Stderr,
	}
}

func run(t *testing.T, text string, c *record.Container, rec *record.Record) (string, error) {
	t.Helper()
	parsed, err := Parse("format", text)
	if err != nil {
		t.Fatal(err)
	}
	r := Runner{Location: time.UTC}
	r.Begin(c)
	r.Record(rec)
	got, err := r.Append([]byte("before|"), parsed)
	if !bytes.HasPrefix(got, []byte("before|")) {
		t.Fatalf("%q gives %q", text, got)
	}
	return string(got[len("before|"):]), err
}

func TestTemplates(t *testing.T) {
	f := func(text, want string, perLine bool) {
		t.Helper()
		parsed, err := Parse("format", text)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.PerLine() != perLine {
			t.Errorf("%q depends on the line: %v, want %v", text, parsed.PerLine(), perLine)
		}
		for name, c := range map[string]*record.Container{"inspected": inspectedWeb(), "vanished": vanishedWeb()} {
			if got, err := run(t, text, c, testRecord()); err != nil || got != want {
				t.Errorf("%s: %q gives %q, %v, want %q", name, text, got, err, want)
			}
		}
	}
	line := string(testRecord().Line)
	f("", "", false)
	f("text", "text", false)
	f("{{.Data}}", line, true)
	f("{{.Data}}\n", line+"\n", true)
	f("{{.Source}}: {{.Data}}\n", "stderr: "+line+"\n", true)
	f(`{{.Time.UTC.Format "2006-01-02T15:04:05.999999999Z07:00"}}`, "2026-11-21T01:09:08.000000005Z", true)
	f("{{toJSON .Data}}", `"a \u003cb\u003e \"c\" %d\ufffd"`, true)
	f("{{.Priority}} {{.Timestamp}}", "11 2026-11-21T01:09:08Z", true)
	f("{{.Hostname}} {{.ContainerName}}", "0101 web.1", false)
	f(`{{index (.ContainerNameSplitN "." 2) 0}}`, "web", false)
	f("{{.Container.Name}} {{.Container.ID}}", "/web.1 0123456789abcdef", false)
	f("{{.Container.Config.Hostname}} {{.Container.State.Pid}}", "0101 42", false)
	f(`{{index .Container.Config.Labels "team"}}`, "blue", false)
	f("{{with .Container.Config}}{{.Image}}{{end}}", "example/web:1", false)
	f("{{with .Container.Config}}{{$.Data}}{{end}}", line, true)
	f("{{with $x := .Container.Config}}{{$x.Image}}{{end}}", "example/web:1", false)
	f("{{$d := .Data}}{{if true}}{{$d}}{{end}}", line, true)
	f("{{range .Container.Config.Env}}{{.}};{{end}}", "A=b;C=d;", true)
	f("{{if false}}{{else}}{{.Data}}{{end}}", line, true)
	f(`{{define "x"}}{{.Data}}{{end}}{{template "x" .}}`, line, true)
	f("{{(.Time.UTC).Year}}", "2026", true)
	f(`{{index (.ContainerNameSplitN "." 2) 0 | printf "%s"}}`, "web", false)
	f("{{if .Container.Config.Tty}}a{{else}}{{$.Hostname}}{{end}}", "0101", false)
	f("{{$n := .ContainerName}}{{$n}}", "web.1", false)
	f("{{.Facility}}.{{.Severity}}", "1.3", true)
	f("{{$m := $}}{{$m.Data}}", line, true)
	f("{{with .Container}}{{else}}{{.Data}}{{end}}", "", true)
	f("{{range .Container.Config.Env}}{{break}}{{else}}{{.Severity}}{{end}}", "", true)
	f(`{{define "x"}}fixed{{end}}{{template "x"}}`, "fixed", false)
	f(`{{define "x"}}{{.}}{{end}}{{template "x" .ContainerName}}`, "web.1", true)
}

// The message as a whole has Logspout's keys, in its order.
func TestWholeMessage(t *testing.T) {
	c := vanishedWeb()
	got, err := run(t, "{{toJSON .}}", c, testRecord())
	if err != nil || !strings.HasPrefix(got, `{"Container":{"Id":"0123456789abcdef",`) ||
		!strings.Contains(got, `,"Source":"stderr","Data":"a \u003cb\u003e`) {
		t.Fatalf("got %s, %v", got, err)
	}
}

// A text that cannot be parsed is refused, by the name of its option.
func TestBadTemplate(t *testing.T) {
	if _, err := Parse("format", "{{.Data"); err == nil || !strings.Contains(err.Error(), "template: format:1: unclosed action") {
		t.Fatalf("got %v", err)
	}
}

// broken has a method that breaks down.
type broken struct{ nothing *int }

func (b *broken) Break() int { return *b.nothing }

// MarshalJSON breaks down as well.
func (b *broken) MarshalJSON() ([]byte, error) { panic("no JSON") }

// The engine's answer is unpacked for templates that name it, and once for all
// runners.
func TestAnswerIsUnpackedOnce(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		parsed, err := Parse("format", text)
		if err != nil {
			t.Fatal(err)
		}
		c, other := inspectedWeb(), inspectedWeb()
		answer, unpacked := c.Inspect.Unpack(), 0
		c.Inspect = record.NewAnswer(func() any { unpacked++; return answer })
		for range 2 {
			var r Runner
			for range 3 {
				for _, container := range []*record.Container{c, other} {
					r.Begin(container)
					r.Record(testRecord())
					if _, err := r.Append(nil, parsed); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if unpacked != want {
			t.Errorf("%q unpacks the answer %d times, want %d", text, unpacked, want)
		}
	}
	f("{{.ContainerName}} {{.Data}}", 0)
	f("{{with .Source}}{{$.Hostname}}{{end}}", 0)
	f("{{.Container.Name}} {{.Data}}", 1)
	f("{{with $.Container}}{{.Name}}{{end}}", 1)
	f("{{range .Container.Config.Env}}x{{end}}", 1)
	f("{{if .Data}}{{else}}{{.Container.Name}}{{end}}", 1)
	f(`{{define "x"}}{{.Container.Name}}{{end}}{{template "x" .}}`, 1)
	f("{{(.Container).Name}}", 1)
	f("{{toJSON .}}", 1)
}

// A template that fails gives a record up and leaves nothing of what it wrote.
func TestFailingTemplate(t *testing.T) {
	f := func(text string, answer any) {
		t.Helper()
		c := inspectedWeb()
		if c.Inspect = nil; answer != nil {
			c.Inspect = answered(answer)
		}
		got, err := run(t, text, c, testRecord())
		var permanent *adapters.PermanentError
		if !errors.As(err, &permanent) || permanent.Reason != "template" {
			t.Errorf("%q: got %v, want a permanent error", text, err)
		}
		if got != "" {
			t.Errorf("%q leaves %q", text, got)
		}
	}
	f("some {{.Container.Missing}}", inspectedWeb().Inspect.Unpack())
	f("some {{.Missing}}", nil)
	f("some {{.Container.State.Pid}}", container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{}})
	f("some {{.Container.State.Pid}}", container.InspectResponse{})
	f("some {{.Container.Config.Hostname}}", container.InspectResponse{})
	f("some {{.Container.Break}}", &broken{})
	f("some {{toJSON .Container}}", &broken{})
	f("some {{index (.ContainerNameSplitN \"x\" 2) 7}}", nil)
	f(`some {{define "x"}}{{template "x" .}}{{end}}{{template "x" .}}`, nil)
}

// A template that does not end, or makes ever more text, is ended. What it was
// given to write to is not full of it.
func TestEndlessTemplate(t *testing.T) {
	f := func(text string, want error) {
		t.Helper()
		if got, err := run(t, text, inspectedWeb(), testRecord()); !errors.Is(err, want) || got != "" {
			t.Errorf("%q gives %d bytes and %v, want %v", text, len(got), err, want)
		}
	}
	f(`{{range 1000000000000}}{{end}}`, errEndless)
	f(`{{range 1000000000000}}{{if false}}{{.}}{{end}}{{end}}`, errEndless)
	f(`{{range $i := 1000000000000}}{{continue}}{{end}}`, errEndless)
	f(`{{if true}}{{with 1000000000000}}{{range .}}{{end}}{{end}}{{end}}`, errEndless)
	f(`{{if false}}{{else}}{{range 0}}{{else}}{{range 1000000000000}}{{end}}{{end}}{{end}}`, errEndless)
	f(`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, errEndless)
	f(`{{define "a"}}{{if .}}{{template "a" slice . 1}}{{template "a" slice . 1}}{{end}}{{end}}{{template "a" "`+
		strings.Repeat("x", 60)+`"}}`, errEndless)
	f(`{{range 1000}}{{printf "%99999d" 1}}{{end}}`, errTooLong)
	const doubled = 40
	for _, twice := range []string{`printf "%s%s" $x $x`, `print $x $x`, `println $x $x`} {
		f(`{{$x := "x"}}`+strings.Repeat(`{{$x = `+twice+`}}`, doubled), errTooLong)
	}
	for _, escape := range []string{"js", "html", "urlquery", "toJSON"} {
		f(`{{$x := "\"&% "}}`+strings.Repeat(`{{$x = `+escape+` $x}}{{$x = printf "%s%s" $x $x}}`, doubled), errTooLong)
	}
}

// Which names of a message come from its line is known of all of them.
func TestLineWords(t *testing.T) {
	ofContainer := []string{"Container", "ContainerName", "ContainerNameSplitN", "Hostname", "Host", "Facility"}
	kind := reflect.TypeFor[*message]()
	var names []string
	for i := range kind.NumMethod() {
		names = append(names, kind.Method(i).Name)
	}
	for _, field := range reflect.VisibleFields(kind.Elem()) {
		if field.IsExported() {
			names = append(names, field.Name)
		}
	}
	for _, name := range names {
		if slices.Contains(lineWords, name) == slices.Contains(ofContainer, name) {
			t.Errorf("is %s the line's or the container's?", name)
		}
	}
	if len(names) != len(lineWords)+len(ofContainer) {
		t.Errorf("a message has %v", names)
	}
}

// An adapter says what a message's header has.
func TestHeaderOfAdapter(t *testing.T) {
	parsed, err := Parse("tag", "{{.Priority}} {{.Severity}} {{.Facility}} {{.Timestamp}} {{.Host}}")
	if err != nil {
		t.Fatal(err)
	}
	r := Runner{
		Location: time.UTC, Layout: time.Stamp, Host: "node7", Facility: 16,
		Severity: func(r *record.Record) int { return len(r.Line) },
	}
	r.Begin(vanishedWeb())
	r.Record(&record.Record{Time: testRecord().Time, Line: []byte("12345")})
	if got, err := r.Append(nil, parsed); err != nil || string(got) != "133 5 16 Nov 21 01:09:08 node7" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// No text makes parsing or running panic, and what is said not to depend on the
// line does not.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"{{.Data}}\n", "{{.Priority}}{{.Timestamp}}", "{{toJSON .}}", "{{range .Container.Config.Env}}{{.}}{{end}}",
		`{{define "x"}}{{.}}{{end}}{{template "x" .Container.Name}}`, "{{with $x := .Container}}{{$x.ID}}{{end}}",
		"{{$}}", "{{block \"b\" .}}{{.Source}}{{end}}", "{{(.Time.UTC).Year}}", "{{break}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := Parse("format", text)
		if err != nil {
			return
		}
		var r Runner
		r.Begin(vanishedWeb())
		r.Record(testRecord())
		first, firstErr := r.Append(nil, parsed)
		r.Record(&record.Record{Time: 5, Line: []byte("other")})
		second, secondErr := r.Append(nil, parsed)
		if !parsed.PerLine() && (!bytes.Equal(first, second) || (firstErr == nil) != (secondErr == nil)) {
			t.Fatalf("%q gives %q, %v and %q, %v", text, first, firstErr, second, secondErr)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	parsed, err := Parse("format", "{{.Source}} {{.Data}}\n")
	if err != nil {
		b.Fatal(err)
	}
	var r Runner
	r.Begin(inspectedWeb())
	rec := record.Record{Line: bytes.Repeat([]byte("x"), 200)}
	var dst []byte
	b.SetBytes(int64(len(rec.Line)))
	b.ReportAllocs()
	for b.Loop() {
		r.Record(&rec)
		if dst, err = r.Append(dst[:0], parsed); err != nil {
			b.Fatal(err)
		}
	}
}
