package jsonfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// scan opens every generation in the folder, oldest first. dockerd may rename
// them meanwhile, so it is done again until the live file was the same before
// and after.
func (l *Log) scan() ([]*generation, error) {
	const attempts = 10
	var found []*generation
	for range attempts {
		before, err := os.Stat(l.path)
		if err != nil {
			return nil, ignoreMissing(err)
		}
		found, err = l.openAll()
		if errors.Is(err, fs.ErrNotExist) {
			// It was renamed or compressed since it was listed.
			continue
		}
		if err != nil {
			return nil, err
		}
		after, err := os.Stat(l.path)
		if err == nil && os.SameFile(before, after) && len(found) > 0 && found[len(found)-1].inode == inodeOf(after) {
			return found, nil
		}
		closeAll(found)
	}
	return nil, errors.New("the log is rotated faster than its files can be listed")
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func closeAll(gens []*generation) {
	for _, g := range gens {
		// Closing a file that was only read cannot lose anything.
		_ = g.close()
	}
}

// openAll opens the live file and its rotated siblings, oldest first. A file
// that is both there as text and compressed is being compressed: the text wins.
// It fails with fs.ErrNotExist when a file vanishes meanwhile.
func (l *Log) openAll() ([]*generation, error) {
	entries, err := os.ReadDir(l.dir())
	if err != nil {
		return nil, ignoreMissing(err)
	}
	byIndex := make(map[int]string)
	for _, e := range entries {
		index, ok := l.rotationIndex(e.Name())
		if !ok {
			continue
		}
		if have, ok := byIndex[index]; !ok || strings.HasSuffix(have, ".gz") {
			byIndex[index] = e.Name()
		}
	}
	indexes := make([]int, 0, len(byIndex))
	for i := range byIndex {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	slices.Reverse(indexes)
	var found []*generation
	for _, i := range indexes {
		path := l.path
		if i > 0 {
			path = filepath.Join(l.dir(), byIndex[i])
		}
		g, err := openGeneration(path)
		if err != nil {
			closeAll(found)
			return nil, err
		}
		found = append(found, g)
	}
	return found, nil
}

// rotationIndex tells which rotated file a name is: 0 for the live one, i for
// NAME.i and NAME.i.gz.
func (l *Log) rotationIndex(name string) (int, bool) {
	rest, ok := strings.CutPrefix(name, filepath.Base(l.path))
	if !ok {
		return 0, false
	}
	if rest == "" {
		return 0, true
	}
	digits, ok := strings.CutPrefix(strings.TrimSuffix(rest, ".gz"), ".")
	if !ok {
		return 0, false
	}
	index, err := strconv.Atoi(digits)
	return index, err == nil && index > 0
}

// appendLocked adds to the chain those of found, oldest first, that dockerd has
// made since, and closes the others.
func (l *Log) appendLocked(found []*generation) bool {
	from := 0
	live := l.liveLocked()
	if live == nil {
		if l.awaited && len(l.chain) == 0 {
			l.full = len(found)
		}
		found = l.mergeRescuedLocked(found)
	} else {
		if i := live.indexInLocked(found); i >= 0 {
			from = i + 1
		} else {
			// The live generation has been rotated out of sight since the last
			// look. What is here is newer, and something may be missing.
			from = l.knownLocked(found)
			l.gap("a log was rotated faster than it was looked at, generations may be missing")
		}
	}
	closeAll(found[:from])
	for _, g := range found[from:] {
		l.linkLocked(g)
	}
	l.trimLocked(false)
	if from < len(found) && len(l.chain) > 1 {
		l.closing()
	}
	return from < len(found)
}

// knownLocked returns how many of found, oldest first, are in the chain already.
func (l *Log) knownLocked(found []*generation) int {
	for i := range slices.Backward(found) {
		if slices.ContainsFunc(l.chain, func(g *generation) bool { return g.indexInLocked(found[i:i+1]) == 0 }) {
			return i + 1
		}
	}
	return 0
}

// mergeRescuedLocked takes the copies of an earlier run of the agent out of the
// chain and returns them in order with what is in the folder: first those whose
// file is gone, which are older than all that is there, then the files, each in
// the place of which there is a copy being replaced by it.
func (l *Log) mergeRescuedLocked(found []*generation) []*generation {
	var merged []*generation
	inFolder := make(map[*generation]int)
	for _, r := range l.chain {
		i := slices.IndexFunc(found, func(g *generation) bool {
			name := g.nameLocked()
			return name.Len > 0 && r.mark.Len == name.Len && r.mark.Sum == name.Sum
		})
		if i < 0 {
			merged = append(merged, r)
		} else {
			inFolder[r] = i
		}
	}
	if len(l.chain) > 0 && len(inFolder) == 0 && len(found) > 0 {
		// Nothing shows that the oldest file follows the youngest copy.
		l.gap("files of a log may have been rotated away while the agent was down")
	}
	for r, i := range inFolder {
		closeAll(found[i : i+1])
		found[i] = r
	}
	for _, r := range l.chain {
		r.next.Store(nil)
	}
	l.chain = nil
	return append(merged, found...)
}

// indexInLocked finds g in a list of generations that was opened anew.
func (g *generation) indexInLocked(list []*generation) int {
	for i, other := range list {
		// The file of a copy may be gone, and its inode another's.
		if g.packed == nil && other.packed == nil && g.rescued == "" && other.inode == g.inode {
			return i
		}
	}
	// Not by its inode: it may have been compressed since.
	if name := g.nameLocked(); name.Len > 0 {
		for i, other := range list {
			if other.is(name, false) {
				return i
			}
		}
	}
	return -1
}

// reachBackLocked adds to the chain the generations in the folder that are older
// than its first.
func (l *Log) reachBackLocked() error {
	found, err := l.scan()
	if err != nil || len(found) == 0 {
		return err
	}
	if len(l.chain) == 0 {
		l.appendLocked(found)
		return nil
	}
	// Where the chain begins with a file that is gone there is nothing older.
	older := found[:max(l.chain[0].indexInLocked(found), 0)]
	for i, g := range found[len(older):] {
		if err := l.restoreLocked(g); err != nil {
			closeAll(older)
			closeAll(found[len(older)+i+1:])
			return err
		}
	}
	if len(older) == 0 {
		return nil
	}
	for i, g := range slices.Backward(older) {
		next := l.chain[0]
		if i+1 < len(older) {
			next = older[i+1]
		}
		g.serial = next.serial - 1
		g.next.Store(next)
	}
	l.chain = append(older, l.chain...)
	l.stakeLocked()
	return nil
}
