package jsonfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector/record"
)

// vault is the folder into which the undelivered rest of deleted files is
// copied, so that it survives a restart of the agent. It has a folder for each
// container, with a file for each generation and one that describes the
// container.
type vault struct {
	dir string
	max int64
	// used is how many bytes the rescued files take.
	used atomic.Int64
	// due takes the logs that have lost files.
	due chan *Log

	// mu is held while a container's folder is filled or emptied, for an emptied
	// one is removed.
	mu sync.Mutex
	// full says that the last rescue did not fit; guarded by mu.
	full bool
}

const (
	// settleTime is how long routes may take to deliver the rest of a file that
	// was rotated or removed, before it is copied. What a kill within it loses is
	// lost only if dockerd has deleted the file so soon.
	settleTime = 200 * time.Millisecond
	// newcomers is how long after a log was opened its rescued files are kept
	// whoever reads it: the routes come one after another.
	newcomers = 30 * time.Second

	containerFile = "container.json"
	rescuedSuffix = ".log"
	copySuffix    = ".copy"
)

// openVault makes the folder and counts what is in it. A copy that a crash has
// left unfinished is removed.
func openVault(dir string, limit int64) (*vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for rescued logs: %w", err)
	}
	v := &vault{dir: dir, max: limit, due: make(chan *Log, 1024)}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if strings.HasSuffix(path, copySuffix) {
			return os.Remove(path)
		}
		info, err := entry.Info()
		if err == nil && strings.HasSuffix(path, rescuedSuffix) {
			v.used.Add(info.Size())
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking through rescued logs: %w", err)
	}
	return v, nil
}

// has reports whether something of a container's log was rescued.
func (v *vault) has(id string) bool {
	_, err := os.Stat(filepath.Join(v.dir, id, containerFile))
	return err == nil
}

// containers returns those of which something was rescued.
func (v *vault) containers() ([]*record.Container, error) {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, err
	}
	var found []*record.Container
	var failed error
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(v.dir, entry.Name(), containerFile))
		c := new(record.Container)
		if err == nil {
			err = json.Unmarshal(text, c)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("reading about a rescued log: %w", err))
			continue
		}
		c.Running, c.PID = false, 0
		found = append(found, c)
	}
	return found, failed
}

// fileName is the name of a rescued generation. The time comes first, so that
// the names are in the order of the generations: older ones are deleted, and
// so rescued, before younger ones.
func fileName(now time.Time, name record.Generation, base int64) string {
	return fmt.Sprintf("%020d-%d-%d-%016x-%d%s", now.UnixNano(), name.Inode, name.Len, name.Sum, base, rescuedSuffix)
}

// load opens the rescued generations of a container, oldest first.
func (v *vault) load(id string) ([]*generation, error) {
	entries, err := os.ReadDir(filepath.Join(v.dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []*generation
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), rescuedSuffix) {
			continue
		}
		var at int64
		var name record.Generation
		var base int64
		if _, err := fmt.Sscanf(entry.Name(), "%d-%d-%d-%x-%d", &at, &name.Inode, &name.Len, &name.Sum, &base); err != nil {
			continue
		}
		path := filepath.Join(v.dir, id, entry.Name())
		g, openErr := openGeneration(path)
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		g.rescued, g.base, g.inode, g.mark = path, base, name.Inode, name
		found = append(found, g)
	}
	return found, err
}

// drop removes a rescued file, and the container's folder with the last.
func (v *vault) drop(path string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return ignoreMissing(err)
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	v.used.Add(-info.Size())
	folder := filepath.Dir(path)
	left, err := os.ReadDir(folder)
	if err == nil && (len(left) == 0 || len(left) == 1 && left[0].Name() == containerFile) {
		return os.RemoveAll(folder)
	}
	return err
}

// add copies a text from the offset at on and returns the copy's path. name is
// the generation's, base the offset in it at which the copy begins.
func (v *vault) add(c *record.Container, text *os.File, at int64, name record.Generation, base int64) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	folder := filepath.Join(v.dir, c.ID)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	if !v.has(c.ID) {
		// What may be secret is not written down.
		plain := *c
		plain.Env, plain.Inspect = nil, nil
		about, err := json.Marshal(plain)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(folder, containerFile), about, 0o600); err != nil {
			return "", err
		}
	}
	path := filepath.Join(folder, fileName(time.Now(), name, base))
	if err := v.copy(path+copySuffix, text, at); err != nil {
		return "", errors.Join(err, ignoreMissing(os.Remove(path+copySuffix)))
	}
	if err := os.Rename(path+copySuffix, path); err != nil {
		return "", err
	}
	return path, syncFolder(folder)
}

func (v *vault) copy(path string, text *os.File, at int64) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	n, err := io.Copy(file, io.NewSectionReader(text, at, 1<<62))
	v.used.Add(n)
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		v.used.Add(-n)
	}
	return err
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

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

// runRescue copies what would be lost with the agent.
func (r *Root) runRescue(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-r.vault.due:
			r.rescue(l)
		}
	}
}

// closing has runRescue look at the log when its readers have had time to come
// to the end of the file that dockerd has just closed.
func (l *Log) closing() {
	v := l.root.vault
	if v == nil {
		return
	}
	time.AfterFunc(settleTime, func() {
		select {
		case v.due <- l:
		default:
			// So many wait that the log's next rotation has to do.
		}
	})
}

// rescue copies those generations of a log to which dockerd writes no more and
// which some reader needs: dockerd deletes them without asking.
func (r *Root) rescue(l *Log) {
	for _, p := range l.inPeril() {
		err := r.rescueOne(l, p)
		if errors.Is(err, errFull) {
			// A younger one is not copied either: the order has no hole.
			r.refuse(l, p.gen.size()-p.from)
			return
		}
		if err != nil {
			r.stats.RescueErrors.Add(1)
			r.logger.Error("the undelivered rest of a log cannot be copied: if it is deleted, a restart of the agent loses it",
				"container", l.Container().Name, "error", err)
			return
		}
	}
	r.vault.mu.Lock()
	defer r.vault.mu.Unlock()
	r.vault.full = false
}

// peril is a generation that may be lost with the agent, from an offset on.
type peril struct {
	gen  *generation
	name record.Generation
	from int64
}

// inPeril returns the generations to rescue, oldest first.
func (l *Log) inPeril() []peril {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []peril
	for _, g := range l.chain {
		if p, ok := l.perilLocked(g); ok {
			found = append(found, p)
		}
	}
	return found
}

func (l *Log) perilLocked(g *generation) (peril, bool) {
	closed := g.next.Load() != nil || l.ended.Load()
	from, needed := l.neededFromLocked(g)
	if !closed || !needed || g.rescued != "" || g.file == nil || from >= g.size() {
		return peril{}, false
	}
	return peril{g, g.nameLocked(), from}, true
}

// errFull says that a copy would take the vault past its limit.
var errFull = errors.New("no room for a copy")

// rescueOne copies a generation, if it is still needed. The copy is made from a
// descriptor of its own, since readers may let go of the generation meanwhile.
func (r *Root) rescueOne(l *Log, p peril) error {
	l.mu.Lock()
	p, needed := l.perilLocked(p.gen)
	var text *os.File
	var err error
	if needed {
		text, err = p.gen.duplicate()
	}
	l.mu.Unlock()
	if !needed || err != nil {
		return err
	}
	defer text.Close()
	info, err := text.Stat()
	if err != nil {
		return err
	}
	size := p.gen.base + info.Size() - p.from
	if r.vault.used.Load()+size > r.vault.max {
		return errFull
	}
	path, err := r.vault.add(l.Container(), text, p.from-p.gen.base, p.name, p.from)
	if err != nil {
		return err
	}
	r.stats.Rescued.Add(size)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.chain, p.gen) {
		return r.vault.drop(path)
	}
	p.gen.rescued = path
	l.trimLocked(true)
	return nil
}

// refuse says that there is no room for a rescue.
func (r *Root) refuse(l *Log, size int64) {
	r.stats.RescueErrors.Add(1)
	r.vault.mu.Lock()
	told := r.vault.full
	r.vault.full = true
	r.vault.mu.Unlock()
	if !told {
		r.logger.Error("there is no room to copy the undelivered rest of a log: if it is deleted, a restart of the agent loses it",
			"container", l.Container().Name, "bytes", size, "used", r.vault.used.Load(), "limit", r.vault.max)
	}
}

// neededFromLocked returns the offset from which some reader needs a generation.
func (l *Log) neededFromLocked(g *generation) (from int64, needed bool) {
	from = 1<<63 - 1
	for r := range l.readers {
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
