package api

import (
	"context"
	"math"
	"net/http"

	"tallyman/collector/history"
	"tallyman/collector/record"
)

// pastQuery is what a stream begins with.
type pastQuery struct {
	history.Query
	// tail is how many of the last lines are wanted, math.MaxInt for all.
	tail int
}

// sendPast sends the lines that have been written, merged by time, and places the
// cursor behind them. begin is called when there is nothing more that could be
// refused.
func (s *logStream) sendPast(ctx context.Context, list []*record.Container, past *pastQuery, begin func()) error {
	turns := s.api.long
	if lastOf(&past.Query, past.tail) > 0 {
		turns = s.api.scans // It is no more than a page.
	}
	if past.tail < math.MaxInt {
		if err := s.api.fromTail(ctx, turns, list, &past.Query, past.tail); err != nil {
			return err
		}
	}
	scan, done, err := s.api.look(ctx, turns, list, past.Query, false)
	if err != nil {
		return err
	}
	defer done()
	begin()
	g := s.api.gathering()
	defer s.api.gatherings.Put(g)
	s.cursor = scan.Here()
	err = s.sendScan(scan, g, func(line *history.Line) {
		s.cursor.Time = line.Time
		s.cursor.Set(line.Container.ID, line.After)
	}, nil)
	if err == nil {
		s.cursor = scan.Here()
		s.cursor.Time = scan.Begun().UnixNano()
		s.put(g)
		if s.query.Until != 0 {
			s.event("end", struct{}{})
		}
		err = s.out.flush()
	}
	if err != nil {
		s.api.Logger.Debug("a client has left before it had the past", "error", err)
		// The answer has begun: breaking it off is all that can be told.
		panic(http.ErrAbortHandler)
	}
	s.out.buf = nil
	return nil
}

// sendScan sends the lines of a scan, all or those that wants picks, but for the
// last that are gathered. seen is told of every line.
func (s *logStream) sendScan(scan *history.Scan, g *gathering, seen func(*history.Line), wants func(*history.Line) bool) error {
	for {
		line, end, err := scan.Step()
		if err != nil || end {
			return err
		}
		if line != nil {
			seen(line)
			if wants == nil || wants(line) {
				g.add(s.format, line)
			}
		}
		if len(g.pieces) == BatchLines || len(g.text) > sendBytes {
			s.put(g)
		}
		if err := s.out.step(false); err != nil {
			return err
		}
	}
}
