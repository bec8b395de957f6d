// Package oracle knows which lines were written and says exactly which of them
// arrived: what is missing, what came twice, what came out of order, and how
// late. Tests and the bench use it in the place of a log server.
package oracle

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// maxSamples is how many lines without a mark are kept, and maxSample how much
// of each.
const (
	maxSamples = 5
	maxSample  = 200
)

// Config says what a sink is.
type Config struct {
	// Network is "tcp", with a line feed after each line, or "udp", with one or
	// more lines a datagram. Empty for a sink that is only fed.
	Network string
	// Address is where to listen; a free port of the loopback interface when
	// empty.
	Address string
	// CountOnly counts lines without looking at them, for the highest speed.
	CountOnly bool
	// From and Until bound the times of lines, in nanoseconds since the Unix
	// epoch, whose delay is measured: From is the first, Until the first that is
	// too late. Zero is no bound.
	From, Until int64
}

// Sink receives lines. Its methods may be called from any goroutine.
type Sink struct {
	config Config
	port   *port

	mu sync.Mutex
	// arrived is signalled after each block of lines.
	arrived *sync.Cond
	// All below is guarded by mu.
	lines, bytes     int64
	accepted, torn   int64
	unmarked         int64
	samples          []string
	first, last      time.Time
	delays           histogram
	ledgers          map[string]*ledger
	recent           *ledger
	recentName       []byte
	closed           bool
	expectationCount int
}

// New returns a sink, which listens when the configuration names a network. It
// is to be closed.
func New(c Config) (*Sink, error) {
	s := &Sink{config: c, ledgers: map[string]*ledger{}}
	s.arrived = sync.NewCond(&s.mu)
	if c.Network == "" {
		return s, nil
	}
	port, err := listen(s, c)
	if err != nil {
		return nil, fmt.Errorf("opening a sink: %w", err)
	}
	s.port = port
	return s, nil
}

// Expect says that the last line of a source has the given number, so that lines
// lost at the end are noticed.
func (s *Sink) Expect(name, run string, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgerLocked([]byte(name + " run=" + run))
	if l.expected == 0 {
		s.expectationCount++
	}
	l.expected = last
	s.arrived.Broadcast()
}

// Feed takes one line, with or without its line feed, as if it had been
// received.
func (s *Sink) Feed(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(len(line))
	s.lineLocked(bytes.TrimSuffix(line, []byte{'\n'}), s.last.UnixNano())
	s.arrived.Broadcast()
}

// Lines returns how many lines have come.
func (s *Sink) Lines() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines
}

// WaitLines waits until so many lines have come, repetitions included. The error
// says what has come instead.
func (s *Sink) WaitLines(ctx context.Context, n int64) error {
	return s.wait(ctx, func() bool { return s.lines >= n })
}

// WaitComplete waits until every expected line of every source has come. The
// error says what has come instead.
func (s *Sink) WaitComplete(ctx context.Context) error {
	return s.wait(ctx, func() bool {
		for _, l := range s.ledgers {
			// The counters come first: counting bits for each block would cost
			// more than receiving it.
			if l.expected > 0 && (l.distinct < l.expected || l.missing() > 0) {
				return false
			}
		}
		return s.expectationCount > 0
	})
}

// wait waits until done, which is called with mu held, is true.
func (s *Sink) wait(ctx context.Context, done func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.arrived.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	for !done() {
		if ctx.Err() != nil || s.closed {
			s.mu.Unlock()
			return fmt.Errorf("waiting for lines: they did not all come: %s", s.Report())
		}
		s.arrived.Wait()
	}
	s.mu.Unlock()
	return nil
}

// take notes a block of bytes that has come from one connection and returns the
// start of a line at its end, which is to come again with what follows it.
func (s *Sink) take(block []byte, fresh int) (rest []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(fresh)
	if s.config.CountOnly {
		s.lines += int64(bytes.Count(block, []byte{'\n'}))
		rest = block[bytes.LastIndexByte(block, '\n')+1:]
	} else {
		now := s.last.UnixNano()
		for {
			end := bytes.IndexByte(block, '\n')
			if end < 0 {
				break
			}
			s.lineLocked(block[:end], now)
			block = block[end+1:]
		}
		rest = block
	}
	s.arrived.Broadcast()
	return rest
}

func (s *Sink) noteLocked(bytes int) {
	s.last = time.Now()
	if s.first.IsZero() {
		s.first = s.last
	}
	s.bytes += int64(bytes)
}

func (s *Sink) lineLocked(line []byte, now int64) {
	s.lines++
	if s.config.CountOnly {
		return
	}
	m, ok := ParseMark(line)
	if !ok || m.Seq > maxSeq {
		s.unmarked++
		if len(s.samples) < maxSamples {
			s.samples = append(s.samples, string(line[:min(len(line), maxSample)]))
		}
		return
	}
	s.ledgerLocked(m.Source).add(m.Seq, m.Stream)
	if m.Time > 0 && m.Time >= s.config.From && (s.config.Until == 0 || m.Time < s.config.Until) {
		s.delays.add(time.Duration(now - m.Time))
	}
}

// ledgerLocked finds the ledger of a source. Lines of one source mostly come
// together.
func (s *Sink) ledgerLocked(source []byte) *ledger {
	if s.recent != nil && bytes.Equal(source, s.recentName) {
		return s.recent
	}
	l, ok := s.ledgers[string(source)]
	if !ok {
		l = &ledger{}
		s.ledgers[string(source)] = l
	}
	s.recent, s.recentName = l, append(s.recentName[:0], source...)
	return l
}
