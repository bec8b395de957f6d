package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedError says that another agent uses the state folder. Two would overwrite
// each other's positions.
type LockedError struct {
	// Dir is the folder.
	Dir string
	// PID is the other's process id as it sees itself, empty when it is not
	// known. It means little outside the other's container.
	PID string
}

func (e *LockedError) Error() string {
	if e.PID == "" {
		return fmt.Sprintf("the state folder %q is in use by another agent", e.Dir)
	}
	return fmt.Sprintf("the state folder %q is in use by another agent, process %s", e.Dir, e.PID)
}

// folderLock is the right to use a folder. It ends with the process, however
// that ends.
type folderLock struct{ file *os.File }

func lockFolder(dir string) (*folderLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // It is only to help a person.
		_ = f.Close()
		return nil, &LockedError{Dir: dir, PID: strings.TrimSpace(string(holder))}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the state folder %q: %w", dir, err)
	}
	// The number is only to help a person; on a full disk the lock holds without.
	if f.Truncate(0) == nil {
		_, _ = f.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	}
	return &folderLock{file: f}, nil
}

// holds reports whether the lock is still that of the folder: not when the
// folder was removed, or made anew.
func (l *folderLock) holds(dir string) bool {
	ours, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(filepath.Join(dir, "lock"))
	return err == nil && os.SameFile(ours, there)
}

func (l *folderLock) release() error { return l.file.Close() }
