package spool

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
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
	// stall is what new names wait for before they are durable; nil for nothing.
	stall chan struct{}
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
	fault := f.now()
	if fault.stall != nil {
		<-fault.stall
	}
	if fault.syncDir != nil {
		return fault.syncDir
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

// A disk that takes long holds up the writer alone: whoever asks for readers, reads,
// or tells of a change of the container would hold up all other logs.
func TestSlowDisk(t *testing.T) {
	disk := &faultyFiles{}
	stall := make(chan struct{})
	disk.set(fault{stall: stall})
	s, err := open(Options{Dir: filepath.Join(t.TempDir(), "spool")}, disk)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Log(testID)
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan error, 1)
	go func() { begun <- l.Begin(Mark{}) }()
	for l.wmu.TryLock() {
		// Until the writer is at it.
		l.wmu.Unlock()
		time.Sleep(time.Millisecond)
	}
	asked := make(chan error, 1)
	go func() {
		l.SetContainer(&record.Container{ID: testID, Name: "web"})
		r, err := l.Reader(record.Oldest(), func() {})
		if err == nil {
			err = r.Next(record.NewBatch())
		}
		if l.Described() || l.Begun() || l.Readers() != 1 || s.Held() != 0 {
			err = errors.New("what is not on disk is taken for done")
		}
		asked <- err
	}()
	select {
	case err := <-asked:
		if !errors.Is(err, collector.ErrIdle) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("others wait for the disk as well")
	}
	close(stall)
	if err := errors.Join(<-begun, s.Close()); err != nil {
		t.Fatal(err)
	}
}
