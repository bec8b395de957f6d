package syslog

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"tallyman/collector/record"
)

func answered(answer any) *record.Answer { return record.NewAnswer(func() any { return answer }) }

// inspected is a container with the engine's answer.
func inspected() *record.Container {
	return &record.Container{
		ID: strings.Repeat("0123456789ab", 6)[:64], Name: "web_1", Image: "nginx:1", Hostname: "0123456789ab", PID: 4242,
		Labels: map[string]string{"tier": "front", "odd": "a b\u00e9"},
		Inspect: answered(container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{
				Name: "/web_1", State: &container.State{Pid: 4242}, Args: []string{"-x"},
			},
			Config: &container.Config{
				Hostname: "0123456789ab", Image: "nginx:1", Env: []string{"A=1", "B=<2>"},
				Labels: map[string]string{"tier": "front", "odd": "a b\u00e9"},
			},
		}),
	}
}

// Logspout's variables are templates with Logspout's names.
func TestTemplate(t *testing.T) {
	f := func(options map[string]string, want string) {
		t.Helper()
		r := record.Record{Time: oneOClock, Line: []byte("hello"), Stream: record.Stderr}
		if got := encode(t, "udp", options, inspected(), r); got != want+"\n" {
			t.Errorf("%v:\ngot  %q\nwant %q", options, got, want+"\n")
		}
	}
	type options = map[string]string
	const plain = "<11>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 - - hello"
	// Those that stand for what is done without them.
	f(options{
		"priority": "{{.Priority}}", "timestamp": "{{.Timestamp}}", "hostname": "{{.Container.Config.Hostname}}",
		"tag": "{{.ContainerName}}", "pid": "{{.Container.State.Pid}}", "data": "{{.Data}}", "structured_data": "-",
	}, plain)
	// And those that do the same by being run.
	f(options{
		"priority": "{{ .Priority }}", "timestamp": "{{ .Timestamp }}", "hostname": "{{ .Container.Config.Hostname }}",
		"tag": "{{ .ContainerName }}", "pid": "{{ .Container.State.Pid }}", "data": "{{ .Data }}", "structured_data": "{{ `-` }}",
	}, plain)
	f(options{"tag": `{{index (.ContainerNameSplitN "_" 2) 0}}`}, "<11>1 2026-11-21T01:09:08Z 0123456789ab web 4242 - - hello")
	f(options{"tag": `{{index .Container.Config.Labels "odd"}}`}, "<11>1 2026-11-21T01:09:08Z 0123456789ab a_b_ 4242 - - hello")
	f(options{"tag": "fixed", "append_tag": ".not"}, "<11>1 2026-11-21T01:09:08Z 0123456789ab fixed 4242 - - hello")
	f(options{"append_tag": "/{{.Source}}"}, "<11>1 2026-11-21T01:09:08Z 0123456789ab web_1/stderr 4242 - - hello")
	f(options{"hostname": "{{.Host}}-{{.Hostname}}"}, "<11>1 2026-11-21T01:09:08Z node7-0123456789ab web_1 4242 - - hello")
	f(options{"pid": "", "msgid": "{{.Source}}"}, "<11>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 stderr - hello")
	f(options{"priority": `{{if eq .Source "stderr"}}131{{else}}134{{end}}`},
		"<131>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 - - hello")
	f(options{"priority": "012"}, "<12>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 - - hello")
	f(options{"facility": "local0", "structured_data": "x@1 s=\"{{.Severity}}\" f=\"{{.Facility}}\""},
		`<131>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 - [x@1 s="3" f="16"] hello`)
	f(options{"timestamp": `{{.Time.Format "Jan 02 15:04:05.000"}}`},
		"<11>1 Nov_21_01:09:08.987 0123456789ab web_1 4242 - - hello")
	f(options{"timestamp": `{{.Time.Format "Jan 02 15:04:05"}}`, "format": "rfc3164"},
		"<11>Nov 21 01:09:08 0123456789ab web_1[4242]: hello")
	f(options{"timestamp": "-", "timestamp_digits": "6"}, "<11>1 - 0123456789ab web_1 4242 - - hello")
	f(options{"data": "{{.Source}}: {{toJSON .Data}} {{toJSON .Container.Config.Env}}"},
		`<11>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 - - stderr: "hello" ["A=1","B=\u003c2\u003e"]`)
	f(options{"data": `{{.Time.Format "05.000000000"}} {{.Timestamp}} {{.Priority}}`},
		"<11>1 2026-11-21T01:09:08Z 0123456789ab web_1 4242 - - 08.987654321 2026-11-21T01:09:08Z 11")
}

// A template that fails for a container costs the line nothing but the field: it
// is told of once, and every line is counted.
func TestTemplateFails(t *testing.T) {
	f := func(name, value, want string, c *record.Container) {
		t.Helper()
		var log bytes.Buffer
		counted := map[string]int64{}
		config := resolve(t, "udp", "127.0.0.1:514", map[string]string{name: value, "timezone": "UTC"})
		config.Logger = slog.New(slog.NewTextHandler(&log, nil))
		config.Count = func(event string, lines int64) { counted[event] += lines }
		e, err := newEncoder(config)
		if err != nil {
			t.Fatal(err)
		}
		e.Begin(c)
		for range 3 {
			got, err := e.Append(nil, &record.Record{Time: oneOClock, Line: []byte("hello")})
			if err != nil || string(got) != want+"\n" {
				t.Errorf("%s=%s:\ngot  %q, %v\nwant %q", name, value, got, err, want+"\n")
			}
		}
		if strings.Count(log.String(), "a template failed") != 1 || !strings.Contains(log.String(), "option="+name) {
			t.Errorf("%s=%s: the log says %q", name, value, log.String())
		}
		if counted["template_failed"] != 3 {
			t.Errorf("%s=%s: counted %v", name, value, counted)
		}
	}
	const plain = "<14>1 2026-11-21T01:09:08Z 010101010101 web 4242 - - hello"
	for _, broken := range []*record.Container{
		{Name: "web", Hostname: "010101010101", PID: 4242, Inspect: answered(struct{}{})},
		{Name: "web", Hostname: "010101010101", PID: 4242, Inspect: answered(container.InspectResponse{})},
	} {
		f("hostname", "{{.Container.Config.Hostname}}!", plain, broken)
		f("pid", "{{.Container.State.Pid}}!", plain, broken)
		f("tag", "{{.Container.Name}}", plain, broken)
		f("structured_data", "{{index .Container.Args 0}}", plain, broken)
		f("msgid", "{{.Container.Nowhere}}", plain, broken)
		f("data", "{{.Container.Config.Image}}{{.Data}}", plain, broken)
		f("timestamp", "{{.Container.Config.Image}}{{.Timestamp}}", plain, broken)
	}
	f("tag", "{{index (.ContainerNameSplitN \"_\" 2) 7}}", plain, web())
	f("priority", "{{.Source}}", plain, web())
}

// For a container that was gone before the engine could be asked, templates find
// what the agent knows in the same places.
func TestTemplateOfVanishedContainer(t *testing.T) {
	options := map[string]string{
		"hostname": "{{ .Container.Config.Hostname }}", "pid": "{{ .Container.State.Pid }}", "tag": "{{.Container.Name}}",
		"data": "{{.Container.Config.Image}} {{.Data}}",
	}
	c := web()
	c.Image = "nginx:1"
	const want = "<14>1 2026-11-21T01:09:08Z 010101010101 /web 4242 - - nginx:1 hello\n"
	if got := encode(t, "udp", options, c, record.Record{Time: oneOClock, Line: []byte("hello")}); got != want {
		t.Errorf("\ngot  %q\nwant %q", got, want)
	}
}

// Templates of the container alone run once a container.
func TestReadsLine(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		made, err := newField("tag", text, "")
		if err != nil {
			t.Fatal(err)
		}
		if made.perLine() != want {
			t.Errorf("%s: %v, want %v", text, made.perLine(), want)
		}
	}
	f("{{.Container.Name}}", false)
	f("{{.ContainerName}}.{{.Host}}", false)
	f(`{{index (.ContainerNameSplitN "-" 2) 0 | printf "%s"}}`, false)
	f(`{{if .Container.Config.Tty}}a{{else}}{{$.Hostname}}{{end}}`, false)
	f(`{{$n := .ContainerName}}{{$n}}`, false)
	f(`{{(index .Container.Mounts 0).Source}}`, false)
	f("{{.Data}}", true)
	f("{{.Timestamp}}", true)
	f("{{toJSON .}}", true)
	f("{{$.Source}}", true)
	f("{{$m := $}}{{$m.Data}}", true)
	f("{{if .Container}}{{else}}{{.Priority}}{{end}}", true)
	f("{{with .Container}}{{else}}{{.Data}}{{end}}", true)
	f("{{(index .Container.Args 0) | printf .Data}}", true)
	f(`{{define "x"}}{{.Data}}{{end}}{{template "x" .}}`, true)
	f(`{{range .Container.Args}}{{break}}{{else}}{{.Severity}}{{end}}`, true)
}

// countingAnswer counts how often a template looks at it.
type countingAnswer struct{ looks int }

// Look is for templates.
func (a *countingAnswer) Look() int {
	a.looks++
	return a.looks
}

// A template that names nothing of the line is run once for each container.
func TestContainerTemplateRunsOnce(t *testing.T) {
	e, err := newEncoder(resolve(t, "tcp", "127.0.0.1:514", map[string]string{"tag": "{{.Container.Look}}"}))
	if err != nil {
		t.Fatal(err)
	}
	answers := []*countingAnswer{{}, {}}
	containers := []*record.Container{web(), web()}
	for i, c := range containers {
		c.Inspect = answered(answers[i])
	}
	for i := range 100 {
		e.Begin(containers[i%2])
		if _, err := e.Append(nil, &record.Record{Time: oneOClock + int64(i)*1e9, Line: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range answers {
		if a.looks != 1 {
			t.Fatalf("the template ran %d times for a container", a.looks)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("{{.Data}}", "line")
	f.Add(`{{index (.ContainerNameSplitN "-" 2) 0}}`, "\n")
	f.Add(`{{with .Container}}{{.Config.Labels}}{{end}}`, "")
	f.Fuzz(func(t *testing.T, text, line string) {
		for _, option := range []string{"tag", "structured_data", "priority", "data"} {
			config := resolve(t, "tcp", "127.0.0.1:514", map[string]string{option: text})
			e, err := newEncoder(config)
			if err != nil {
				return
			}
			for _, c := range []*record.Container{web(), inspected()} {
				e.Begin(c)
				got, err := e.Append(nil, &record.Record{Line: []byte(line)})
				if err != nil || bytes.Count(got, []byte("\n")) != 1 || len(strings.SplitN(string(got), " ", 8)) != 8 {
					t.Fatal(fmt.Sprintf("%s=%q makes %q", option, text, got), err)
				}
			}
		}
	})
}
