package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const frameLen = 100

var errTestClosed = errors.New("closed")

// partialError stands for the error that adapters make.
type partialError struct {
	settled int
	err     error
}

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

func testConfig(address string) Config {
	return Config{
		Address: address,
		Limits: Limits{
			DialTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, AckTimeout: 5 * time.Second,
		},
		Partial: func(settled int, err error) error { return &partialError{settled, err} },
		Closed:  errTestClosed,
	}
}

func newTestStream(t testing.TB, c Config) *Stream {
	t.Helper()
	s, err := NewStream(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
	})
	return s
}

// smallListener listens with so small a receive buffer that a peer that is not
// read stops soon.
func smallListener(t *testing.T) net.Listener {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<10)
		}), err)
	}}
	listener, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// accept returns the server's end of the next connection.
func accept(t *testing.T, listener net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// commit sends a batch of n frames and returns where its result comes.
func commit(t testing.TB, s *Stream, ctx context.Context, n int) <-chan error {
	t.Helper()
	dst, ends, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dst, ends = appendFrames(dst, ends, n)
	result := make(chan error, 2)
	s.Commit(ctx, dst, ends, func(err error) { result <- err })
	return result
}

func appendFrames(dst []byte, ends []uint32, n int) ([]byte, []uint32) {
	for range n {
		dst = append(dst, frame[:]...)
		ends = append(ends, uint32(len(dst)))
	}
	return dst, ends
}

var frame = [frameLen]byte(bytes.Repeat([]byte("f"), frameLen))

// eventually polls until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not so: %s", what)
		}
	}
}

func receive(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("done was not called")
		return nil
	}
}

// heldBy returns how many bytes the kernel holds for a reader.
func heldBy(t *testing.T, conn *net.TCPConn) int {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var held int
	if controlErr := raw.Control(func(fd uintptr) {
		held, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	}); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	return held
}

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
	config.Limits.InFlight, config.Limits.WriteTimeout = 1<<30, time.Hour
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
			result := commit(t, s, t.Context(), frames)
			s.Flush(t.Context())
			err := receive(t, result)
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

func TestBadConfig(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		if _, err := NewStream(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(Config{Address: "host"}, `reading address "host": address host: missing port in address`)
	f(Config{Address: "host:"}, `reading address "host:": the port is missing`)
	f(Config{Address: "host:1", TLS: &TLSOptions{CAFiles: []string{"/none"}}},
		"reading the CA file: open /none: no such file or directory")
	f(Config{Address: "host:1", TLS: &TLSOptions{CAFiles: []string{"doc.go"}}},
		`reading the CA file "doc.go": it holds no certificate`)
	f(Config{Address: "host:1", TLS: &TLSOptions{NoSystemRoots: true}},
		"without the system's certificates a CA file is needed")
	f(Config{Address: "host:1", TLS: &TLSOptions{CertFile: "a"}},
		"a client certificate and its key go together: one of them is missing")
}

func TestFIFO(t *testing.T) {
	var f fifo[int]
	next, first := 0, 0
	for i := range 1000 {
		for range i % 7 {
			f.push(next)
			next++
		}
		if n := f.len(); n != next-first {
			t.Fatalf("length %d, want %d", n, next-first)
		}
		drop := min(f.len(), i%5)
		for j := range drop {
			if *f.at(j) != first+j {
				t.Fatalf("item %d is %d", j, *f.at(j))
			}
		}
		f.drop(drop)
		first += drop
		if i%11 == 0 && f.len() > 0 {
			f.dropBack(1)
			next--
		}
	}
	if cap(f.items) > 4096 {
		t.Fatalf("the memory has grown to %d items for %d", cap(f.items), f.len())
	}
}

// The ends of frames are compared over the overflow of their 32 bits.
func TestEndsOverflow(t *testing.T) {
	var f inFlight
	base := uint64(1<<32 - 150)
	f.ends.push(uint32(base+100), uint32((base+200)&(1<<32-1)))
	f.batches.push(batch{frames: 2, end: base + 200})
	for acked, want := range map[uint64]int{99: 0, 100: 1, 199: 1} {
		probe := f
		probe.ends.items = append([]uint32(nil), f.ends.items...)
		probe.batches.items = append([]batch(nil), f.batches.items...)
		if _, settled, ok := probe.popFront(base+acked, true); !ok || settled != want {
			t.Errorf("%d bytes: %d frames, want %d", acked, settled, want)
		}
	}
	if _, settled, ok := f.popFront(base+200, false); !ok || settled != 2 {
		t.Error(fmt.Sprint("all bytes: ", settled, ok))
	}
}
