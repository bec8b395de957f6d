package syslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

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

// leveled are lines of which each names its level in another way.
var leveled = []string{
	"level=warn msg=slow", `{"time":"2026-11-21T01:09:08Z","level":"error","msg":"no"}`, "[ERROR] no", "2026-11-21 01:09:08 INFO main - up",
	"<3>oops", "E1121 01:09:08.000000 1 main.go:1] no", "\x1b[31mFATAL\x1b[0m no", "a line that names none",
}

// A line costs no allocation, a new second of it included, as long as no template
// reads the line.
func TestAppendAllocates(t *testing.T) {
	for _, options := range []map[string]string{
		{},
		{"format": "rfc3164"},
		{"framing": "octet-counted"},
		{"format": "rfc3164", "framing": "octet-counted"},
		{"timestamp_digits": "6", "sd": "container", "text": textPrintable, "severity": "warning"},
		{"tag": "{{.ContainerName}}.{{.Host}}", "hostname": "fixed", "data": "{{.Data}}"},
		{"severity": "level"},
	} {
		e, err := newEncoder(resolve(t, "tcp", "127.0.0.1:514", options))
		if err != nil {
			t.Fatal(err)
		}
		b := flood(80)
		for i, text := range leveled {
			b.Records[i].Line = []byte(text)
		}
		var dst []byte
		if n := testing.AllocsPerRun(20, func() { dst = appendBatch(t, e, dst[:0], b) }); n != 0 {
			t.Errorf("%v: %v allocations for %d lines", options, n, len(b.Records))
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

func BenchmarkAppend(b *testing.B) {
	f := func(name string, options map[string]string) {
		for _, length := range []int{80, 200, 1000} {
			b.Run(fmt.Sprint(name, "/", length), func(b *testing.B) {
				e, err := newEncoder(resolve(b, "tcp", "127.0.0.1:514", options))
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
	f("plain", nil)
	f("counted", map[string]string{"framing": "octet-counted"})
	f("microseconds", map[string]string{"timestamp_digits": "6"})
	f("structured", map[string]string{"sd": "container"})
	f("by level", map[string]string{"severity": "level"})
	f("printable", map[string]string{"text": textPrintable})
	f("template of the container", map[string]string{"tag": "{{.ContainerName}}.{{.Host}}"})
	f("template of the line", map[string]string{"data": "{{.Source}}: {{.Data}}"})
}

// BenchmarkSend sends over the loopback to a server that throws all away; with
// RELP, after it responded to each message.
func BenchmarkSend(b *testing.B) {
	open := func(transportName, address string) adapters.Adapter {
		a, err := newAdapter(resolve(b, transportName, address, nil), transport.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	for _, length := range []int{80, 200, 1000} {
		b.Run(fmt.Sprint("tcp/", length), func(b *testing.B) {
			adaptertest.BenchmarkTCP(b, flood(length), func(address string) adapters.Adapter { return open("tcp", address) })
		})
		b.Run(fmt.Sprint("relp/", length), func(b *testing.B) {
			adaptertest.BenchmarkAdapter(b, flood(length), open("relp", responder(b)))
		})
	}
}

func perLine(b *testing.B, batch *record.Batch) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Records)), "ns/line")
}
