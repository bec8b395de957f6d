package history

import (
	"errors"
	"slices"
	"time"

	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// track is one container's part of a scan.
type track struct {
	target Target
	past   *Past
	// end is the position behind the newest line of the first past.
	end record.Position
	// low and high bound what is to be read, at is how far that has been done;
	// begun is where the last piece began.
	low, high, at, begun jsonfile.Place
	// piece is how much is read next.
	piece int64
	// reached is the time up to which all is known.
	reached int64
	done    bool
	// until is the line before which what is wanted ends, where there is one.
	until *record.Position
	// lines are those that were read and not given yet, given the last of the
	// piece that was.
	lines    []Line
	given    record.Position
	hasGiven bool
}

// open opens a target's log and places its bounds.
func (s *Scan) open(target Target) (*track, error) {
	t := &track{target: target, piece: leastPiece, reached: minTime}
	if s.back {
		t.reached = maxTime
	}
	if err := t.enter(s, s.stretch(target.Container.ID), nil); err != nil {
		return nil, err
	}
	t.end = t.past.Position(t.high)
	return t, nil
}

// stretch returns what of a container's log the query can want.
func (s *Scan) stretch(id string) Stretch {
	of := func(c *Cursor) int64 {
		if c == nil {
			return 0
		}
		if place, known := c.Find(id); known {
			if at, timed := TimeOf(place.Position); timed {
				return at
			}
		}
		return c.Time
	}
	w := Stretch{Back: s.back}
	if since := max(s.query.Since, of(s.query.After)); since != 0 {
		w.Since = since - slack
	}
	w.Until = s.query.Until
	if before := of(s.query.Before); before != 0 && (w.Until == 0 || before < w.Until) {
		w.Until = before
	}
	if w.Until != 0 {
		w.Until += slack
	} else if s.back {
		w.Last = s.query.Last
	}
	return w
}

// enter opens a stretch of the log, which begins behind a line where one was read
// before.
func (t *track) enter(s *Scan, w Stretch, behind *record.Position) error {
	past, err := t.target.Open(w)
	if err != nil {
		return err
	}
	if t.past != nil {
		t.past.Close()
	}
	t.past, t.low, t.high, t.until = past, jsonfile.Place{}, past.End(), nil
	err = t.place(&s.query)
	if err == nil && behind != nil {
		var at jsonfile.Place
		at, _, err = past.Find(*behind)
		switch {
		case !s.back && t.low.Compare(at) < 0:
			t.low = at
		case s.back && at.Compare(t.high) <= 0:
			t.high, t.until = at, behind
		}
	}
	if err != nil {
		past.Close()
		return err
	}
	t.at = t.low
	if s.back {
		t.at = t.high
	}
	s.total += past.Distance(t.low, t.high)
	return nil
}

// further opens what lies behind a past that is partial, and reports whether there
// may be more.
func (t *track) further(s *Scan) (bool, error) {
	if !t.past.partial {
		return false, nil
	}
	w := s.stretch(t.target.Container.ID)
	w.Last = 0
	edge, known, err := t.past.edge(s.back)
	if err != nil {
		return false, err
	}
	if !known {
		return true, t.enter(s, w, nil)
	}
	at, _ := TimeOf(edge)
	if s.back {
		w.Until = at + slack
	} else {
		w.Since = at - slack
	}
	if err := t.enter(s, w, &edge); err != nil {
		return false, err
	}
	if next, known, err := t.past.edge(s.back); err != nil || t.past.partial && (!known || next == edge) {
		return false, errors.Join(err, errors.New("too many lines were written at once"))
	}
	return true, nil
}

// Times that are before and behind all others.
const (
	minTime = -1 << 63
	maxTime = 1<<63 - 1
)

// slack is by how much a line may be older than one before it: the engine takes
// the two streams by themselves.
const slack = int64(200 * time.Millisecond)

// place finds the bounds of what a query wants, beyond which there is nothing.
func (t *track) place(q *Query) error {
	narrow := func(bound *jsonfile.Place, at jsonfile.Place, err error, upper bool) error {
		if err == nil && upper == (at.Compare(*bound) < 0) {
			*bound = at
		}
		return err
	}
	if q.Since != 0 {
		at, err := t.past.At(q.Since - slack)
		if err := narrow(&t.low, at, err, false); err != nil {
			return err
		}
	}
	if q.Until != 0 {
		at, err := t.past.At(q.Until + slack)
		if err := narrow(&t.high, at, err, true); err != nil {
			return err
		}
	}
	id := t.target.Container.ID
	if q.Before != nil {
		at, line, err := t.locate(q.Before, id)
		t.until = line
		if err := narrow(&t.high, at, err, true); err != nil {
			return err
		}
	}
	if q.After != nil {
		at, _, err := t.locate(q.After, id)
		if err := narrow(&t.low, at, err, false); err != nil {
			return err
		}
	}
	return nil
}

// locate returns the place of a cursor in this container's log and, where the
// cursor names a line of it, that line's position.
func (t *track) locate(c *Cursor, id string) (jsonfile.Place, *record.Position, error) {
	place, known := c.Find(id)
	if !known {
		at, err := t.past.At(c.Time)
		return at, nil, err
	}
	at, found, err := t.past.Find(place.Position)
	switch {
	case !found && t.past.copied:
		at, err := t.past.At(c.Time)
		return at, nil, err
	case !found:
		// Its file was rotated away, with all before it.
		return t.past.Oldest(), nil, err
	case place.Line:
		return at, &place.Position, err
	}
	return at, nil, err
}

// bound returns the time that no further line of the track comes before.
func (t *track) bound(back bool) int64 {
	switch {
	case len(t.lines) == 0:
		return t.reached
	case back:
		return t.lines[len(t.lines)-1].Time
	}
	return t.lines[0].Time
}

// here returns the place at which a further scan goes on.
func (t *track) here(back bool) Place {
	p := Place{ID: Short(t.target.Container.ID)}
	switch {
	case len(t.lines) > 0 && t.hasGiven:
		p.Position, p.Line = t.given, true
	case len(t.lines) > 0 && back:
		p.Position = t.lines[len(t.lines)-1].After
	case len(t.lines) > 0:
		p.Position = t.past.Position(t.begun)
	case back && t.at == t.high && t.until != nil:
		p.Position, p.Line = *t.until, true
	case back && t.past.partial && t.at == t.past.Oldest():
		// There is more before the beginning of a copy.
		if edge, known, err := t.past.edge(true); known && err == nil {
			p.Position, p.Line = edge, true
		}
	default:
		p.Position = t.past.Position(t.at)
	}
	return p
}

// read reads the next piece and returns its length.
func (t *track) read(s *Scan) (int64, error) {
	var from, to jsonfile.Place
	var ok bool
	var err error
	if s.back {
		from, to, ok, err = t.past.Before(t.at, t.piece)
		if ok && to.Compare(t.low) <= 0 {
			ok = false
		}
		if ok && from.Compare(t.low) < 0 {
			from = t.low
		}
	} else {
		from, to, ok, err = t.past.After(t.at, t.high, t.piece)
	}
	if err == nil && !ok {
		if ok, err = t.further(s); ok {
			return 0, nil
		}
		t.done = err == nil
	}
	if err != nil || !ok {
		return 0, err
	}
	t.piece = min(2*t.piece, s.piece)
	chunk, err := t.past.Read(from, to, s.find)
	if err != nil {
		return 0, err
	}
	t.take(&s.query, chunk.Lines)
	t.hasGiven, t.begun = false, from
	t.at = to
	if s.back {
		t.at = from
	}
	switch {
	case chunk.First == 0:
	case s.back:
		t.reached = min(t.reached, chunk.First)
	default:
		t.reached = max(t.reached, chunk.Last)
	}
	return to.Off - from.Off, nil
}

// take keeps those lines that a query wants.
func (t *track) take(q *Query, lines []jsonfile.HistoryLine) {
	t.lines = t.lines[:0]
	for i := range lines {
		l := &lines[i]
		if t.until != nil && l.After == *t.until {
			break
		}
		line := Line{Container: t.target.Container, Record: l.Record, After: l.After}
		if q.Wants(&line) {
			t.lines = append(t.lines, line)
		}
	}
}

// Wants reports whether a query wants a line by all but cursors, and sets the
// line's level.
func (q *Query) Wants(l *Line) bool {
	switch {
	case q.Since != 0 && l.Time < q.Since, q.Until != 0 && l.Time > q.Until:
		return false
	case len(q.Streams) > 0 && !slices.Contains(q.Streams, l.Stream):
		return false
	}
	for _, m := range q.Match {
		if !m.Match(l.Line) {
			return false
		}
	}
	l.Level = level.Detect(l.Line)
	return l.Level >= q.Level
}
