package jsonfile

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"tallyman/collector/record"
)

const (
	// settleTime is how long routes may take to deliver the rest of a file that
	// was rotated or removed, before it is copied. What a kill within it loses is
	// lost only if dockerd has deleted the file so soon.
	settleTime = 200 * time.Millisecond
	// newcomers is how long after a log was opened its rescued files are kept
	// whoever reads it, for the routes come one after another; and for how long
	// those of a new container are kept while nobody does, for the engine may be
	// slow to tell of it.
	newcomers = 30 * time.Second
	// stockEvery is how often it is looked at what is held, and tried again to
	// copy what could not be.
	stockEvery = time.Second
)

// Orphans returns the containers that the engine may no longer have, but of
// whose log something is left that was not delivered; see collector.Source.
func (r *Root) Orphans() []*record.Container {
	if r.vault == nil {
		return nil
	}
	found, err := r.vault.containers()
	if err != nil {
		r.stats.ReadErrors.Add(1)
		r.logger.Error("some rescued logs cannot be read", "folder", r.vault.dir, "error", err)
	}
	return found
}

// runRescue copies what would be lost with the agent, and keeps the budget. It
// sleeps while no log has anything at stake.
func (r *Root) runRescue(ctx context.Context) {
	timer := time.NewTimer(stockEvery)
	defer timer.Stop()
	awake := true
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-r.due:
			r.takeStock()
			r.rescue(l)
		case <-r.stakes.raised:
			if !awake {
				awake = true
				timer.Reset(stockEvery)
			}
		case <-timer.C:
			r.takeStock()
			logs := r.stakes.list()
			for _, l := range logs {
				r.rescue(l)
			}
			if awake = len(logs) > 0; awake {
				timer.Reset(stockEvery)
			}
		}
	}
}

// closing has runRescue look at the log when its readers have had time to come
// to the end of the file that dockerd has just closed.
func (l *Log) closing() {
	time.AfterFunc(settleTime, func() {
		select {
		case l.root.due <- l:
		default:
			// So many wait that the next look at all of them has to do.
		}
	})
}

// rescue copies those generations of a log to which dockerd writes no more and
// which some reader needs: dockerd deletes them without asking.
func (r *Root) rescue(l *Log) {
	if r.vault == nil {
		return
	}
	for _, p := range l.inPeril() {
		if !p.unlinked && r.budget.Held()+p.size > r.budget.Limit() {
			// dockerd still has it. A younger one is not copied either: the order
			// has no hole.
			r.tellUnrescued(l, nil)
			return
		}
		if err := r.rescueCounted(l, p); err != nil {
			r.stats.RescueErrors.Add(1)
			r.tellUnrescued(l, err)
			return
		}
		r.budget.Balance()
	}
}

// rescueCounted is rescueOne, with what is held measured anew. A file that
// dockerd has removed is on disk twice for as long as it is copied, and must not
// be counted twice: lines would be given up for it.
func (r *Root) rescueCounted(l *Log, p peril) error {
	if p.unlinked {
		r.transit.Add(p.size)
		defer r.transit.Add(-p.size)
	}
	defer r.measure()
	return r.rescueOne(l, p)
}

// tellEvery is how often at most it is said that copies cannot be made.
const tellEvery = 10 * time.Minute

// tellUnrescued says that copies cannot be made. err is nil when there is no
// room for them.
func (r *Root) tellUnrescued(l *Log, err error) {
	if !r.unrescued.IsZero() && time.Since(r.unrescued) < tellEvery {
		return
	}
	r.unrescued = time.Now()
	name := l.Container().Name
	if err != nil {
		r.logger.Error("the undelivered rest of a log cannot be copied: if it is deleted, a restart of the agent loses it; further ones are only counted",
			"container", name, "error", err)
		return
	}
	r.logger.Warn("there is no room to copy the undelivered rest of a log: if it is deleted, a restart of the agent loses it",
		"container", name, "held", r.budget.Held(), "limit", r.budget.Limit())
}

// peril is a generation that may be lost with the agent, from an offset on.
type peril struct {
	gen  *generation
	name record.Generation
	from int64
	size int64
	// unlinked says that dockerd has removed it.
	unlinked bool
}

// inPeril returns the generations to rescue, oldest first.
func (l *Log) inPeril() []peril {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []peril
	for _, g := range l.chain {
		if !l.sealedLocked(g) {
			continue
		}
		if _, needed := l.neededFromLocked(g); needed && g.rescued == "" {
			// What cannot be unpacked cannot be read either, which is told there.
			_ = l.unpackLocked(g)
		}
		if p, ok := l.perilLocked(g); ok {
			found = append(found, p)
		}
	}
	return found
}

// sealedLocked reports whether dockerd writes to a generation no more.
func (l *Log) sealedLocked(g *generation) bool { return g.next.Load() != nil || l.ended.Load() }

func (l *Log) perilLocked(g *generation) (peril, bool) {
	from, needed := l.neededFromLocked(g)
	if !needed || g.rescued != "" || g.file == nil || !l.sealedLocked(g) || from >= g.size() {
		return peril{}, false
	}
	if l.givesUp(place{g.serial, from}) {
		// Not before the readers have passed what is given up.
		return peril{}, false
	}
	return peril{g, g.nameLocked(), from, g.size() - from, g.unlinked()}, true
}

// rescueOne copies a generation, if it is still needed. The copy is made from a
// descriptor of its own, since readers may let go of the generation meanwhile.
func (r *Root) rescueOne(l *Log, p peril) error {
	l.mu.Lock()
	p, needed := l.perilLocked(p.gen)
	var text *os.File
	var younger string
	var base int64
	var err error
	if needed {
		text, err = p.gen.duplicate()
		base = p.gen.base
		for g := p.gen.next.Load(); g != nil && younger == ""; g = g.next.Load() {
			younger = g.rescued
		}
	}
	l.mu.Unlock()
	if !needed || err != nil {
		return err
	}
	defer text.Close()
	path, err := r.vault.add(l.Container(), text, p.from-base, p.name, p.from, younger)
	if err != nil {
		return err
	}
	copied, err := os.Open(path)
	if err != nil {
		return errors.Join(err, r.vault.drop(path))
	}
	r.stats.Rescued.Add(p.size)
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.chain, p.gen) {
		if from, needed := l.neededFromLocked(p.gen); needed && from < p.from {
			// A reader has come meanwhile that begins before the copy.
			r.discard(junk{files: []*os.File{copied}, copy: path})
			return nil
		}
		r.discard(junk{files: []*os.File{p.gen.replaceLocked(path, copied, p.from)}, copy: p.gen.former})
		p.gen.former = ""
		l.trimLocked(true)
		return nil
	}
	unused := junk{files: []*os.File{copied}, copy: path}
	if p.gen.wanted {
		unused.copy = ""
	}
	r.discard(unused)
	return nil
}

// restoreLocked puts a file in the place of the copy of its rest, for a reader that
// needs more of it, and closes it where there is no such copy or where it has lost
// its end, which the copy has.
func (l *Log) restoreLocked(whole *generation) error {
	i := slices.IndexFunc(l.chain, func(g *generation) bool {
		return g.base > 0 && g.indexInLocked([]*generation{whole}) == 0
	})
	var err error
	if i >= 0 {
		err = l.unpackLocked(whole)
	}
	if i < 0 || err != nil || whole.size() < l.chain[i].size() {
		closeAll([]*generation{whole})
		return err
	}
	g := l.chain[i]
	var unused junk
	if g.packed != nil {
		unused.files = append(unused.files, g.packed)
	}
	g.packed, g.former, g.inherited = whole.packed, g.rescued, false
	unused.files = append(unused.files, g.replaceLocked("", whole.file, 0))
	l.root.discard(unused)
	return nil
}

// neededFromLocked returns the offset from which some reader needs a generation.
func (l *Log) neededFromLocked(g *generation) (from int64, needed bool) {
	from = 1<<63 - 1
	for _, r := range l.readers {
		switch {
		case r.kept == nil || r.kept.serial < g.serial:
			// A reader that has not begun begins at the first.
			from = g.base
		case r.kept.serial > g.serial:
			continue
		default:
			from = min(from, r.keptOff)
		}
		needed = true
	}
	return from, needed
}
