package file

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A rotated file has the name of the file, a mark, and the time of the rotation,
// in UTC, so that names sort by age; and an ending when it is compressed.
const (
	backupMark   = '@'
	backupTime   = "20060102T150405.000000Z"
	compressed   = ".gz"
	unfinished   = ".tmp"
	abandonAfter = time.Hour
)

// backupName returns a name for a rotated file that is not taken.
func backupName(path string, now time.Time) (string, error) {
	for ; ; now = now.Add(time.Microsecond) {
		name := path + string(backupMark) + now.UTC().Format(backupTime)
		_, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err = os.Lstat(name + compressed); errors.Is(err, fs.ErrNotExist) {
				return name, nil
			}
		}
		if err != nil {
			return "", fmt.Errorf("looking for a name: %w", err)
		}
	}
}

// tidier compresses and removes rotated files, in one goroutine that lives while
// there is something to do.
type tidier struct {
	settings *settings
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu sync.Mutex
	// due are the paths of files that were rotated, active says that the
	// goroutine runs; guarded by mu.
	due    map[string]struct{}
	active bool
}

func (t *tidier) start(s *settings) {
	t.settings = s
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.due = make(map[string]struct{})
}

// stop ends what is going on and waits for its end.
func (t *tidier) stop() {
	t.cancel()
	t.running.Wait()
}

// add has the rotated files of path looked at.
func (t *tidier) add(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due[path] = struct{}{}
	if !t.active && t.ctx.Err() == nil {
		t.active = true
		t.running.Go(t.run)
	}
}

func (t *tidier) run() {
	for {
		path, ok := t.next()
		if !ok {
			return
		}
		if err := t.tidy(path); err != nil && t.ctx.Err() == nil {
			t.settings.logger.Warn("tidying rotated files", "path", path, "error", err)
		}
	}
}

func (t *tidier) next() (path string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for path := range t.due {
		if t.ctx.Err() != nil {
			break
		}
		delete(t.due, path)
		return path, true
	}
	t.active = false
	return "", false
}

// tidy removes the oldest rotated files of path and compresses the others.
func (t *tidier) tidy(path string) error {
	folder, base := filepath.Split(path)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("listing rotated files: %w", err)
	}
	var backups []string
	for _, entry := range entries {
		at, ok := strings.CutPrefix(entry.Name(), base+string(backupMark))
		if !ok {
			continue
		}
		if strings.HasSuffix(at, unfinished) {
			err = errors.Join(err, removeAbandoned(entry, folder))
			continue
		}
		if _, parseErr := time.Parse(backupTime, strings.TrimSuffix(at, compressed)); parseErr == nil {
			backups = append(backups, entry.Name())
		}
	}
	slices.Sort(backups)
	surplus := max(len(backups)-t.settings.maxBackups, 0)
	for _, name := range backups[:surplus] {
		err = errors.Join(err, remove(filepath.Join(folder, name)))
	}
	for _, name := range backups[surplus:] {
		if t.settings.compress && !strings.HasSuffix(name, compressed) {
			err = errors.Join(err, t.compress(filepath.Join(folder, name)))
		}
	}
	return err
}

// removeAbandoned removes what a process that died has not finished.
func removeAbandoned(entry fs.DirEntry, folder string) error {
	info, err := entry.Info()
	if err != nil || time.Since(info.ModTime()) < abandonAfter {
		return nil //nolint:nilerr // Another process is at work on it.
	}
	return remove(filepath.Join(folder, entry.Name()))
}

// remove removes a file that may be gone already.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a rotated file: %w", err)
	}
	return nil
}

// compress puts a compressed file in the place of a rotated one. Until that is
// on the disk, the other one stays.
func (t *tidier) compress(name string) error {
	source, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening a rotated file: %w", err)
	}
	defer func() { _ = source.Close() }() // It was only read.
	target, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+compressed+".*"+unfinished)
	if err != nil {
		return fmt.Errorf("making a compressed file: %w", err)
	}
	err = t.copyCompressed(target, source)
	err = errors.Join(err, target.Close())
	if err == nil {
		err = os.Rename(target.Name(), name+compressed)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("compressing %q: %w", name, err), remove(target.Name()))
	}
	return errors.Join(syncFolder(name), remove(name))
}

func (t *tidier) copyCompressed(target, source *os.File) error {
	if err := target.Chmod(fileMode); err != nil {
		return err
	}
	writer := gzip.NewWriter(target)
	buf := make([]byte, 64<<10)
	for {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		n, err := source.Read(buf)
		if _, writeErr := writer.Write(buf[:n]); writeErr != nil {
			return writeErr
		}
		if err == io.EOF { //nolint:errorlint // io.EOF is returned as it is.
			return errors.Join(writer.Close(), target.Sync())
		}
		if err != nil {
			return err
		}
	}
}
