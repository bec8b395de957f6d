package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Waits between readings of the send queue: from the first to the last while somebody
// waits for room, and the last while nobody does, when what a reading costs is the
// waking for it. A peer that has read a short piece acknowledges it after up to 40 ms
// (TCP_DELACK_MIN in include/net/tcp.h), or when it is written to again.
const (
	firstPoll = time.Millisecond
	lastPoll  = 50 * time.Millisecond
)

// tlsChunk is how much is handed to TLS at a time: one record of the greatest
// size (RFC 8446, section 5.1), so that acknowledgements are known as finely.
const tlsChunk = 16 << 10

// socket is a TCP connection or a stream over a Unix socket.
type socket interface {
	net.Conn
	syscall.Conn
}

// link is one connection from its dial to its end: it is never mended, a Stream
// makes a new one. Three goroutines know it: the caller's, which writes; the
// reader, which notices the peer's end; and the poller, which asks for
// acknowledgements while the caller does not.
type link struct {
	address string
	limits  Limits
	partial func(int, error) error

	// raw is the socket, conn what is read and written: the socket or TLS over
	// it. cipher counts TLS's bytes and is nil without TLS.
	raw    socket
	conn   net.Conn
	cipher *countingConn
	queue  *sendQueue

	// written counts the bytes that the kernel or TLS has taken; only the
	// caller's goroutine adds to it.
	written atomic.Uint64
	// failed is set once the link is broken, after err.
	failed atomic.Bool

	// wake tells the poller that there is something to wait for, and next is when it
	// reads the send queue again.
	wake chan struct{}
	next *time.Timer
	// dead is closed when the link breaks.
	dead chan struct{}
	// running counts the reader and the poller.
	running sync.WaitGroup

	mu sync.Mutex
	// All below is guarded by mu. acked counts the bytes known to have arrived
	// and never falls. sealed maps plaintext to TLS's bytes. settling says that
	// a goroutine is calling done functions, so that no other does and they
	// are called in order.
	acked    uint64
	sealed   fifo[seal]
	flight   inFlight
	err      error
	settling bool
	// lost says that a batch failed, not only the connection.
	lost bool
}

// seal says that the first plain bytes are all within the first cipher bytes
// that TLS wrote.
type seal struct{ plain, cipher uint64 }

// broken returns why the link is broken, nil while it is not.
func (l *link) broken() error {
	if !l.failed.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail breaks the link, unless it is broken already, and settles all that is in
// flight. The connection is closed in the ordinary way: a reset would make the
// peer throw away what it has acknowledged and not read.
func (l *link) fail(err error) {
	l.observe()
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = err
		l.failed.Store(true)
		close(l.dead)
	}
	l.mu.Unlock()
	if first {
		_ = l.raw.Close() // The link's error is already known.
	}
	l.settle()
}

// read notices the end of the connection. Peers of this kind send nothing; what
// one sends all the same is thrown away.
func (l *link) read() {
	var buf [1024]byte
	for {
		if _, err := l.conn.Read(buf[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the peer closed the connection")
			}
			l.fail(fmt.Errorf("reading from %q: %w", l.address, err))
			return
		}
	}
}

// poll asks for acknowledgements whenever some are outstanding after a write.
func (l *link) poll() {
	defer l.next.Stop()
	for {
		select {
		case <-l.wake:
		case <-l.dead:
			return
		}
		before, since := l.ackedBytes(), time.Now()
		for l.outstanding() > 0 {
			select {
			case <-l.next.C:
			case <-l.dead:
				return
			}
			l.next.Reset(lastPoll)
			l.check()
			now := time.Now()
			if acked := l.ackedBytes(); acked != before {
				before, since = acked, now
			} else if now.Sub(since) > l.limits.AckTimeout {
				l.fail(fmt.Errorf("waiting for %q to acknowledge %d bytes: %w",
					l.address, l.outstanding(), os.ErrDeadlineExceeded))
				return
			}
		}
	}
}

// checkNow settles what the peer has acknowledged by now, and leaves the rest to the
// poller. While each write finds the ones before acknowledged, the poller's next
// reading is put off: it would only wake.
func (l *link) checkNow() {
	before := l.ackedBytes()
	l.check()
	moved := l.ackedBytes() != before
	// Nobody else wakes the poller.
	tell := l.outstanding() > 0 && len(l.wake) == 0
	if moved || tell {
		l.next.Reset(lastPoll)
	}
	if tell {
		l.wake <- struct{}{}
	}
}

// write hands p to the kernel. A peer that takes something within each
// WriteTimeout is not given up.
func (l *link) write(i *interrupter, p []byte) error {
	for len(p) > 0 {
		piece := p
		if l.cipher != nil {
			piece = p[:min(len(p), tlsChunk)]
		}
		if err := i.arm(l.raw, l.limits.WriteTimeout); err != nil {
			return fmt.Errorf("writing to %q: %w", l.address, err)
		}
		n, err := l.conn.Write(piece)
		if err != nil && (l.cipher != nil || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			if l.cipher == nil {
				l.written.Add(uint64(n))
			}
			return fmt.Errorf("writing to %q: %w", l.address, err)
		}
		l.written.Add(uint64(n))
		if l.cipher != nil {
			l.mu.Lock()
			l.sealed.push(seal{plain: l.written.Load(), cipher: l.cipher.total.Load()})
			l.mu.Unlock()
		}
		p = p[n:]
	}
	return nil
}

// observe reads the send queue and moves acked on.
func (l *link) observe() {
	// The count is taken before the queue is read: what is written in between
	// makes the queue longer, and the result too small rather than too great.
	sent := l.written.Load()
	if l.cipher != nil {
		sent = l.cipher.total.Load()
	}
	left, ok := l.queue.unacked()
	if !ok || left > sent {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	if l.cipher == nil {
		l.acked = max(l.acked, sent-left)
		return
	}
	for l.sealed.len() > 0 && l.sealed.at(0).cipher <= sent-left {
		l.acked = l.sealed.at(0).plain
		l.sealed.drop(1)
	}
}

// check reads the send queue and settles the batches it covers.
func (l *link) check() {
	l.observe()
	l.settle()
}

func (l *link) ackedBytes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// outstanding returns how many bytes are written and not known to have arrived.
func (l *link) outstanding() uint64 { return l.written.Load() - l.ackedBytes() }

// settle calls done for each batch at the front that is delivered or, once the
// link is broken, for all of them. No lock is held during the calls, and when
// another goroutine is at it already, it does the work.
func (l *link) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settling {
		return
	}
	l.settling = true
	for {
		b, settled, ok := l.flight.popFront(l.acked, l.err != nil)
		if !ok {
			break
		}
		var err error
		if b.torn || b.end > l.acked {
			err = l.partial(settled, l.err)
			l.lost = true
		}
		l.mu.Unlock()
		b.done(err)
		l.mu.Lock()
	}
	l.settling = false
}

// abandon settles the batches that are not wholly written, newest first.
func (l *link) abandon(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		b, settled, ok := l.flight.popBack(l.written.Load(), l.acked)
		if !ok {
			return
		}
		l.mu.Unlock()
		b.done(l.partial(settled, cause))
		l.mu.Lock()
	}
}

// add puts a batch, or the first frames of one, in flight.
func (l *link) add(base uint64, ends []uint32) {
	for i := range ends {
		ends[i] += uint32(base)
	}
	l.mu.Lock()
	l.flight.ends.push(ends...)
	l.mu.Unlock()
}

func (l *link) commit(b batch) {
	l.mu.Lock()
	l.flight.batches.push(b)
	l.mu.Unlock()
}
