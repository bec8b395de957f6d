//go:build linux

package transport

import (
	"context"
	"io"
	"net"
	"testing"
)

// BenchmarkStream sends batches of 1,000 frames to a receiver that throws them
// away, until all of them are acknowledged.
func BenchmarkStream(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	received := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, conn)
			_ = conn.Close() // It has been read to its end.
		}
		received <- err
	}()
	s := newTestStream(b, testConfig(listener.Addr().String()))
	const frames = 1000
	settled := make(chan error, 1)
	ctx := context.Background()
	b.SetBytes(frames * frameLen)
	b.ReportAllocs()
	for b.Loop() {
		dst, ends, err := s.Begin(ctx)
		if err != nil {
			b.Fatal(err)
		}
		dst, ends = appendFrames(dst, ends, frames)
		s.Commit(ctx, dst, ends, func(error) {})
	}
	dst, ends, err := s.Begin(ctx)
	if err != nil {
		b.Fatal(err)
	}
	dst, ends = appendFrames(dst, ends, 1)
	s.Commit(ctx, dst, ends, func(err error) { settled <- err })
	if err := s.Close(ctx); err != nil {
		b.Fatal(err)
	}
	if err := <-settled; err != nil {
		b.Fatal(err)
	}
	if err := <-received; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frames, "ns/line")
	if err := listener.Close(); err != nil {
		b.Fatal(err)
	}
}
