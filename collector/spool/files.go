package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// files is the little that a spool needs of a file system, so that tests can
// have it fail.
type files interface {
	ReadDir(path string) ([]fs.DirEntry, error)
	MkdirAll(path string) error
	// Open opens a file for reading and writing, or for reading alone where
	// writing is not allowed. With create it makes a new file.
	Open(path string, create bool) (file, error)
	Remove(path string) error
	// SyncDir makes new names in a folder durable.
	SyncDir(path string) error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// diskFiles are the files of the operating system. Only their owner may read
// them: they hold what containers wrote.
type diskFiles struct{}

func (diskFiles) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }
func (diskFiles) MkdirAll(path string) error                 { return os.MkdirAll(path, 0o700) }
func (diskFiles) Remove(path string) error                   { return os.Remove(path) }

func (diskFiles) Open(path string, create bool) (file, error) {
	if create {
		return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (diskFiles) SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
