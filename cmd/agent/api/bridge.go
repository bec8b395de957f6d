package api

import (
	"context"
	"time"

	"tallyman/collector/apilog"
	"tallyman/collector/history"
	"tallyman/collector/record"
)

// bridge leads a client from where it stands in a log to the place from which the
// log is copied for those who follow it. What lies between is asked of the engine
// once the copy has begun, so that nothing is missing; what both have is left out
// of the copy. Positions of such a log are times.
type bridge struct {
	log *apilog.Log
	// from is where the client stands.
	from history.Cursor
	done bool
	// last is the newest time of a line that the engine gave. seen are the lines
	// from the time since on, older those before them for bridgeSlack at least.
	last, since int64
	seen, older map[record.Position]bool
}

// bridgeSlack is by how much a line may be older than one before it.
const bridgeSlack = int64(200 * time.Millisecond)

// newBridge returns a bridge from a cursor's place in a log or, without one, from
// its time; from the beginning of the log unless past is set.
func newBridge(log *apilog.Log, cursor *history.Cursor, past bool) *bridge {
	b := &bridge{log: log}
	if past {
		b.from.Time = cursor.Time
	}
	place, known := cursor.Find(log.Container().ID)
	if _, timed := history.TimeOf(place.Position); known && timed {
		b.from.Places = []history.Place{place}
	}
	return b
}

// has reports whether a line of the copy came over the bridge.
func (b *bridge) has(l *history.Line) bool {
	return l.Time < b.last-bridgeSlack || b.seen[l.After] || b.older[l.After]
}

// pass takes in a line that goes over the bridge.
func (b *bridge) pass(l *history.Line) {
	b.last = max(b.last, l.Time)
	if b.seen == nil || b.last > b.since+bridgeSlack {
		b.older, b.seen, b.since = b.seen, make(map[record.Position]bool), b.last
	}
	b.seen[l.After] = true
}

// crossAll sends what lies between a client's places and the copies that have begun
// since, and reports whether there were any.
func (s *logStream) crossAll(ctx context.Context) (crossed bool, err error) {
	for _, f := range s.followers {
		if f.bridge == nil || f.bridge.done {
			continue
		}
		g := s.api.gathering()
		err := s.cross(ctx, f, g)
		s.put(g)
		s.api.gatherings.Put(g)
		if err != nil {
			return false, err
		}
		crossed = crossed || f.bridge.done
		s.pending = s.pending || !f.bridge.done
	}
	return crossed, nil
}

// cross sends what lies between a follower's place and its copy, if the copy has
// begun.
func (s *logStream) cross(ctx context.Context, f *follower, g *gathering) error {
	b := f.bridge
	if !b.log.Begun() {
		return nil
	}
	scan, done, err := s.api.look(ctx, s.api.scans, []*record.Container{f.container}, history.Query{After: &b.from}, false)
	if err != nil {
		return err
	}
	defer done()
	err = s.sendScan(scan, g, func(line *history.Line) {
		b.pass(line)
		s.cursor.Set(f.container.ID, line.After)
	}, s.query.Wants)
	b.done = err == nil
	return err
}
