// Package history reads the past of containers' logs: by time, by count from
// the end, from a cursor, in either direction, searched, and several of them
// merged by time.
package history

import (
	"fmt"
	"time"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// Target is a container whose past is read.
type Target struct {
	Container *record.Container
	// Open opens the past of its log, of which at least the stretch is wanted.
	Open func(Stretch) (*Past, error)
}

// Query says which lines are wanted. The zero value wants all.
type Query struct {
	// Since and Until bound the time, in nanoseconds since the Unix epoch, both
	// inclusive; 0 stands for no bound.
	Since, Until int64
	// Before and After are the cursors between which the lines lie; nil for none.
	Before, After *Cursor
	// Streams are the streams wanted, all where there is none.
	Streams []record.Stream
	// Level is how grave a line has to be at least; level.Unknown wants all.
	Level level.Level
	// Last says that so many lines from the end will do for now, which spares an
	// engine that copies logs; 0 for no such hint.
	Last int
	// Match are what is searched for: a line has to match all of them.
	Match []*Matcher
}

// Line is one line of a Scan.
type Line struct {
	Container *record.Container
	record.Record
	Level level.Level
	// After is the position behind the line, which names it.
	After record.Position
}

// Cursor returns the line's own cursor.
func (l *Line) Cursor() Cursor {
	return Cursor{Time: l.Time, Places: []Place{{Short(l.Container.ID), l.After, true}}}
}

// The memory of a Scan: scanMemory is shared by the pieces of its containers,
// each of which is from leastPiece to mostPiece.
const (
	scanMemory = 8 << 20
	leastPiece = 64 << 10
	mostPiece  = 1 << 20
)

// Scan goes through the lines of several containers in the order of time,
// forwards or backwards. A line that is older than one that its own container
// has given before keeps its place behind it. It is used by one goroutine.
type Scan struct {
	query   Query
	find    func([]byte) int
	back    bool
	piece   int64
	tracks  []*track
	line    Line
	scanned int64
	total   int64
	begun   time.Time
}

// NewScan opens the logs of targets. Those whose container is gone meanwhile are
// left out. The caller closes the scan.
func NewScan(targets []Target, q Query, back bool) (*Scan, error) {
	s := &Scan{query: q, back: back, begun: time.Now()}
	for _, m := range q.Match {
		if s.find == nil {
			s.find = m.prefilter()
		}
	}
	s.piece = max(leastPiece, min(mostPiece, scanMemory/int64(max(1, len(targets)))))
	for _, target := range targets {
		t, err := s.open(target)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("reading the past of container %s: %w", target.Container.Name, err)
		}
		s.tracks = append(s.tracks, t)
	}
	return s, nil
}

// Close closes the logs.
func (s *Scan) Close() {
	for _, t := range s.tracks {
		t.past.Close()
	}
	s.tracks = nil
}

// Back reports whether the scan goes backwards.
func (s *Scan) Back() bool { return s.back }

// Begun returns when the scan was made: what was written later it may not give.
func (s *Scan) Begun() time.Time { return s.begun }

// Scanned returns how many bytes of the logs have been gone through, and Total
// how many there are between the bounds.
func (s *Scan) Scanned() int64 { return s.scanned }

// Total is told with Scanned.
func (s *Scan) Total() int64 { return s.total }

// Step goes on by a line, or by a piece of one log. line is nil where no line is
// known yet to be the next; it is valid until the next Step. done says that
// there is nothing more.
func (s *Scan) Step() (line *Line, done bool, err error) {
	t := s.next()
	if t == nil {
		return nil, true, nil
	}
	if len(t.lines) == 0 {
		n, err := t.read(s)
		s.scanned += n
		if err != nil {
			return nil, false, fmt.Errorf("reading the past of container %s: %w", t.target.Container.Name, err)
		}
		return nil, false, nil
	}
	i := 0
	if s.back {
		i = len(t.lines) - 1
	}
	s.line = t.lines[i]
	if s.back {
		t.lines = t.lines[:i]
	} else {
		t.lines = t.lines[1:]
	}
	t.given, t.hasGiven = s.line.After, true
	return &s.line, false, nil
}

// next returns the track whose next line comes first, as far as that is known.
func (s *Scan) next() *track {
	var first *track
	for _, t := range s.tracks {
		if t.done && len(t.lines) == 0 {
			continue
		}
		if first == nil || s.comesFirst(t, first) {
			first = t
		}
	}
	return first
}

// comesFirst reports whether the next of t comes before that of u. At the same
// time a track that does not know its next line goes first, so that it is read.
func (s *Scan) comesFirst(t, u *track) bool {
	a, b := t.bound(s.back), u.bound(s.back)
	if a != b {
		return s.back == (a > b)
	}
	if unknown := len(t.lines) == 0; unknown != (len(u.lines) == 0) {
		return unknown
	}
	return s.back == (t.target.Container.ID > u.target.Container.ID)
}

// Here returns the cursor behind what Step has given: where a further scan in the
// same direction goes on.
func (s *Scan) Here() Cursor {
	var c Cursor
	for _, t := range s.tracks {
		c.Places = append(c.Places, t.here(s.back))
	}
	c.Time = s.line.Time
	return c
}

// End returns the cursor behind the newest line that the scan can give, also
// before it has: where what is written later begins.
func (s *Scan) End() Cursor {
	c := Cursor{Time: s.query.Until}
	if c.Time == 0 {
		c.Time = s.begun.UnixNano()
	}
	for _, t := range s.tracks {
		c.Set(t.target.Container.ID, t.end)
	}
	return c
}
