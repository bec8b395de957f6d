package jsonfile

import (
	"bytes"
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

	"tallyman/collector/durable"
	"tallyman/collector/record"
)

// vault is the folder into which the undelivered rest of deleted files is
// copied, so that it survives a restart of the agent. It has a folder for each
// container, with a file for each generation and one that describes the
// container.
type vault struct {
	dir   string
	files durable.Files
	// used is how many bytes the rescued files take.
	used atomic.Int64

	// mu is held while a container's folder is filled or emptied, for an emptied
	// one is removed.
	mu sync.Mutex
}

const (
	containerFile = "container.json"
	rescuedSuffix = ".log"
	copySuffix    = ".copy"
)

// openVault makes the folder and counts what is in it. A copy that a crash has
// left unfinished is removed.
func openVault(dir string) (*vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for rescued logs: %w", err)
	}
	v := &vault{dir: dir, files: durable.Disk{}}
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
	found, err := filepath.Glob(filepath.Join(v.dir, id, "*"+rescuedSuffix))
	return err == nil && len(found) > 0
}

// containers returns those of which something was rescued. With an error it
// returns them all the same, those that the error is about by their ID alone.
func (v *vault) containers() ([]*record.Container, error) {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, err
	}
	var found []*record.Container
	var failed error
	for _, entry := range entries {
		if !v.has(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(v.dir, entry.Name(), containerFile))
		c := new(record.Container)
		if err == nil {
			err = json.Unmarshal(text, c)
		}
		if err != nil {
			// Routes that take all containers take its lines all the same.
			failed = errors.Join(failed, fmt.Errorf("reading whose log was rescued: %w", err))
			*c = record.Container{ID: entry.Name()}
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

// load opens the rescued generations of a container, oldest first. Of two copies
// of one generation, as a kill may leave them, that with more of it counts, and the
// other is removed.
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
		g.rescued, g.inherited, g.base, g.inode, g.mark = path, true, base, name.Inode, name
		i := slices.IndexFunc(found, func(other *generation) bool { return other.mark == name })
		if i < 0 {
			found = append(found, g)
			continue
		}
		if g.base < found[i].base {
			g, found[i] = found[i], g
		}
		err = errors.Join(err, g.close(), v.drop(g.rescued))
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
// the generation's, base the offset in it at which the copy begins. younger is the
// path of the next copy in the log's order, empty where there is none.
func (v *vault) add(c *record.Container, text *os.File, at int64, name record.Generation, base int64, younger string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	folder := filepath.Join(v.dir, c.ID)
	if err := v.describe(folder, c); err != nil {
		return "", err
	}
	made, err := between(folder, younger, time.Now())
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, fileName(made, name, base))
	n, err := v.write(path, io.NewSectionReader(text, at, 1<<62))
	if err != nil {
		return "", err
	}
	v.used.Add(n)
	return path, nil
}

// between returns the time for the name of the next copy in a folder: now or, where
// the clock has been set back, one behind that of the newest there. Where younger
// is there already, of which the file was copied for a reader that needed no older
// one, it is a time before that and behind all that is older.
func between(folder, younger string, now time.Time) (time.Time, error) {
	entries, err := os.ReadDir(folder)
	limit, exists := copyTime(filepath.Base(younger))
	older := int64(0)
	for _, entry := range entries {
		if at, ok := copyTime(entry.Name()); ok && (!exists || at < limit) {
			older = max(older, at)
		}
	}
	if exists {
		return time.Unix(0, older+min(int64(time.Second), (limit-older)/2)), err
	}
	return time.Unix(0, max(now.UnixNano(), older+1)), err
}

// copyTime returns the time in the name of a copy; false for another file.
func copyTime(name string) (at int64, ok bool) {
	_, err := fmt.Sscanf(name, "%d-", &at)
	return at, err == nil && strings.HasSuffix(name, rescuedSuffix)
}

// describe makes a container's folder and writes down what the container is,
// without which nobody could tell after its removal whose lines these are.
func (v *vault) describe(folder string, c *record.Container) error {
	about := filepath.Join(folder, containerFile)
	if _, err := os.Stat(about); err == nil {
		return nil
	}
	if err := v.files.MkdirAll(folder); err != nil {
		return err
	}
	// First, for what is described is taken to be there to stay.
	if err := v.files.SyncDir(v.dir); err != nil {
		return err
	}
	// What may be secret is not written down.
	plain := *c
	plain.Env = nil
	text, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	_, err = v.write(about, bytes.NewReader(text))
	return err
}

// write makes a file that is there as a whole and to stay, or not at all, and
// returns its length.
func (v *vault) write(path string, from io.Reader) (int64, error) {
	n, err := v.fill(path+copySuffix, from)
	if err == nil {
		err = v.files.Rename(path+copySuffix, path)
	}
	if err != nil {
		return 0, errors.Join(err, ignoreMissing(os.Remove(path+copySuffix)))
	}
	if err := v.files.SyncDir(filepath.Dir(path)); err != nil {
		// It will be written again: a second copy would repeat its lines.
		return 0, errors.Join(err, os.Remove(path))
	}
	return n, nil
}

func (v *vault) fill(path string, from io.Reader) (n int64, err error) {
	file, err := v.files.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if n, err = io.Copy(file, from); err != nil {
		return n, err
	}
	return n, file.Sync()
}
