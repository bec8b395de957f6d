package jsonfile

import (
	"slices"
	"tallyman/collector"
)

var _ collector.Hoard = (*Root)(nil)

// givesUp reports whether a place is given up.
func (l *Log) givesUp(at place) bool {
	floor := l.floor.Load()
	return floor != nil && at.before(*floor)
}

// heldLocked returns how many bytes of a generation are on disk for the log
// alone and are not given up: in a copy, or because a file is open that dockerd
// has removed. tied is false where there is no such file.
func (l *Log) heldLocked(g *generation) (bytes int64, tied bool) {
	if g.file == nil || g.rescued == "" && !(l.sealedLocked(g) && g.unlinked()) {
		return 0, false
	}
	from := g.base
	if floor := l.floor.Load(); floor != nil {
		switch {
		case g.serial < floor.serial:
			return 0, true
		case g.serial == floor.serial:
			from = max(from, floor.off)
		}
	}
	return max(g.size()-from, 0), true
}

// held returns how many bytes the log holds in all, and how many of them are
// not in the vault; below 0 where some of the vault are given up.
func (l *Log) held() (all, beside int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.awaited {
		l.trimLocked(false)
	}
	if !l.atStakeLocked() {
		// Nobody but the log itself puts it back, which it does under the lock.
		l.root.stakes.remove(l)
		return 0, 0
	}
	for _, g := range l.chain {
		bytes, _ := l.heldLocked(g)
		all += bytes
		if beside += bytes; g.rescued != "" {
			beside -= g.size() - g.base
		}
	}
	return all, beside
}

// takeStock measures what is held and has the budget kept.
func (r *Root) takeStock() {
	r.measure()
	r.budget.Balance()
}

func (r *Root) measure() {
	total, largest := int64(0), int64(0)
	for _, l := range r.stakes.list() {
		all, beside := l.held()
		total += beside
		largest = max(largest, all)
	}
	r.beside.Store(total)
	r.largest.Store(largest)
}

// Held returns how many bytes of disk are taken by lines that dockerd does not
// keep any more, as measured last; see collector.Hoard.
func (r *Root) Held() int64 {
	held := r.beside.Load() - r.transit.Load()
	if r.vault != nil {
		held += r.vault.used.Load()
	}
	return held
}

// Largest returns how many of them are of the container with most; see
// collector.Hoard.
func (r *Root) Largest() int64 { return r.largest.Load() }

// GiveUp gives up the oldest lines of that container. Its readers are told, and
// the space is free when they have passed them; see collector.Hoard.
func (r *Root) GiveUp(bytes int64) int64 {
	var largest *Log
	most := int64(0)
	for _, l := range r.stakes.list() {
		if all, _ := l.held(); all > most {
			largest, most = l, all
		}
	}
	if largest == nil {
		return 0
	}
	given := largest.giveUp(bytes)
	if given > 0 {
		r.stats.GivenUp.Add(given)
		largest.notify()
	}
	r.measure()
	return given
}

// giveUp raises the floor by so many bytes of what is held, or as far as it can.
func (l *Log) giveUp(bytes int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	given := int64(0)
	var floor place
	for _, g := range l.chain {
		held, tied := l.heldLocked(g)
		if !tied {
			// dockerd has it and what is younger.
			break
		}
		if given+held <= bytes {
			given += held
			floor = place{g.serial, g.size()}
			continue
		}
		floor = place{g.serial, g.size() - held + bytes - given}
		given = bytes
		break
	}
	if given == 0 {
		return 0
	}
	l.floor.Store(&floor)
	if len(l.readers) == 0 {
		l.dropBelowLocked(floor)
	}
	return given
}

// dropBelowLocked removes the generations that are given up as a whole, where
// nobody is there to pass them.
func (l *Log) dropBelowLocked(floor place) {
	n := 0
	for n < len(l.chain)-1 && !floor.before(place{l.chain[n].serial, l.chain[n].size()}) {
		l.dropLocked(l.chain[n])
		n++
	}
	l.chain = slices.Delete(l.chain, 0, n)
}
