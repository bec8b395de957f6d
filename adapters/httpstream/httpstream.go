// Package httpstream writes lines to a client that watches them over HTTP. It is
// made for one request and is not in the list of adapters that a route may name.
package httpstream

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

const (
	// maxPending bounds what waits for a client in bytes. What comes on top is
	// left out and counted, so that a slow client slows nobody.
	maxPending = 1 << 20
	// gather is the pause between two writes: the first line after a pause is
	// written at once, and a flood in a few large chunks.
	gather = 50 * time.Millisecond
	// writeTimeout ends the connection of a client that reads nothing at all.
	writeTimeout = 30 * time.Second
)

// Stream is an Adapter that writes to one HTTP client.
type Stream struct {
	format Format
	wake   chan struct{}

	// mu guards all below.
	mu      sync.Mutex
	pending []byte
	lost    int64
	closed  bool
}

var _ adapters.Adapter = (*Stream)(nil)

// New returns a stream that writes lines in a format.
func New(format Format) *Stream {
	return &Stream{format: format, wake: make(chan struct{}, 1)}
}

// Send takes what the client has room for. Nothing is ever sent again: a line
// counts as settled when it was taken or was left out.
func (s *Stream) Send(_ context.Context, b *record.Batch, done func(error)) {
	s.mu.Lock()
	for i := range b.Records {
		if len(s.pending) > maxPending {
			s.lost += int64(len(b.Records) - i)
			break
		}
		s.pending = s.format.AppendRecord(s.pending, b.Container, &b.Records[i])
	}
	s.mu.Unlock()
	s.signal()
	done(nil)
}

// Flush does nothing: Serve writes what is there.
func (s *Stream) Flush(context.Context) {}

// Close ends Serve.
func (s *Stream) Close(context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
	return nil
}

func (s *Stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Serve writes to the client until ctx ends, the stream is closed or the client
// goes away, whose error it returns. The headers go out at once.
func (s *Stream) Serve(ctx context.Context, w http.ResponseWriter) error {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", s.format.ContentType())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// A proxy that gathers lines would spoil a live view.
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if err := control.Flush(); err != nil {
		return fmt.Errorf("sending the headers: %w", err)
	}
	return s.pump(ctx, func(chunk []byte) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return fmt.Errorf("setting the deadline of a write: %w", err)
		}
		if _, err := w.Write(chunk); err != nil {
			return fmt.Errorf("writing to the client: %w", err)
		}
		if err := control.Flush(); err != nil {
			return fmt.Errorf("writing to the client: %w", err)
		}
		// Over HTTP/2 a deadline that passes ends the stream even while nothing is
		// written (net/http, http2stream.onWriteTimeout).
		return control.SetWriteDeadline(time.Time{})
	})
}

// pump writes what comes until ctx ends, the stream is closed or write fails.
func (s *Stream) pump(ctx context.Context, write func(chunk []byte) error) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	var chunk []byte
	for {
		chunk = s.take(chunk)
		if len(chunk) > 0 {
			if err := write(chunk); err != nil {
				return err
			}
			pause.Reset(gather)
			select {
			case <-ctx.Done():
				return nil
			case <-pause.C:
			}
			continue
		}
		if s.isClosed() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
	}
}

// take returns what is pending and leaves used in its place.
func (s *Stream) take(used []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	chunk := s.pending
	s.pending = used[:0]
	if s.lost > 0 {
		chunk = s.format.AppendLost(chunk, s.lost)
		s.lost = 0
	}
	return chunk
}

func (s *Stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed && len(s.pending) == 0
}
