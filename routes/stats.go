package routes

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector/record"
)

// Stats is a route's account. Its counters only grow.
type Stats struct {
	// Lines and Bytes were delivered, bytes without newlines and framing. A line
	// counts once however often it is sent, as do those filtered and dropped.
	// Where a destination takes a part of a batch, its bytes are estimated.
	Lines, Bytes atomic.Int64
	// Filtered counts lines that the route's filter left out.
	Filtered atomic.Int64
	// Retries counts how often the destination had to be tried again.
	Retries atomic.Int64
	// ReadErrors counts errors while reading logs for this route,
	// LostGenerations positions whose file had been rotated away.
	ReadErrors, LostGenerations atomic.Int64
	// LastDelivered is the engine's time of the newest line delivered, in
	// nanoseconds since the Unix epoch; 0 when there was none.
	LastDelivered atomic.Int64

	mu      sync.Mutex
	dropped map[string]int64 // by reason; guarded by mu
}

// drop counts lines given up and returns how many there are of the reason.
func (s *Stats) drop(reason string, lines int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped == nil {
		s.dropped = make(map[string]int64)
	}
	s.dropped[reason] += lines
	return s.dropped[reason]
}

// Dropped returns the lines given up, by reason.
func (s *Stats) Dropped() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.dropped)
}

// Lag is how far a route is behind its logs.
type Lag struct {
	// Bytes of the log files that are not delivered yet.
	Bytes int64
	// Age of the oldest line that was read and is not delivered; 0 when there
	// is none.
	Age time.Duration
	// Containers is how many logs the route reads.
	Containers int
	// Down says that the destination fails.
	Down bool
	// Problem is the last error, empty when not down.
	Problem string
}

// Lag measures the lag of now. It asks the file system for the size of each log.
func (r *Route) Lag() Lag {
	now := time.Now()
	r.mu.Lock()
	lag := Lag{Down: !r.down.IsZero()}
	if r.problem != nil {
		lag.Problem = r.problem.Error()
	}
	list := make([]*cursor, 0, len(r.cursors))
	oldest := int64(0)
	for _, c := range r.cursors {
		if c.reader != nil && !c.finished {
			list = append(list, c)
		}
		at := c.oldest
		if c.first != nil {
			at = c.first.oldest
		}
		if at != 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	r.mu.Unlock()
	lag.Containers = len(list)
	for _, c := range list {
		lag.Bytes += r.behind(c)
	}
	if oldest != 0 {
		lag.Age = max(now.Sub(time.Unix(0, oldest)), 0)
	}
	return lag
}

// behind returns how many bytes of a log are not delivered.
func (r *Route) behind(c *cursor) int64 {
	at := func() record.Position {
		r.mu.Lock()
		defer r.mu.Unlock()
		return c.delivered
	}
	// When the cursor moves on to another file meanwhile, the reader may have let
	// go of the one that was asked about.
	for before := at(); ; {
		bytes := c.reader.Lag(before)
		after := at()
		if after.Gen.Inode == before.Gen.Inode {
			return bytes
		}
		before = after
	}
}
