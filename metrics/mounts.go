package metrics

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// mountTable is the host's mounts, as readMounts returns them. The kernel renders
// a long line for every container, so the file stays open and is read again only
// when a mount has come or gone, of which poll tells (proc(5)). It is safe for
// concurrent use; the mounts that it returns must not be changed.
type mountTable struct {
	path string

	mu     sync.Mutex // guards what follows
	file   *os.File
	mounts []mount
	// kernels says that the file is the kernel's.
	kernels bool
}

// mountinfo returns the path of the file that lists the mounts of the host whose
// root folder is root.
func mountinfo(root string) string {
	if filepath.Clean(root) != "/" {
		return filepath.Join(root, "proc/1/mountinfo")
	}
	return "/proc/self/mountinfo"
}

// read returns the mounts of now, and whether it was the kernel that told them.
func (t *mountTable) read() (mounts []mount, kernels bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil && !t.changedLocked() {
		return t.mounts, t.kernels, nil
	}
	if err := t.readLocked(); err != nil {
		t.closeLocked()
		return nil, false, fmt.Errorf("reading the mounts: %w", err)
	}
	return t.mounts, t.kernels, nil
}

// readLocked reads the file, which was polled before: what changes from now on
// shows in the next poll.
func (t *mountTable) readLocked() error {
	if t.file == nil {
		// A file that os.Open returns is polled by Go's runtime, and the kernel tells
		// of a change only once for each open file.
		fd, err := unix.Open(t.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %q: %w", t.path, err)
		}
		t.file = os.NewFile(uintptr(fd), t.path)
		var stat unix.Statfs_t
		t.kernels = unix.Fstatfs(fd, &stat) == nil && stat.Type == unix.PROC_SUPER_MAGIC
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	content, err := io.ReadAll(t.file)
	if err != nil {
		return err
	}
	t.mounts = parseMounts(content)
	return nil
}

// changedLocked reports whether the file has to be read again: always where it is
// not the kernel's.
func (t *mountTable) changedLocked() bool {
	if !t.kernels {
		return true
	}
	polled := []unix.PollFd{{Fd: int32(t.file.Fd()), Events: unix.POLLPRI}}
	for {
		_, err := unix.Poll(polled, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err != nil || polled[0].Revents != 0
	}
}

// close closes the file. The table may be read after it.
func (t *mountTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closeLocked()
}

func (t *mountTable) closeLocked() {
	if t.file != nil {
		t.file.Close()
		t.file, t.mounts = nil, nil
	}
}
