package relp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tallyman/adapters"
)

// reasonRefused is the reason of a message that the server will not have.
const reasonRefused = "refused"

// readBuffer is longer than the longest frame that is taken.
const readBuffer = 2 * maxData

// read takes frames until the session ends. The first n bytes of buf, which is
// of readBuffer bytes, have come already.
func (s *session) read(buf []byte, n int) {
	for {
		used, err := s.take(buf[:n])
		if err != nil {
			if !errors.Is(err, errGoodbye) {
				err = fmt.Errorf("reading from %q: %w", s.config.Address, err)
			}
			s.fail(err)
			return
		}
		s.settle()
		n = copy(buf, buf[used:n])
		m, err := s.conn.Read(buf[n:])
		if n += m; m > 0 {
			continue
		}
		switch {
		case errors.Is(err, io.EOF):
			err = fmt.Errorf("reading from %q: the server closed the connection", s.config.Address)
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = s.timeout()
		case err != nil:
			err = fmt.Errorf("reading from %q: %w", s.config.Address, err)
		default:
			continue
		}
		s.fail(err)
		return
	}
}

// take handles the complete frames in p and returns their length.
func (s *session) take(p []byte) (used int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.waiting
	for err == nil && used < len(p) {
		f, length, parseErr := parseFrame(p[used:])
		if parseErr != nil {
			err = parseErr
		}
		if length == 0 {
			break
		}
		used += length
		err = s.handle(&f)
	}
	s.advance()
	if before == s.waiting {
		return used, err
	}
	if s.waiting > 0 {
		s.expect()
	} else {
		_ = s.conn.SetReadDeadline(time.Time{}) // As in expect.
		if err == nil && s.front < s.next {
			err = fmt.Errorf("the server takes nothing: %s", s.at(s.front).text)
		}
	}
	select {
	case s.progress <- struct{}{}:
	default:
	}
	return used, err
}

// handle takes note of one frame.
func (s *session) handle(f *frame) error {
	switch string(f.command) {
	case commandResponse:
		if f.txnr == s.goodbye && f.txnr != 0 {
			return errGoodbye
		}
		return s.respond(f)
	case commandServerClose:
		return errors.New("the server closed the session")
	default:
		return fmt.Errorf("the server sent the unknown command %q", f.command)
	}
}

// respond enters the response to a message. Responses may come in any order.
func (s *session) respond(f *frame) error {
	// Both numbers go round, so their distance is what counts.
	ahead := (uint64(f.txnr) + maxTxnr - uint64(txnr(s.front))) % maxTxnr
	if f.txnr == 0 || ahead >= s.next-s.front {
		return fmt.Errorf("the server responded to number %d, which does not wait", f.txnr)
	}
	m := s.at(s.front + ahead)
	if m.state != waiting {
		return fmt.Errorf("the server responded to number %d twice", f.txnr)
	}
	r, err := parseResponse(f.data)
	if err != nil {
		return err
	}
	s.waiting--
	if r.code == codeOK {
		m.state, s.accepted = taken, true
		return nil
	}
	m.state, m.text = refused, fmt.Sprintf("%d %q", r.code, short(r.text))
	return nil
}

// advance settles the messages at the front that have their response. A refusal
// is final only when the server has taken another message of the session: until
// then it may be that the server takes none, and nothing is to be lost by that.
func (s *session) advance() {
	for s.front < s.next {
		m := s.at(s.front)
		if m.state == waiting || m.state == refused && !s.accepted {
			return
		}
		if m.state == refused {
			s.reject(m.text)
			m.text = ""
		}
		s.frontBytes += uint64(m.size)
		s.front++
	}
}

// reject notes that the message at the front is given up.
func (s *session) reject(text string) {
	for i := range s.batches {
		b := &s.batches[i]
		if b.done == nil || s.front < b.end {
			b.rejects = append(b.rejects, adapters.Reject{
				Index: int(s.front - b.first), Reason: reasonRefused,
				Err: fmt.Errorf("the server refused the message: %s", text),
			})
			return
		}
	}
}
