package relp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// writeChunk is how much the server has to take within each WriteTimeout.
const writeChunk = 64 << 10

// goodbyeTime bounds the wait for the response to "close". All is settled by
// then, so it is only manners.
const goodbyeTime = time.Second

// session is one connection from its dial to its end: it is never mended, a
// Client makes a new one. The caller's goroutine writes; the session's own reads
// the responses.
//
// Messages are numbered from 0; txnr makes the protocol's number of one.
type session struct {
	config *Config
	// raw is the socket, conn what is read and written: the socket or TLS over
	// it.
	raw  *net.TCPConn
	conn net.Conn
	// running counts the reader.
	running sync.WaitGroup
	// dead is closed when the session breaks.
	dead chan struct{}
	// progress has an item when a response has come since it was last empty.
	progress chan struct{}

	mu sync.Mutex
	// All below is guarded by mu. window is a ring of the messages from front,
	// the oldest that is not settled, to next; waiting is how many of them
	// have no response. frontBytes and nextBytes count the bytes of all
	// messages before those.
	window                []slot
	front, next           uint64
	frontBytes, nextBytes uint64
	waiting               int
	// lost says that a batch failed, not only the session.
	lost bool
	// accepted says that the server has taken a message of this session.
	accepted bool
	// goodbye is the number of the "close", 0 before it is sent.
	goodbye uint32
	batches []batch
	err     error
	// settling says that a goroutine is calling done functions, so that no
	// other does and they are called in order.
	settling bool
}

// slot is a message that was written.
type slot struct {
	size  uint32
	state state
	// text is the server's word on a message that it refused.
	text string
}

type state uint8

const (
	waiting state = iota
	taken
	refused
)

// txnr returns the transaction number of a message. The opening has number 1.
func txnr(seq uint64) uint32 { return uint32((seq+1)%maxTxnr) + 1 }

// broken returns why the session is broken, nil while it is not.
func (s *session) broken() error {
	select {
	case <-s.dead:
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fail breaks the session, unless it is broken already, and settles all batches
// that are committed.
func (s *session) fail(err error) {
	s.mu.Lock()
	first := s.err == nil
	if first {
		s.err = err
		close(s.dead)
	}
	s.mu.Unlock()
	if first {
		// The socket's and not TLS's Close, which would wait to say goodbye.
		_ = s.raw.Close()
	}
	s.settle()
}

// begin opens a batch whose first message is seq.
func (s *session) begin(seq uint64) {
	s.mu.Lock()
	s.batches = append(s.batches, batch{first: seq})
	s.mu.Unlock()
}

// commit ends the newest batch; end is the number behind its last message.
func (s *session) commit(end uint64, done func(error)) {
	s.mu.Lock()
	b := &s.batches[len(s.batches)-1]
	b.end, b.done = end, done
	s.mu.Unlock()
	s.settle()
}

// reserve waits for room in the window, then enters messages that end at ends of
// the buffer to be written.
func (s *session) reserve(ctx context.Context, ends []uint32) error {
	bytes := uint64(ends[len(ends)-1])
	for {
		s.mu.Lock()
		free := len(s.window) - int(s.next-s.front)
		inFlight := s.nextBytes - s.frontBytes
		if err := s.err; err != nil {
			s.mu.Unlock()
			return err
		}
		if len(ends) <= free && (inFlight == 0 || inFlight+bytes <= uint64(s.config.Limits.InFlight)) {
			break
		}
		s.mu.Unlock()
		select {
		case <-s.progress:
		case <-s.dead:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer s.mu.Unlock()
	start := uint32(0)
	for _, end := range ends {
		*s.at(s.next) = slot{size: end - start}
		start = end
		s.next++
	}
	s.nextBytes += bytes
	if s.waiting == 0 {
		s.expect()
	}
	s.waiting += len(ends)
	return nil
}

// at returns the slot of a message.
func (s *session) at(seq uint64) *slot { return &s.window[seq%uint64(len(s.window))] }

// expect gives the next response its deadline. An error says that the connection
// is closed, which the reader finds out.
func (s *session) expect() { _ = s.conn.SetReadDeadline(time.Now().Add(s.config.Limits.AckTimeout)) }

// write hands p to the kernel.
func (s *session) write(ctx context.Context, p []byte) error {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.conn.SetWriteDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	defer func() {
		if !stop() {
			<-interrupted
		}
	}()
	for len(p) > 0 {
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.config.Limits.WriteTimeout)); err != nil {
			return fmt.Errorf("writing to %q: %w", s.config.Address, err)
		}
		// Looked at behind the new deadline, which may have replaced that of
		// the interruption.
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := s.conn.Write(p[:min(len(p), writeChunk)])
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if broken := s.broken(); broken != nil {
				return broken
			}
			return fmt.Errorf("writing to %q: %w", s.config.Address, err)
		}
		p = p[n:]
	}
	return nil
}

// unanswered returns how many messages wait for their response.
func (s *session) unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// drain waits until every message is settled.
func (s *session) drain(ctx context.Context) error {
	for {
		s.mu.Lock()
		settled := s.front == s.next
		s.mu.Unlock()
		if settled {
			return nil
		}
		select {
		case <-s.progress:
		case <-s.dead:
			return s.broken()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sayGoodbye closes the session as the protocol has it. All is settled, so what
// becomes of it does not matter.
func (s *session) sayGoodbye(ctx context.Context, number uint32) {
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	s.mu.Lock()
	s.goodbye = number
	s.mu.Unlock()
	if s.write(ctx, appendFrame(nil, number, commandClose, nil)) != nil {
		return
	}
	select {
	case <-s.dead:
	case <-ctx.Done():
	}
	if secure, ok := s.conn.(*tls.Conn); ok {
		_ = secure.SetWriteDeadline(time.Now().Add(goodbyeTime))
		_ = secure.CloseWrite()
	}
}

// timeout is the error of a server that does not respond.
func (s *session) timeout() error {
	return fmt.Errorf("waiting for %q to respond to %d messages: %w",
		s.config.Address, s.unanswered(), os.ErrDeadlineExceeded)
}
