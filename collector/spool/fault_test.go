package spool

import (
	"sync"
)

// faultyFiles are real files that fail where a test says so.
type faultyFiles struct {
	diskFiles
	mu sync.Mutex
	// fault is how to fail; guarded by mu.
	fault fault
}

// fault holds the error that each step fails with.
type fault struct {
	create, write, sync, mkdir, remove, syncDir error
	// short is how many bytes a write takes before it fails.
	short int
}

func (f *faultyFiles) set(fault fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *faultyFiles) now() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

func (f *faultyFiles) MkdirAll(path string) error {
	if err := f.now().mkdir; err != nil {
		return err
	}
	return f.diskFiles.MkdirAll(path)
}

func (f *faultyFiles) Open(path string, create bool) (file, error) {
	if err := f.now().create; err != nil && create {
		return nil, err
	}
	real, err := f.diskFiles.Open(path, create)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file: real, faults: f}, nil
}

func (f *faultyFiles) Remove(path string) error {
	if err := f.now().remove; err != nil {
		return err
	}
	return f.diskFiles.Remove(path)
}

func (f *faultyFiles) SyncDir(path string) error {
	if err := f.now().syncDir; err != nil {
		return err
	}
	return f.diskFiles.SyncDir(path)
}

type faultyFile struct {
	file
	faults *faultyFiles
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	fault := f.faults.now()
	if fault.write == nil {
		return f.file.WriteAt(p, off)
	}
	n, _ := f.file.WriteAt(p[:min(fault.short, len(p))], off)
	return n, fault.write
}

func (f *faultyFile) Sync() error {
	if err := f.faults.now().sync; err != nil {
		return err
	}
	return f.file.Sync()
}
