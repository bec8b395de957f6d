package jsonfile

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"tallyman/collector"
	"tallyman/collector/record"
)

// Log is one container's json-file log. It owns the open files: a chain of
// generations from the oldest that some reader still needs to the live one.
type Log struct {
	root *Root
	// path is the live file's.
	path string

	container atomic.Pointer[record.Container]
	// ended says that the container has been removed: what is open is all there
	// will ever be.
	ended atomic.Bool
	// floor is the place before which everything is given up for want of space;
	// nil while nothing is. It is set under mu.
	floor atomic.Pointer[place]

	mu sync.Mutex
	// chain holds the generations in order; the last one is live. Guarded by mu.
	chain []*generation
	// readers are those open, as many as there are routes; guarded by mu.
	readers []*Reader
	// reported is the last place of a broken record that was counted, so that
	// several readers do not count it several times; guarded by mu.
	reported place
	// opened is when the log was opened, watched says that its folder is watched;
	// set before it is shared.
	opened  time.Time
	watched bool
	// awaited says that the container was made while the agent looked, and that no
	// reader has come for it yet: what dockerd rotates away meanwhile is kept.
	// Guarded by mu.
	awaited bool
	// read says that a reader has come, told that every route knows that the
	// container was removed: none comes any more. Guarded by mu.
	read, told bool
	// full is how many files such a log had when the first was seen; 0 while there
	// is none and once it has been compared. Guarded by mu.
	full int
	// polledSize is the size of the live file at the last poll; guarded by mu.
	polledSize int64
}

// place is an offset in one generation.
type place struct {
	serial int64
	off    int64
}

func (p place) before(q place) bool {
	return p.serial < q.serial || p.serial == q.serial && p.off < q.off
}

var _ collector.Log = (*Log)(nil)

// logAt returns a log that knows nothing but its paths.
func logAt(root, id string) *Log {
	// The container has the same path, as the engine tells it, and is mostly known
	// at the same time.
	return &Log{path: unique.Make(filepath.Join(root, id, id+"-json.log")).Value()}
}

// dir returns the container's folder.
func (l *Log) dir() string { return filepath.Dir(l.path) }

func newLog(root *Root, id string) *Log {
	l := logAt(root.dir, id)
	l.root = root
	l.reported = place{serial: -1 << 62}
	l.opened = time.Now()
	l.container.Store(&record.Container{ID: id})
	return l
}

// Container returns the container as it is known now.
func (l *Log) Container() *record.Container { return l.container.Load() }

// SetContainer replaces what is known of the container.
func (l *Log) SetContainer(c *record.Container) {
	l.container.Store(c)
	l.mu.Lock()
	full := c.LogFiles > 1 && l.full >= c.LogFiles
	l.full = 0
	l.mu.Unlock()
	if full {
		// As many as dockerd keeps: nothing shows that there was none before them.
		l.gap("a new container's log was rotated faster than it was looked at, its first lines may be missing")
	}
	l.notify()
}

// gap counts and tells that a file of the log may never have been seen.
func (l *Log) gap(what string) {
	l.root.stats.Gaps.Add(1)
	l.root.logger.Warn(what, "container", l.Container().Name, "id", l.Container().ShortID())
}

// End says that the container has been removed.
func (l *Log) End() {
	if l.ended.Swap(true) {
		return
	}
	l.mu.Lock()
	l.stakeLocked()
	l.mu.Unlock()
	l.notify()
	l.closing()
}

// loadRescued puts the rescued generations at the head of the chain.
func (l *Log) loadRescued() error {
	if l.root.vault == nil {
		return nil
	}
	found, err := l.root.vault.load(filepath.Base(l.dir()))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range found {
		l.linkLocked(g)
	}
	return err
}

// linkLocked puts a generation at the end of the chain.
func (l *Log) linkLocked(g *generation) {
	if n := len(l.chain); n > 0 {
		// Readers know it without a lock once it is in a chain, and it stays.
		if next := l.chain[n-1].serial + 1; g.serial != next {
			g.serial = next
		}
		l.chain[n-1].next.Store(g)
	}
	l.chain = append(l.chain, g)
	l.stakeLocked()
}

// liveLocked returns the generation that dockerd writes to, as far as it is
// known.
func (l *Log) liveLocked() *generation {
	if n := len(l.chain); n > 0 && l.chain[n-1].base == 0 && l.chain[n-1].rescued == "" {
		return l.chain[n-1]
	}
	return nil
}

// Idle reports whether the container has been removed and nobody reads its log.
func (l *Log) Idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended.Load() && len(l.readers) == 0
}

// addLocked has a reader told of changes.
func (l *Log) addLocked(r *Reader) {
	l.readers = append(l.readers, r)
	if len(l.readers) == 1 && l.watched {
		l.root.watch.writes(l, true)
	}
}

func (l *Log) removeLocked(r *Reader) {
	l.readers = slices.DeleteFunc(l.readers, func(other *Reader) bool { return other == r })
	if len(l.readers) == 0 && l.watched {
		l.root.watch.writes(l, false)
	}
}

// notify tells every reader that something may have changed.
func (l *Log) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		r.changed()
	}
}

// look compares the chain with the folder and follows a rotation.
func (l *Log) look() {
	l.mu.Lock()
	_, changed, err := l.lookLocked()
	l.mu.Unlock()
	if err != nil {
		l.root.stats.ReadErrors.Add(1)
		l.root.logger.Warn("looking at a container's log failed", "folder", l.dir(), "error", err)
	}
	if changed {
		l.notify()
	}
}

// poll is look for a log whose changes may not have been announced.
func (l *Log) poll() {
	l.mu.Lock()
	size, changed, err := l.lookLocked()
	if n := len(l.chain); size < 0 && n > 0 {
		size = l.chain[n-1].size()
	}
	if size >= 0 && size != l.polledSize {
		l.polledSize, changed = size, true
	}
	l.mu.Unlock()
	if err != nil {
		l.root.stats.ReadErrors.Add(1)
	}
	if changed {
		l.notify()
	}
}

// lookLocked compares the chain with the folder. It returns the live file's size
// where that is the last of the chain, else -1.
func (l *Log) lookLocked() (size int64, changed bool, err error) {
	info, err := os.Stat(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Between dockerd's rename and its create, before the first start, or
		// after the removal.
		return -1, false, nil
	case err != nil:
		return -1, false, err
	}
	if live := l.liveLocked(); live != nil && live.inode == inodeOf(info) {
		return info.Size(), false, nil
	}
	found, err := l.scan()
	if err != nil {
		return -1, false, err
	}
	return -1, l.appendLocked(found), nil
}

// findLocked finds the generation that a position names, in the chain and then
// among the older files.
func (l *Log) findLocked(name record.Generation) (*generation, error) {
	find := func() *generation {
		for _, sameInode := range []bool{true, false} {
			for _, g := range l.chain {
				if g.is(name, sameInode) {
					return g
				}
			}
		}
		return nil
	}
	if g := find(); g != nil {
		return g, nil
	}
	if err := l.reachBackLocked(); err != nil {
		return nil, err
	}
	return find(), nil
}

// trimLocked closes the generations that no reader can come back to. The live
// one stays open, so that its text survives its removal. Rescued copies are
// removed only when readers have moved on: one that was closed, as at the end of
// the agent, may come back to them.
func (l *Log) trimLocked(movedOn bool) {
	if l.awaited && time.Since(l.opened) >= newcomers {
		l.awaited = false
	}
	if len(l.chain) == 0 || l.awaited {
		return
	}
	needed := l.chain[len(l.chain)-1].serial
	for _, r := range l.readers {
		// A reader that has not begun begins at the first.
		if r.kept == nil {
			return
		}
		needed = min(needed, r.kept.serial)
	}
	n := 0
	keepCopies := !movedOn || time.Since(l.opened) < newcomers
	for n < len(l.chain) && l.chain[n].serial < needed && (l.chain[n].rescued+l.chain[n].former == "" || !keepCopies) {
		n++
	}
	for _, g := range l.chain[:n] {
		l.dropLocked(g)
	}
	l.chain = slices.Delete(l.chain, 0, n)
}

// dropLocked lets go of a generation that nobody needs and of its rescued copies.
func (l *Log) dropLocked(g *generation) {
	l.root.discard(junk{files: g.detachLocked(), copy: g.rescued})
	if g.former != "" {
		l.root.discard(junk{copy: g.former})
	}
}

// finishLocked lets go of the log of a removed container when its last reader has
// had all of it, so that no copy is left that a restart would deliver again.
func (l *Log) finishLocked() {
	if len(l.readers) > 0 || !l.ended.Load() || !(l.read && l.told) && time.Since(l.opened) < newcomers ||
		slices.ContainsFunc(l.chain, func(g *generation) bool { return g.wanted }) {
		return
	}
	for _, g := range l.chain {
		l.dropLocked(g)
	}
	l.chain = nil
}

// forget closes every file of a log that nobody reads any more, and removes
// what was rescued of it. Where somebody has come meanwhile, finishLocked does.
func (l *Log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.readers) > 0 {
		return
	}
	for _, g := range l.chain {
		l.dropLocked(g)
	}
	l.chain = nil
}

// close closes every file. No reader may be open.
func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	closeAll(l.chain)
	l.chain = nil
}

// unpackLocked makes the text of a generation readable, and tells when not all of
// it is there.
func (l *Log) unpackLocked(g *generation) error {
	err := g.unpack(l.root.tempDir)
	if g.torn {
		g.torn = false
		l.root.stats.Broken.Add(1)
		l.root.logger.Warn("a compressed log is damaged; what cannot be unpacked of it is lost",
			"container", l.Container().Name, "file", g.path)
	}
	return err
}

// countOnce reports whether the damage at a place is seen for the first time.
func (l *Log) countOnce(g *generation, off int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{g.serial, off}
	if !l.reported.before(at) {
		return false
	}
	l.reported = at
	return true
}

// broken counts a record that cannot be read and names the first one.
func (l *Log) broken(g *generation, off int64) {
	if !l.countOnce(g, off) {
		return
	}
	if l.root.stats.Broken.Add(1) == 1 {
		l.root.logger.Warn("a log holds a broken record, which is skipped; further ones are only counted",
			"container", l.Container().Name, slog.String("file", g.path), slog.Int64("offset", off))
	}
}
