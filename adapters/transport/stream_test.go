//go:build linux

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// After a break exactly the frames are reported that the peer's kernel has
// acknowledged, however the connection broke.
func TestBreakReportsAcknowledgedFrames(t *testing.T) {
	f := func(name string, end func(*net.TCPConn)) {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			listener := smallListener(t)
			s := newTestStream(t, testConfig(listener.Addr().String()))
			results := []<-chan error{commit(t, s, t.Context(), 10)}
			server := accept(t, listener)
			for range 6 {
				results = append(results, commit(t, s, t.Context(), 1000))
			}
			s.Flush(t.Context())
			link := s.link
			eventually(t, "the peer's window is full and all it took is known to have arrived", func() bool {
				held := heldBy(t, server)
				return held > 10*frameLen && link.ackedBytes() == uint64(held)
			})
			held := heldBy(t, server)
			end(server)
			frames := 0
			for i, result := range results {
				err := receive(t, result)
				var partial *partialError
				switch {
				case err == nil && i == 0:
					frames += 10
				case err == nil:
					frames += 1000
				case errors.As(err, &partial):
					frames += partial.settled
				default:
					t.Fatal(err)
				}
			}
			if want := held / frameLen; frames != want {
				t.Fatalf("%d frames are said to have arrived, the peer held %d", frames, want)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatalf("closing with nothing left to deliver: %v", err)
			}
		})
	}
	f("reset", func(c *net.TCPConn) {
		_ = c.SetLinger(0)
		_ = c.Close()
	})
	f("close", func(c *net.TCPConn) { _ = c.Close() })
	f("half close", func(c *net.TCPConn) { _ = c.CloseWrite() })
}

// A connection that breaks while nothing is sent is noticed, and replaced by
// the next batch.
func TestIdleBreakIsNoticed(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	listener := smallListener(t)
	s := newTestStream(t, testConfig(listener.Addr().String()))
	first := commit(t, s, t.Context(), 1)
	server := accept(t, listener)
	s.Flush(t.Context())
	if err := receive(t, first); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, frameLen)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("what a healthy server never says")); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the break is noticed", s.link.failed.Load)
	second := commit(t, s, t.Context(), 1)
	server = accept(t, listener)
	s.Flush(t.Context())
	if err := receive(t, second); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, frameLen)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A batch that is gathered when the connection breaks is settled at once, not
// when the next one is sent.
func TestBreakSettlesWhatIsGathered(t *testing.T) {
	listener := smallListener(t)
	s := newTestStream(t, testConfig(listener.Addr().String()))
	result := commit(t, s, t.Context(), 1)
	_ = accept(t, listener).Close()
	if err := receive(t, result); err == nil {
		t.Fatal("a batch that was never written is said to be delivered")
	}
}

// Batches are gathered and go out in one write, at Flush or when there are
// enough.
func TestGathering(t *testing.T) {
	listener := smallListener(t)
	config := testConfig(listener.Addr().String())
	config.Limits.Gather = 20 * frameLen
	s := newTestStream(t, config)
	results := []<-chan error{commit(t, s, t.Context(), 1)}
	server := accept(t, listener)
	for range 9 {
		results = append(results, commit(t, s, t.Context(), 1))
	}
	if n := s.link.written.Load(); n != 0 {
		t.Fatalf("%d bytes were written before Flush", n)
	}
	s.Flush(t.Context())
	if n := s.link.written.Load(); n != 10*frameLen {
		t.Fatalf("Flush wrote %d bytes", n)
	}
	results = append(results, commit(t, s, t.Context(), 19))
	if n := s.link.written.Load(); n != 10*frameLen {
		t.Fatalf("%d bytes were written before there were enough", n)
	}
	results = append(results, commit(t, s, t.Context(), 1))
	if n := s.link.written.Load(); n != 30*frameLen {
		t.Fatalf("%d bytes were written when there were enough", n)
	}
	for _, result := range results {
		if err := receive(t, result); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, 30*frameLen)
	if _, err := io.ReadFull(server, got); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte("f"), len(got)); !bytes.Equal(got, want) {
		t.Fatal("the bytes are not those that were sent")
	}
}

// A context that ends while Commit waits for room costs only the batches that
// are not written: what is in flight can still be delivered by Close.
func TestInterruptedWaitKeepsTheConnection(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	listener := smallListener(t)
	config := testConfig(listener.Addr().String())
	config.Limits.Gather, config.Limits.InFlight = 2000*frameLen, 3000*frameLen
	s := newTestStream(t, config)
	written := commit(t, s, t.Context(), 2000)
	server := accept(t, listener)
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(20*time.Millisecond, cancel)
	defer stop.Stop()
	unwritten := commit(t, s, ctx, 2000)
	if err := receive(t, unwritten); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	received := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, server)
		received <- n
	}()
	third := commit(t, s, t.Context(), 10)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(receive(t, written), receive(t, third)); err != nil {
		t.Fatal(err)
	}
	if n := <-received; n != 2010*frameLen {
		t.Fatalf("the server has %d bytes", n)
	}
}

// A write that the kernel cannot take ends with its context.
func TestCancelEndsBlockedWrite(t *testing.T) {
	listener := smallListener(t)
	config := testConfig(listener.Addr().String())
	config.Limits.InFlight = 1 << 30
	config.Limits.WriteTimeout, config.Limits.AckTimeout = time.Hour, time.Hour
	s := newTestStream(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	first := commit(t, s, ctx, 1)
	server := accept(t, listener)
	s.Flush(ctx)
	if err := receive(t, first); err != nil {
		t.Fatal(err)
	}
	queue := s.link.queue
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for left, ok := uint64(0), true; ok && left < 100*frameLen; left, ok = queue.unacked() {
			<-tick.C
		}
		cancel()
	}()
	big := commit(t, s, ctx, 20<<20/frameLen)
	err := receive(t, big)
	var partial *partialError
	if !errors.As(err, &partial) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if held := heldBy(t, server); partial.settled > held/frameLen {
		t.Fatalf("%d frames are said to have arrived, the peer held %d", partial.settled, held/frameLen)
	}
}

// A peer that takes nothing is given up after WriteTimeout when something waits
// to be sent, and after AckTimeout when nothing does.
func TestStalledPeerIsGivenUp(t *testing.T) {
	f := func(name string, frames int, l Limits) {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			listener := smallListener(t)
			config := testConfig(listener.Addr().String())
			config.Limits = l
			s := newTestStream(t, config)
			commit(t, s, t.Context(), 2000)
			accept(t, listener)
			s.Flush(t.Context())
			// The first batch alone may have been waited for too long already.
			dst, ends, err := s.Begin(t.Context())
			if err == nil {
				result := make(chan error, 2)
				dst, ends = appendFrames(dst, ends, frames)
				s.Commit(t.Context(), dst, ends, func(err error) { result <- err })
				s.Flush(t.Context())
				err = receive(t, result)
			}
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Fatalf("got %v, want a timeout", err)
			}
		})
	}
	short, long := 50*time.Millisecond, time.Hour
	f("waiting for acknowledgements", 10, Limits{WriteTimeout: long, AckTimeout: short})
	f("waiting for room", 1000, Limits{WriteTimeout: short, AckTimeout: long, InFlight: 1000 * frameLen})
	f("in a write", 20<<20/frameLen, Limits{WriteTimeout: short, AckTimeout: long, InFlight: 1 << 30})
}

// What is acknowledged after the write is settled without any further call.
func TestLateAcknowledgementSettles(t *testing.T) {
	listener := smallListener(t)
	s := newTestStream(t, testConfig(listener.Addr().String()))
	result := commit(t, s, t.Context(), 2000)
	server := accept(t, listener)
	s.Flush(t.Context())
	if s.link.outstanding() == 0 {
		t.Fatal("a server that does not read has taken all")
	}
	go func() { _, _ = io.Copy(io.Discard, server) }()
	if err := receive(t, result); err != nil {
		t.Fatal(err)
	}
}

// A batch far longer than the buffer is written as it is encoded, and when the
// connection breaks on the way, the batch is never taken for delivered.
func TestSpill(t *testing.T) {
	listener := smallListener(t)
	config := testConfig(listener.Addr().String())
	config.Limits.Gather = 10 * frameLen
	s := newTestStream(t, config)

	dst, ends, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := accept(t, listener)
	go func() { _, _ = io.Copy(io.Discard, server) }()
	for range 100 {
		dst, ends = appendFrames(dst, ends, 10)
		var ok bool
		if dst, ends, ok = s.Spill(t.Context(), dst, ends); !ok {
			t.Fatal(s.link.broken())
		}
		if cap(dst) > 20*frameLen {
			t.Fatalf("the buffer has grown to %d bytes", cap(dst))
		}
	}
	result := make(chan error, 2)
	s.Commit(t.Context(), dst, ends, func(err error) { result <- err })
	s.Flush(t.Context())
	if err := receive(t, result); err != nil {
		t.Fatal(err)
	}

	dst, ends, err = s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dst, ends = appendFrames(dst, ends, 10)
	dst, ends, ok := s.Spill(t.Context(), dst, ends)
	if !ok {
		t.Fatal(s.link.broken())
	}
	eventually(t, "the first half has arrived", func() bool {
		s.link.check()
		return s.link.outstanding() == 0
	})
	_ = server.Close()
	eventually(t, "the break is noticed", s.link.failed.Load)
	dst, ends = appendFrames(dst, ends, 10)
	if dst, ends, ok = s.Spill(t.Context(), dst, ends); ok {
		t.Fatal("writing to a closed connection was well")
	}
	s.Commit(t.Context(), dst, ends, func(err error) { result <- err })
	err = receive(t, result)
	var partial *partialError
	if !errors.As(err, &partial) || partial.settled != 10 {
		t.Fatalf("got %v with %v, want 10 frames settled", err, partial)
	}
}

// Sending allocates nothing for each batch.
func TestBatchAllocates(t *testing.T) {
	listener := smallListener(t)
	s := newTestStream(t, testConfig(listener.Addr().String()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := commit(t, s, ctx, 1)
	server := accept(t, listener)
	go func() { _, _ = io.Copy(io.Discard, server) }()
	s.Flush(ctx)
	if err := receive(t, first); err != nil {
		t.Fatal(err)
	}
	done := func(error) {}
	// The garbage collector and other goroutines may allocate a little.
	const most = 0.05
	if n := testing.AllocsPerRun(5000, func() {
		dst, ends, err := s.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		dst, ends = appendFrames(dst, ends, 20)
		s.Commit(ctx, dst, ends, done)
		s.Flush(ctx)
	}); n > most {
		t.Fatalf("%v allocations a batch", n)
	}
}
