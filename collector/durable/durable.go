// Package durable is the little that is needed of a file system to write files
// that are whole after a crash: write under another name, sync, rename, sync the
// folder. It is an interface, so that tests can have each step fail.
package durable

import (
	"errors"
	"io"
	"os"
)

// Files is a file system.
type Files interface {
	ReadFile(path string) ([]byte, error)
	MkdirAll(path string) error
	// Create opens a file for writing and empties it.
	Create(path string) (File, error)
	Rename(from, to string) error
	// SyncDir makes new names in a folder durable.
	SyncDir(path string) error
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	// Sync makes what has been written durable.
	Sync() error
}

// Disk is the file system of the operating system. Only their owner may read the
// files that it makes: they tell which containers a host runs, where their logs
// go, and what they wrote.
type Disk struct{}

var _ Files = Disk{}

// ReadFile implements Files.
func (Disk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// MkdirAll implements Files.
func (Disk) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

// Rename implements Files.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// Create implements Files.
func (Disk) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// SyncDir implements Files.
func (Disk) SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
