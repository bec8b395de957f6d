package metrics

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tallyman/metrics/cgroup"
)

// keptFiles reads files of the kernel, as those of /proc, again and again: they stay
// open, for opening one costs more than most take to read. The zero value with a root
// is ready. It is not safe for concurrent use.
type keptFiles struct {
	root   string
	files  map[string]*os.File
	buffer cgroup.Buffer
}

// read returns the content of a file below the root, valid until the next call.
func (k *keptFiles) read(path string) ([]byte, error) {
	file := k.files[path]
	if file == nil {
		// What os.Open returns is polled by Go's runtime, for nothing here.
		whole := filepath.Join(k.root, path)
		fd, err := unix.Open(whole, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("opening %q: %w", whole, err)
		}
		if k.files == nil {
			k.files = make(map[string]*os.File)
		}
		file = os.NewFile(uintptr(fd), whole)
		k.files[path] = file
	}
	content, err := k.buffer.Read(int(file.Fd()))
	if err != nil {
		delete(k.files, path)
		file.Close()
		return nil, fmt.Errorf("reading %q: %w", file.Name(), err)
	}
	return content, nil
}

// close closes the files. They may be read after it.
func (k *keptFiles) close() {
	for path, file := range k.files {
		file.Close()
		delete(k.files, path)
	}
}
