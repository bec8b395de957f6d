package jsonfile

import (
	"maps"
	"slices"
	"sync"
)

// stakes are the logs with something at stake: more than the file that dockerd
// writes to. On most hosts these are few, and what looks at them once a second
// costs nothing for the others.
type stakes struct {
	// raised is told when there is a log where there was none.
	raised chan struct{}

	// mu is taken after a log's mutex.
	mu   sync.Mutex
	logs map[*Log]struct{} // guarded by mu
}

func newStakes() *stakes {
	return &stakes{raised: make(chan struct{}, 1), logs: make(map[*Log]struct{})}
}

func (s *stakes) add(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[l] = struct{}{}
	if len(s.logs) > 1 {
		return
	}
	select {
	case s.raised <- struct{}{}:
	default:
	}
}

func (s *stakes) remove(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logs, l)
}

func (s *stakes) list() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.logs))
}

// atStakeLocked reports whether the log has more than the file that dockerd
// writes to, or a file that dockerd may remove at any time.
func (l *Log) atStakeLocked() bool { return len(l.chain) > 1 || len(l.chain) > 0 && l.ended.Load() }

// stakeLocked is called after whatever may have put something at stake. The log
// is taken out again when it is found that nothing is, by held.
func (l *Log) stakeLocked() {
	if l.atStakeLocked() {
		l.root.stakes.add(l)
	}
}
