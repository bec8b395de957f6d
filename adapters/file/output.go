package file

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Modes of what is made: a log may hold what is not for everybody.
const (
	fileMode   = 0o640
	folderMode = 0o750
)

// output is one file that is open. What it holds up to size is whole lines.
type output struct {
	path string
	file *os.File
	// size is the file's length as far as it is known, mark the length to go
	// back to when the batch that is being written fails, and synced the length
	// that is known to be on the disk.
	size, mark, synced int64
	// torn says that the file ends within a line.
	torn bool
	// span numbers the span of time that the file belongs to.
	span int64
	// place is where the file stands in the order of use.
	place *list.Element
}

// openOutput opens the file at path, or makes it and the folders above it; with
// durable, so that they outlive a crash of the host. A file that ends within a
// line, because a writer died there, is to have that line ended before the next.
func openOutput(path string, maxAge time.Duration, durable bool) (o *output, err error) {
	if err := makeFolder(filepath.Dir(path), durable); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("opening the file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close() // Nothing was written.
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	if err := lock(file); err != nil {
		return nil, err
	}
	o = &output{path: path, file: file}
	if err := o.resize(info.Size()); err != nil {
		return nil, err
	}
	o.mark, o.synced = o.size, o.size
	o.span = spanOf(info.ModTime(), maxAge)
	if durable && o.size == 0 {
		return o, syncFolder(path)
	}
	return o, nil
}

// makeFolder makes a folder and those above it where they are missing.
func makeFolder(folder string, durable bool) error {
	there := folder
	for {
		if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		there = filepath.Dir(there)
	}
	if there == folder {
		return nil
	}
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return fmt.Errorf("making the folder %q: %w", folder, err)
	}
	for made := folder; durable && made != there; made = filepath.Dir(made) {
		if err := syncFolder(made); err != nil {
			return err
		}
	}
	return nil
}

// spanOf returns the number of the span of time that t lies in.
func spanOf(t time.Time, maxAge time.Duration) int64 {
	if maxAge == 0 {
		return 0
	}
	return t.UnixNano() / int64(maxAge)
}

// resize takes note of a length that somebody else has given the file.
func (o *output) resize(size int64) error {
	o.torn = false
	if size > 0 {
		var last [1]byte
		if _, err := o.file.ReadAt(last[:], size-1); err != nil {
			return fmt.Errorf("reading the end of the file: %w", err)
		}
		o.torn = last[0] != '\n'
	}
	o.size = size
	o.mark, o.synced = min(o.mark, size), min(o.synced, size)
	return nil
}

// current reports whether the path still leads to this file: others may have
// renamed or removed it, or its folder. Where the length is another one than
// expected, as after a copy and truncate, it is taken note of.
func (o *output) current() (bool, error) {
	there, err := os.Stat(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the file: %w", err)
	}
	here, err := o.file.Stat()
	if err != nil || !os.SameFile(there, here) {
		return false, nil //nolint:nilerr // A stale handle is of no more use.
	}
	if here.Size() != o.size {
		return true, o.resize(here.Size())
	}
	return true, nil
}

// write appends p, which is whole lines. After an error rollBack is to follow.
func (o *output) write(p []byte) error {
	if o.torn {
		if err := o.append([]byte{'\n'}); err != nil {
			return err
		}
		o.torn = false
	}
	return o.append(p)
}

func (o *output) append(p []byte) error {
	n, err := o.file.Write(p)
	o.size += int64(n)
	if err != nil {
		return fmt.Errorf("writing to the file: %w", err)
	}
	return nil
}

// rollBack cuts off what was written behind length. Where that cannot be, or
// somebody else has written to the file as well, all stays, and a torn line is
// ended before the next one.
func (o *output) rollBack(length int64) error {
	if length >= o.size {
		return nil
	}
	info, err := o.file.Stat()
	if err != nil {
		o.torn = true
		return fmt.Errorf("looking at the file: %w", err)
	}
	if info.Size() == o.size {
		if err = o.file.Truncate(length); err == nil {
			return o.resize(length)
		}
		err = fmt.Errorf("cutting off what was not wholly written: %w", err)
	}
	return errors.Join(err, o.resize(info.Size()))
}

// sync asks the disk for all that was written.
func (o *output) sync() error {
	if o.synced == o.size {
		return nil
	}
	if err := o.file.Sync(); err != nil {
		return fmt.Errorf("syncing the file: %w", err)
	}
	o.synced = o.size
	return nil
}

// syncFolder makes the name of path durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("syncing the folder: %w", err)
	}
	return nil
}
