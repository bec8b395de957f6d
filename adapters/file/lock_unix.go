//go:build unix

package file

import (
	"errors"
	"os"
	"syscall"
)

// errLocked says that a file has another writer.
var errLocked = errors.New("another route or process writes to the file")

// lock makes this the file's only writer until the file is closed, as far as
// writers ask (flock(2)). A file system that has no locks goes without.
func lock(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	if err := raw.Control(func(fd uintptr) {
		locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
	}); err != nil {
		return err
	}
	if errors.Is(locked, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return nil
}
