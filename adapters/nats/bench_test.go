package nats

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// serverProcess starts a server in a process of its own and returns its address.
func serverProcess(b *testing.B) string {
	b.Helper()
	command := exec.Command(os.Args[0], serveCommand, b.TempDir())
	stdin, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	line := make([]byte, 100)
	n, err := stdout.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

// flood returns a batch as large as a reader's block.
func flood(length int) *record.Batch {
	b := &record.Batch{Container: &record.Container{
		ID: strings.Repeat("0123456789abcdef", 4), Name: "shop-web-1", Image: "example/web:1.2.3",
		Labels: map[string]string{"com.docker.compose.project": "shop", "com.docker.compose.service": "web"},
	}}
	line := bytes.Repeat([]byte("x"), length)
	start := time.Date(2026, 11, 21, 1, 9, 8, 0, time.UTC).UnixNano()
	for i := range record.BlockSize / (length + 80) {
		b.Records = append(b.Records, record.Record{Time: start + int64(i)*12_345, Line: line})
	}
	return b
}

// BenchmarkSend sends to a server in another process; cpu-ns/line is the
// client's time on a processor, with the kernel's for it.
func BenchmarkSend(b *testing.B) {
	run := func(name string, options map[string]string) {
		for _, length := range []int{80, 200, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, length), func(b *testing.B) {
				a, err := newAdapter(resolve(b, "tcp", serverProcess(b), options), transport.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				batch := flood(length)
				done := func(err error) {
					if err != nil {
						b.Error(err)
					}
				}
				a.Send(b.Context(), batch, done) // Connects.
				b.SetBytes(int64(batch.Bytes()))
				b.ReportAllocs()
				offset := int64(0)
				start := processCPU(b)
				for b.Loop() {
					for i := range batch.Records {
						offset++
						batch.Records[i].Resume = offset
					}
					a.Send(b.Context(), batch, done)
				}
				if err := a.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				lines := float64(b.N) * float64(len(batch.Records))
				b.ReportMetric(float64(processCPU(b)-start)/lines, "cpu-ns/line")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/lines, "ns/line")
			})
		}
	}
	run("core", map[string]string{"headers": "false"})
	run("core with headers", nil)
	run("core json", map[string]string{"headers": "false", "format": "json"})
	stored := map[string]string{
		"jetstream": "true", "headers": "false", "stream": "BENCH", "stream.storage": "memory", "stream.max_msgs": "100000",
	}
	run("jetstream", stored)
	withHeaders := map[string]string{"headers": "true"}
	for name, value := range stored {
		if name != "headers" {
			withHeaders[name] = value
		}
	}
	run("jetstream with headers", withHeaders)
}
