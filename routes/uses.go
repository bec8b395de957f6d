package routes

import (
	"sync"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// logUse counts the lines of one container's log, for all routes that read it:
// whoever reads a line first counts it. It is safe for concurrent use.
type logUse struct {
	mu      sync.Mutex // guards streams
	streams [record.Streams]streamUse
}

// newLogUse returns one that has counted nothing. levels says that the levels of
// lines are counted too.
func newLogUse(levels bool) *logUse {
	u := new(logUse)
	for i := range u.streams {
		if levels {
			u.streams[i].levels = new([level.Emergency + 1]int64)
		}
	}
	return u
}

// streamUse is what is known of one stream.
type streamUse struct {
	record.Count
	// newest is the time of the newest line that was counted. The engine stamps
	// the lines of a stream one after the other, so that one that is not newer was
	// counted already: another route has read it, or it is read again to be sent
	// again. When the engine's clock is set back, lines are not counted until it
	// is where it was.
	newest int64
	// levels are the lines of each level, nil where they are not counted.
	levels *[level.Emergency + 1]int64
}

// add counts a batch. The memory of the batch is not kept.
func (u *logUse) add(b *record.Batch) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range b.Records {
		line := &b.Records[i]
		s := &u.streams[line.Stream]
		if line.Time <= s.newest {
			continue
		}
		s.newest = line.Time
		s.Lines++
		s.Bytes += int64(len(line.Line))
		if s.levels != nil {
			s.levels[level.Detect(line.Line)]++
		}
	}
}

// snapshot returns the counts.
func (u *logUse) snapshot() record.LogUse {
	u.mu.Lock()
	defer u.mu.Unlock()
	var use record.LogUse
	for i := range u.streams {
		s := &u.streams[i]
		use[i] = record.StreamUse{Count: s.Count, Newest: s.newest}
		if s.levels == nil {
			continue
		}
		for l, lines := range s.levels {
			if lines > 0 {
				use[i].Levels = append(use[i].Levels, record.LevelCount{Level: level.Level(l).String(), Lines: lines})
			}
		}
	}
	return use
}

// LogUse returns what the routes have read of a container's log since the agent
// was started. It is false for one that no route reads.
func (t *Table) LogUse(id string) (record.LogUse, bool) {
	t.mu.Lock()
	use := t.uses[id]
	t.mu.Unlock()
	if use == nil {
		return record.LogUse{}, false
	}
	return use.snapshot(), true
}

// use returns what counts the lines of a container's log. One that the engine has
// removed meanwhile is counted for nobody.
func (t *Table) use(id string) *logUse {
	t.mu.Lock()
	defer t.mu.Unlock()
	use := t.uses[id]
	if use == nil {
		use = newLogUse(t.cfg.LogLevels)
		if t.logs[id] != nil {
			t.uses[id] = use
		}
	}
	return use
}
