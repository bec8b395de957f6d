package checkpoint

import (
	"errors"
	"io"
	"os"
)

// files is the little that a store needs of a file system, so that tests can
// have it fail.
type files interface {
	ReadFile(path string) ([]byte, error)
	MkdirAll(path string) error
	// Create opens a file for writing and empties it.
	Create(path string) (file, error)
	Rename(from, to string) error
	// SyncDir makes renames in a folder durable.
	SyncDir(path string) error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// diskFiles are the files of the operating system. Only their owner may read
// them: a file tells which containers a host runs and where their logs go.
type diskFiles struct{}

func (diskFiles) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }
func (diskFiles) MkdirAll(path string) error           { return os.MkdirAll(path, 0o700) }
func (diskFiles) Rename(from, to string) error         { return os.Rename(from, to) }

func (diskFiles) Create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (diskFiles) SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
