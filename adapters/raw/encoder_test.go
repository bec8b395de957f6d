package raw

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

func TestFormats(t *testing.T) {
	c := &record.Container{Name: "web", Hostname: "0101"}
	r := record.Record{
		Time:   time.Date(2026, 11, 21, 1, 9, 8, 5, time.UTC).UnixNano(),
		Line:   []byte("a <b> \"c\" %d\xff"),
		Stream: record.Stderr,
	}
	f := func(format string, want string) {
		t.Helper()
		e, err := newEncoder(format, "node7")
		if err != nil {
			t.Fatal(err)
		}
		e.Begin(c)
		got, err := e.Append([]byte("before|"), &r)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != "before|"+want {
			t.Errorf("%q gives %q, want %q", format, got, "before|"+want)
		}
	}
	line := string(r.Line)
	f(defaultFormat, line+"\n")
	f("{{.Data}}", line)
	// What stands in single quotes in a shell is no newline, for Logspout too.
	f(`{{.Data}}\n`, line+`\n`)
	f(`{{.Data}}{{"\n"}}`, line+"\n")
	f("{{.Source}}: {{.Data}}\n", "stderr: "+line+"\n")
	f("{{.Time.UTC.Format \"2006-01-02T15:04:05.999999999Z07:00\"}}", "2026-11-21T01:09:08.000000005Z")
	f("{{toJSON .Data}}", `"a \u003cb\u003e \"c\" %d\ufffd"`)
	f("{{.Container.Name}} {{.Container.Config.Hostname}}", "/web 0101")
	f("{{.Host}} {{.Priority}}", "node7 11")
	f("", "")
}

// A format that cannot be parsed refuses the route and shows the text.
func TestBadFormat(t *testing.T) {
	_, err := Description().New(resolve(t, "tcp", "127.0.0.1:514", map[string]string{"format": "{{.Data"}))
	if err == nil || !strings.Contains(err.Error(), `bad value "{{.Data" of option "format": `) {
		t.Fatalf("got %v", err)
	}
}

// A record for which the template fails is rejected alone, also when it has
// written something already; the others are delivered.
func TestFailingTemplate(t *testing.T) {
	f := func(transportName string) {
		t.Run(transportName, func(t *testing.T) {
			format := adaptertest.Format{Split: adaptertest.SplitNewline, Line: lineOf}
			var server adaptertest.Server
			if transportName == "udp" {
				server = adaptertest.StartUDP(t, format)
			} else {
				server = adaptertest.StartTCP(t, adaptertest.Serves, nil, format)
			}
			a, err := newAdapter(resolve(t, transportName, server.Address(), map[string]string{
				"format": "{{.Data}} {{if eq .Data \"bad\"}}{{.Container.Missing}}{{end}}\n",
			}), transport.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			result := make(chan error, 1)
			b := adaptertest.NewBatch(adaptertest.Containers(1)[0],
				[]byte("one"), []byte("bad"), []byte("two"), []byte("bad"))
			a.Send(t.Context(), b, func(err error) { result <- err })
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			var rejected *adapters.RejectedError
			if err := <-result; !errors.As(err, &rejected) || len(rejected.Rejects) != 2 {
				t.Fatalf("got %v, want two rejects", err)
			}
			for i, want := range []int{1, 3} {
				r := rejected.Rejects[i]
				if r.Index != want || r.Reason != "template" || !strings.Contains(r.Err.Error(), "Missing") {
					t.Errorf("got %+v, want the template's error of record %d", r, want)
				}
			}
			adaptertest.Eventually(t, adaptertest.Patience, "two lines arrive", func() bool { return server.Count() == 2 })
			if got := bytes.Join(server.Lines(), []byte("|")); string(got) != "one |two " {
				t.Fatalf("got %q", got)
			}
		})
	}
	f("tcp")
	f("udp")
}

// Messages that are far longer than their records do not gather in memory.
func TestLongMessages(t *testing.T) {
	server := adaptertest.StartTCP(t, adaptertest.Serves, nil,
		adaptertest.Format{Split: adaptertest.SplitNewline, Line: func([]byte) []byte { return nil }})
	c := &record.Container{Name: "web", Labels: map[string]string{"long": strings.Repeat("x", 20_000)}}
	a, err := newAdapter(resolve(t, "tcp", server.Address(), map[string]string{
		"format": "{{.Container.Config.Labels.long}}\n",
	}), transport.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	lines := make([][]byte, 2000)
	result := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(c, lines...), func(err error) { result <- err })
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	adaptertest.Eventually(t, adaptertest.Patience, "all lines arrive", func() bool { return server.Count() == len(lines) })
}

// Logspout's names for this adapter are known.
func TestAliases(t *testing.T) {
	d := Description()
	for _, name := range []string{"tcp", "udp", "tls"} {
		if d.Aliases[name] != name {
			t.Errorf("%s stands for transport %q", name, d.Aliases[name])
		}
	}
}

func TestAppendAllocates(t *testing.T) {
	b := adaptertest.NewBatch(adaptertest.Containers(1)[0], bytes.Repeat([]byte("x"), 80), nil)
	e, err := newEncoder(defaultFormat, "")
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		for i := range b.Records {
			if dst, err = e.Append(dst[:0], &b.Records[i]); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, format := range []string{defaultFormat, "{{.Source}} {{.Data}}\n"} {
		for _, length := range []int{80, 200, 1000} {
			b.Run(fmt.Sprintf("%q/%d", format, length), func(b *testing.B) {
				e, err := newEncoder(format, "node7")
				if err != nil {
					b.Fatal(err)
				}
				e.Begin(&record.Container{})
				r := record.Record{Line: bytes.Repeat([]byte("x"), length)}
				var dst []byte
				b.SetBytes(int64(length))
				b.ReportAllocs()
				for b.Loop() {
					if dst, err = e.Append(dst[:0], &r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
