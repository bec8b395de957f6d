package routes

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what happens to a route besides its lines. The counters only grow.
type Stats struct {
	// Retries counts how often the destination had to be tried again.
	Retries atomic.Int64
	// ReadErrors counts errors while reading logs for this route.
	ReadErrors atomic.Int64
	// LastDelivered is the engine's time of the newest line delivered, in
	// nanoseconds since the Unix epoch; 0 when there was none.
	LastDelivered atomic.Int64

	// mu guards all below.
	mu     sync.Mutex
	events map[string]int64 // what the adapter counts, by event
}

// count counts what happened to lines that were delivered all the same.
func (s *Stats) count(event string, lines int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		s.events = make(map[string]int64)
	}
	s.events[event] += lines
}

// Events returns what happened to lines that were delivered all the same, such
// as "cut".
func (s *Stats) Events() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.events)
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
	// When the cursor moves on to another file meanwhile, the reader may have let
	// go of the one that was asked about.
	for before := r.placeOf(c); ; {
		bytes := c.reader.Lag(before)
		after := r.placeOf(c)
		if after.Gen.Inode == before.Gen.Inode {
			return bytes
		}
		before = after
	}
}
