package api

import (
	"context"
	"net/http"
	"time"
)

// The bounds of what is gathered for a client, and of how long it may take to
// read it.
const (
	sendBytes   = 64 << 10
	sendTimeout = 10 * time.Second
	// sendEvery is how long something may wait to be sent.
	sendEvery = 100 * time.Millisecond
	// answerTimeout is how long a client may take to read an answer that is sent
	// as a whole.
	answerTimeout = 2 * time.Minute
)

// sender gathers what a client is sent. It is used by one goroutine.
type sender struct {
	ctx     context.Context
	w       http.ResponseWriter
	control *http.ResponseController
	buf     []byte
	sent    time.Time
}

func newSender(ctx context.Context, w http.ResponseWriter) *sender {
	return &sender{ctx: ctx, w: w, control: http.NewResponseController(w)}
}

// Write gathers p.
func (s *sender) Write(p []byte) (int, error) {
	s.buf = append(s.buf, p...)
	return len(p), nil
}

// step sends what was gathered when it is much or has waited for long, or now is
// set and nothing was sent just before. It fails when the client has gone.
func (s *sender) step(now bool) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if len(s.buf) < sendBytes && (len(s.buf) == 0 || !now && time.Since(s.sent) < sendEvery) {
		return nil
	}
	return s.flush()
}

// flush sends what was gathered.
func (s *sender) flush() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	s.sent = time.Now()
	if _, err := s.w.Write(s.buf); err != nil {
		return err
	}
	s.buf = s.buf[:0]
	if err := s.control.Flush(); err != nil {
		return err
	}
	// Over HTTP/2 a deadline that passes ends the stream even while nothing is
	// written (net/http, http2stream.onWriteTimeout).
	return s.control.SetWriteDeadline(time.Time{})
}
