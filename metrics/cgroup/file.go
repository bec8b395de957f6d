package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// absent is the descriptor of a file that is not there.
const absent = -1

// firstBuffer is how long a buffer is at first. The longest file
// of an ordinary host, memory.stat, is about 2 KiB.
const firstBuffer = 8 << 10

// shortPiece is what a piece cannot be shorter than unless it is the last: a page
// less more than any line takes.
const shortPiece = 2 << 10

// openAt opens a path relative to a folder.
func openAt(dir int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// openOptional opens a file for reading relative to a folder, or returns absent
// where the kernel does not have it. Every other reason is an error: a process
// with too many files open must not look like a kernel with too few.
func openOptional(dir int, path string) (int, error) {
	fd, err := openAt(dir, path, unix.O_RDONLY)
	if err == nil {
		return fd, nil
	}
	if errors.Is(goneOr(err), ErrGone) || err == unix.EOPNOTSUPP {
		return absent, nil
	}
	return absent, fmt.Errorf("opening %q: %w", path, err)
}

// read reads a file from its start and returns the content, which is valid until
// the next call. Files that the kernel renders in one piece end where a reading
// is shorter than the buffer; the others, such as net/dev, come a page at a time
// and end with a short or an empty reading.
func (b *Buffer) read(fd int, pieces bool) ([]byte, error) {
	if len(b.bytes) == 0 {
		b.bytes = make([]byte, firstBuffer)
	}
	n := 0
	for {
		if n == len(b.bytes) {
			b.bytes = append(b.bytes, make([]byte, len(b.bytes))...)
		}
		k, err := unix.Pread(fd, b.bytes[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		n += k
		if k == 0 || n < len(b.bytes) && (!pieces || k < shortPiece) {
			return b.bytes[:n], nil
		}
	}
}

// Read reads an open file of the kernel from its start and returns the content, which
// is valid until the next call.
func (b *Buffer) Read(fd int) ([]byte, error) { return b.read(fd, true) }

// readAt reads a file of the folder dir.
func (b *Buffer) readAt(dir int, path string) ([]byte, error) {
	fd, err := openAt(dir, path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return b.read(fd, true)
}

// process is the folder of a process under /proc. It is that process's for as
// long as it is open: after the process has ended nothing in it can be opened,
// whoever has its number then.
type process struct {
	dir  int
	path string
}

// openProcess opens the folder of a process. It returns ErrGone when there is
// none.
func openProcess(path string) (process, error) {
	dir, err := openAt(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return process{}, fmt.Errorf("opening %q: %w", path, goneOr(err))
	}
	return process{dir: dir, path: path}, nil
}

// read returns the content of a file of the process.
func (p process) read(name string) ([]byte, error) {
	fd, err := openAt(p.dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("opening \"%s/%s\": %w", p.path, name, goneOr(err))
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(file); err != nil {
		return nil, fmt.Errorf("reading \"%s/%s\": %w", p.path, name, goneOr(err))
	}
	return content.Bytes(), nil
}

// openNetwork opens the counters of the network namespace, or returns absent
// when the process has ended.
func (p process) openNetwork() (int, error) { return openOptional(p.dir, "net/dev") }

// namespace returns the inode of the network namespace, 0 where the kernel does
// not tell it.
func (p process) namespace() uint64 {
	var stat unix.Stat_t
	if err := unix.Fstatat(p.dir, "ns/net", &stat, 0); err != nil {
		return 0
	}
	return stat.Ino
}

// close closes the folder.
func (p process) close() { unix.Close(p.dir) }

// goneOr returns ErrGone for the errors that say that a process or a cgroup is
// no more, else err.
func goneOr(err error) error {
	for _, gone := range []error{unix.ENOENT, unix.ESRCH, unix.ENODEV} {
		if errors.Is(err, gone) {
			return ErrGone
		}
	}
	return err
}
