package adaptertest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// AccessLog returns a batch of lines as a web server writes them, of about 200
// bytes each.
func AccessLog(c *record.Container, lines int) *record.Batch {
	b := &record.Batch{Container: c}
	for i := range lines {
		b.Records = append(b.Records, record.Record{
			Time: 1_700_000_000_000_000_000 + int64(i)*1e6,
			Line: fmt.Appendf(nil, `10.0.0.%d - - [21/Nov/2026:10:00:%02d +0000] "GET /item/%d HTTP/1.1" 200 %d `+
				`"https://shop.example.com/search?page=%d" "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"`,
				i%250, i%60, i*7919%10000, i*31%9000, i%9),
		})
	}
	return b
}

// BenchmarkTCP measures an adapter that sends a batch again and again over the
// loopback to a server that throws all away. cpu-ns/line is the CPU time of the
// process, kernel included, without that of the server.
func BenchmarkTCP(b *testing.B, batch *record.Batch, newAdapter func(address string) adapters.Adapter) {
	b.Helper()
	benchmark(b, batch, newAdapter, func(fd int) {
		buf := make([]byte, 256<<10)
		for {
			if n, err := unix.Read(fd, buf); n <= 0 && err != unix.EINTR {
				return
			}
		}
	})
}

// BenchmarkHTTP is BenchmarkTCP for an adapter that posts, to a server that
// answers each request.
func BenchmarkHTTP(b *testing.B, batch *record.Batch, newAdapter func(address string) adapters.Adapter) {
	b.Helper()
	benchmark(b, batch, newAdapter, answerRequests)
}

// answerRequests answers every request with success. It knows as much of HTTP as
// adapters send: requests with a length.
func answerRequests(fd int) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	buf := make([]byte, 256<<10)
	held, body := 0, 0
	for {
		n, err := unix.Read(fd, buf[held:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		held += n
		if body == 0 {
			head, _, whole := bytes.Cut(buf[:held], []byte("\r\n\r\n"))
			if !whole {
				continue
			}
			_, length, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
			length, _, _ = bytes.Cut(length, []byte("\r\n"))
			if body, err = strconv.Atoi(string(length)); err != nil {
				return
			}
			held -= len(head) + len("\r\n\r\n")
		}
		if body -= held; body <= 0 {
			body = 0
			if _, err := unix.Write(fd, []byte(answer)); err != nil {
				return
			}
		}
		held = 0
	}
}

// benchmark runs serve for each connection, on a thread of its own whose CPU
// time is left out.
func benchmark(b *testing.B, batch *record.Batch, newAdapter func(address string) adapters.Adapter, serve func(fd int)) {
	b.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	var theirs atomic.Int64
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			file, err := conn.(*net.TCPConn).File()
			_ = conn.Close() // The file is another descriptor of the connection.
			if err != nil {
				return
			}
			running.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				before := cpuTime(unix.RUSAGE_THREAD)
				serveBlocking(file, serve)
				theirs.Add(int64(cpuTime(unix.RUSAGE_THREAD) - before))
			})
		}
	})
	measure(b, batch, newAdapter(listener.Addr().String()), func() time.Duration {
		_ = listener.Close()
		running.Wait()
		return time.Duration(theirs.Load())
	})
}

// BenchmarkAdapter is BenchmarkTCP for an adapter whose destination is no part of
// the process. It closes the adapter.
func BenchmarkAdapter(b *testing.B, batch *record.Batch, a adapters.Adapter) {
	b.Helper()
	measure(b, batch, a, func() time.Duration { return 0 })
}

// measure sends the batch again and again. Once the adapter is closed it calls
// end, which returns how much CPU time of the process was not the adapter's.
func measure(b *testing.B, batch *record.Batch, a adapters.Adapter, end func() time.Duration) {
	b.Helper()
	failed := make(chan error, 1)
	done := func(err error) {
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}
	b.SetBytes(int64(batch.Bytes()))
	b.ReportAllocs()
	start := cpuTime(unix.RUSAGE_SELF)
	for b.Loop() {
		a.Send(context.Background(), batch, done)
	}
	if err := a.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	others := end()
	spent := cpuTime(unix.RUSAGE_SELF) - start - others
	lines := float64(b.N * len(batch.Records))
	b.ReportMetric(float64(spent)/lines, "cpu-ns/line")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/lines, "ns/line")
	b.ReportMetric(0, "ns/op")
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

// serveBlocking runs serve with a descriptor whose calls block the thread, so
// that the CPU time spent for it is the thread's.
func serveBlocking(file *os.File, serve func(fd int)) {
	defer func() { _ = file.Close() }()
	fd := int(file.Fd())
	if unix.SetNonblock(fd, false) == nil {
		serve(fd)
	}
}

// cpuTime returns the CPU time of this process or thread.
func cpuTime(who int) time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(who, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
