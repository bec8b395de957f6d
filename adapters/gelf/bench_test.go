package gelf

import (
	"net"
	"testing"
	"time"

	library "github.com/Graylog2/go-gelf/gelf"
	"golang.org/x/sys/unix"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

// discardUDP returns the address of a socket that nobody reads: the kernel throws
// away what it has no room for.
func discardUDP(b *testing.B) string {
	b.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// processCPU returns the time that this process has spent on a processor.
func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkSend sends over the loopback; with UDP to a socket that nobody reads.
func BenchmarkSend(b *testing.B) {
	b.Run("tcp", func(b *testing.B) {
		adaptertest.BenchmarkTCP(b, flood(200), func(address string) adapters.Adapter {
			return mustAdapter(b, resolve(b, "tcp", address, nil))
		})
	})
	for _, compression := range []string{"none", "gzip", "zlib"} {
		b.Run("udp "+compression, func(b *testing.B) {
			a := mustAdapter(b, resolve(b, "udp", discardUDP(b), options{"compression": compression}))
			adaptertest.BenchmarkAdapter(b, flood(200), a)
		})
	}
}

// BenchmarkLibrarySend is the same work by the library's UDPWriter.
func BenchmarkLibrarySend(b *testing.B) {
	f := func(name string, compression library.CompressType) {
		b.Run(name, func(b *testing.B) {
			w, err := library.NewUDPWriter(discardUDP(b))
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			w.CompressionType = compression
			m := library.Message{
				Version: "1.1", Host: "dock1", Short: string(flood(200).Records[0].Line),
				TimeUnix: 1795223348.987, Level: library.LOG_INFO, Extra: map[string]any{},
			}
			e := mustEncoder(b, "udp", nil)
			for name, value := range e.maker.values(web()) {
				m.Extra[name] = value
			}
			b.ReportAllocs()
			start := processCPU(b)
			for b.Loop() {
				if err := w.WriteMessage(&m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(processCPU(b)-start)/float64(b.N), "cpu-ns/line")
		})
	}
	f("udp none", library.CompressNone)
	f("udp gzip", library.CompressGzip)
}

// BenchmarkPost is one message a request, and many.
func BenchmarkPost(b *testing.B) {
	for _, bulk := range []string{"false", "true"} {
		b.Run("bulk "+bulk, func(b *testing.B) {
			adaptertest.BenchmarkHTTP(b, adaptertest.AccessLog(web(), 1000), func(address string) adapters.Adapter {
				return mustAdapter(b, resolve(b, "http", address, options{"bulk": bulk}))
			})
		})
	}
}

// BenchmarkObject is a line whose members become fields.
func BenchmarkObject(b *testing.B) {
	e := mustEncoder(b, "tcp", options{"json": "true"})
	r := record.Record{Time: oneOClock, Line: []byte(`{"time":"2026-11-21T01:09:08Z","level":"info","msg":"request served",` +
		`"http":{"method":"GET","path":"/index.html","status":200},"duration_ms":12.5,"user":"bo","trace":"0123456789abcdef"}`)}
	e.Begin(web())
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = e.Append(dst[:0], &r); err != nil {
			b.Fatal(err)
		}
	}
}
