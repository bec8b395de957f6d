package routes

import (
	"time"

	"tallyman/collector/record"
)

// This file is about what a cursor's stages hold in memory between two batches:
// messages that may go on, and the number of lines held back. What is lost with
// it is read again, since the position stays before it.

// pending reports whether anything waits.
func (s *stages) pending() bool {
	_, ok := s.deadline()
	return ok
}

// deadline returns when the first of what waits has waited long enough.
func (s *stages) deadline() (first time.Time, ok bool) {
	earlier := func(at time.Time) {
		if !ok || at.Before(first) {
			first, ok = at, true
		}
	}
	for i := range s.messages {
		if g := &s.messages[i]; g.Lines() > 0 {
			earlier(g.read.Add(s.multiline.Wait))
		}
	}
	if s.heldBack > 0 {
		earlier(s.told.Add(noticeEvery))
	}
	return first, ok
}

// release puts into an empty batch what has waited long enough, or with all of it
// everything, and reports whether anything has.
func (s *stages) release(b *record.Batch, m *manifest, all bool) bool {
	now := time.Now()
	if first, ok := s.deadline(); !ok || !all && now.Before(first) {
		return false
	}
	s.begin(b, m)
	for i := range s.messages {
		if g := &s.messages[i]; g.Lines() > 0 && (all || !now.Before(g.read.Add(s.multiline.Wait))) {
			m.oldest, m.newest = g.Time, g.Last
			s.complete(record.Stream(i))
		}
	}
	if s.heldBack > 0 && (all || !now.Before(s.told.Add(noticeEvery))) {
		m.newest = s.last
		s.notice()
	}
	s.end(b)
	return true
}

// hold notes that a flight has lines of messages that are not complete, and copies
// them.
func (s *stages) hold(f *flight) {
	for i := range s.messages {
		g := &s.messages[i]
		if len(g.own) == 0 {
			continue
		}
		part := carry{flight: f}
		for _, place := range g.own {
			part.count.Add(record.Count{Lines: 1, Bytes: int64(f.lengths[place])})
		}
		g.own = g.own[:0]
		g.carried = append(g.carried, part)
		g.Keep()
	}
}

// recall forgets what waits, which will be read again.
func (s *stages) recall(before limiter) {
	for i := range s.messages {
		s.messages[i].forget()
	}
	s.limiter = before
}

// arm has wake called when the first of what waits has waited long enough.
func (s *stages) arm(wake func()) {
	first, ok := s.deadline()
	if !ok {
		return
	}
	// One timer a cursor, however often a change of the log has it read.
	if s.timer == nil {
		s.timer = time.AfterFunc(time.Until(first), wake)
	} else {
		s.timer.Reset(time.Until(first))
	}
}

func (s *stages) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}
