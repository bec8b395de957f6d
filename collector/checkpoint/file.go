package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"tallyman/collector/durable"
)

// fileName is the name of the positions in the state folder. The temporary file
// has a fixed name, so that what a crash leaves is overwritten by the next save.
const (
	fileName      = "positions.json"
	temporaryName = fileName + ".tmp"
)

// Warning is an error of Open that leaves a store to work with: positions could
// not be read, or cannot be written for now. It is to be said to the user once.
type Warning struct{ Err error }

func (w *Warning) Error() string { return w.Err.Error() }

// Unwrap returns the cause.
func (w *Warning) Unwrap() error { return w.Err }

// CorruptError says that the positions of earlier lives cannot be read and are
// given up. For routes that are met from then on every container is new, so that
// they begin at its oldest line: lines are repeated rather than lost.
type CorruptError struct {
	// Path is the file that was to be read, Aside the name under which it is
	// kept, empty when it could not be renamed.
	Path, Aside string
	Err         error
}

func (e *CorruptError) Error() string {
	if e.Aside == "" {
		return fmt.Sprintf("reading positions %q: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("reading positions %q, now kept as %q: %v", e.Path, e.Aside, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// Open reads the positions in a folder, which it makes if need be, and locks the
// folder against other agents. The store is usable when the error is nil or a
// *Warning, and is to be closed then. Any other error, such as a *LockedError,
// comes without a store.
func Open(dir string, logger *slog.Logger) (*Store, error) {
	return open(dir, logger, durable.Disk{}, time.Now())
}

func open(dir string, logger *slog.Logger, files durable.Files, now time.Time) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := newStore(dir, logger, files)
	// An agent that cannot write its positions still ships logs: the only cost
	// is that lines are repeated after its next start.
	unwritable := s.takeFolder()
	var locked *LockedError
	if errors.As(unwritable, &locked) {
		return nil, unwritable
	}
	if err := errors.Join(unwritable, s.read(now)); err != nil {
		return s, &Warning{Err: err}
	}
	return s, nil
}

// read loads the file, or puts it aside.
func (s *Store) read(now time.Time) error {
	path := filepath.Join(s.dir, fileName)
	data, err := s.files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.load(data)
	}
	if err == nil {
		return nil
	}
	s.forgotten = true
	corrupt := &CorruptError{Path: path, Aside: path + ".corrupt-" + now.UTC().Format("20060102T150405Z"), Err: err}
	if err := s.files.Rename(path, corrupt.Aside); err != nil {
		corrupt.Err = errors.Join(corrupt.Err, err)
		corrupt.Aside = ""
	}
	return corrupt
}

// takeFolder makes sure that the folder exists and is ours. The caller holds
// saving, or is the only one to know the store.
func (s *Store) takeFolder() error {
	if s.lock != nil {
		if s.lock.holds(s.dir) {
			return nil
		}
		s.log.Warn("the state folder was removed and is made again", "folder", s.dir)
		err := s.lock.release()
		s.lock = nil
		if err != nil {
			return fmt.Errorf("unlocking the state folder %q: %w", s.dir, err)
		}
	}
	if err := s.files.MkdirAll(s.dir); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	lock, err := lockFolder(s.dir)
	s.lock = lock
	return err
}

// Save writes the positions if any changed since the last file was written.
// After an error all of them stay in memory, and the next Save tries again.
func (s *Store) Save() error {
	s.saving.Lock()
	defer s.saving.Unlock()

	s.mu.Lock()
	changes, dirty := s.changes, s.changes != s.saved
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := s.takeFolder(); err != nil {
		return err
	}
	if err := s.replace(); err != nil {
		return fmt.Errorf("saving positions: %w", err)
	}
	s.mu.Lock()
	s.saved = changes
	s.mu.Unlock()
	return nil
}

// replace puts what is known in the place of the file, durably and all at once.
func (s *Store) replace() error {
	temporary := filepath.Join(s.dir, temporaryName)
	f, err := s.files.Create(temporary)
	if err != nil {
		return err
	}
	buffer, ok := s.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	*buffer, err = s.encode(f, *buffer)
	s.buffers.Put(buffer)
	if err == nil {
		// Without this, a crash of the host could leave the new name with no
		// content.
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", temporary, err)
	}
	if err := s.files.Rename(temporary, filepath.Join(s.dir, fileName)); err != nil {
		return err
	}
	return s.files.SyncDir(s.dir)
}

// Close saves what changed and gives the folder free. The store must not be used
// any more.
func (s *Store) Close() error {
	err := s.Save()
	s.saving.Lock()
	defer s.saving.Unlock()
	if s.lock != nil {
		err = errors.Join(err, s.lock.release())
		s.lock = nil
	}
	return err
}
