package checkpoint

import (
	"errors"
	"sync"
	"syscall"

	"tallyman/collector/durable"
)

// errCrash stands for the end of the process: nothing after it happens.
var errCrash = errors.New("crash")

// faultyFiles are real files that fail where a test says so.
type faultyFiles struct {
	durable.Disk
	mu sync.Mutex
	// fault is how to fail; guarded by mu.
	fault fault
	// writes counts the files written; guarded by mu.
	writes int
}

// fault holds the error that each step fails with.
type fault struct {
	read, create, write, sync, close, rename, syncDir error
	// short is how many bytes a write takes before it fails or, without an
	// error, ends as if it were done.
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

func (f *faultyFiles) ReadFile(path string) ([]byte, error) {
	if err := f.now().read; err != nil {
		return nil, err
	}
	return f.Disk.ReadFile(path)
}

func (f *faultyFiles) Create(path string) (durable.File, error) {
	if err := f.now().create; err != nil {
		return nil, err
	}
	real, err := f.Disk.Create(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: real, faults: f}, nil
}

func (f *faultyFiles) Rename(from, to string) error {
	if err := f.now().rename; err != nil {
		return err
	}
	return f.Disk.Rename(from, to)
}

func (f *faultyFiles) SyncDir(path string) error {
	if err := f.now().syncDir; err != nil {
		return err
	}
	return f.Disk.SyncDir(path)
}

type faultyFile struct {
	durable.File
	faults *faultyFiles
}

func (f *faultyFile) Write(p []byte) (int, error) {
	f.faults.mu.Lock()
	f.faults.writes++
	short, err := f.faults.fault.short, f.faults.fault.write
	f.faults.mu.Unlock()
	if short == 0 && err == nil {
		return f.File.Write(p)
	}
	n, writeErr := f.File.Write(p[:min(short, len(p))])
	if err == nil {
		err = writeErr
	}
	return n, err
}

func (f *faultyFile) Sync() error {
	if err := f.faults.now().sync; err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Close() error {
	return errors.Join(f.File.Close(), f.faults.now().close)
}

// faults are all the ways in which a save can fail.
func faults() map[string]fault {
	return map[string]fault{
		"the disk is full":                 {short: 100, write: syscall.ENOSPC},
		"a write is short":                 {short: 100},
		"the file system is read-only":     {create: syscall.EROFS},
		"the disk is broken":               {sync: syscall.EIO},
		"closing fails":                    {close: syscall.EDQUOT},
		"a crash between write and rename": {rename: errCrash},
		"renaming fails":                   {rename: syscall.EACCES},
	}
}
