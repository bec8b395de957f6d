package jsonfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tallyman/collector/durable"
	"tallyman/collector/record"
)

// faultyFiles are real files of which those whose name ends in suffix fail as a
// test says.
type faultyFiles struct {
	durable.Disk
	mu sync.Mutex
	// suffix and fault are guarded by mu.
	suffix string
	fault  fault
}

// fault holds the error that each step fails with.
type fault struct {
	create, write, sync, close, rename, syncDir error
	// short is how many bytes a write takes before it fails or, without an
	// error, ends as if it were done.
	short int
	// crash says that the process ends with the failure: nothing is tidied up.
	crash bool
}

func (f *faultyFiles) set(suffix string, fault fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.suffix, f.fault = suffix, fault
}

// of returns how to fail for a file.
func (f *faultyFiles) of(path string) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(path, f.suffix) {
		return f.fault
	}
	return fault{}
}

func (f *faultyFiles) Create(path string) (durable.File, error) {
	fault := f.of(strings.TrimSuffix(path, copySuffix))
	if fault.create != nil {
		return nil, fault.create
	}
	real, err := f.Disk.Create(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{real, fault}, nil
}

func (f *faultyFiles) Rename(from, to string) error {
	if err := f.of(to).rename; err != nil {
		return err
	}
	return f.Disk.Rename(from, to)
}

func (f *faultyFiles) SyncDir(path string) error {
	f.mu.Lock()
	err := f.fault.syncDir
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Disk.SyncDir(path)
}

type faultyFile struct {
	durable.File
	fault fault
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.fault.short == 0 && f.fault.write == nil {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:min(f.fault.short, len(p))])
	return n, errors.Join(err, f.fault.write)
}

func (f *faultyFile) Sync() error { return errors.Join(f.fault.sync, f.File.Sync()) }

func (f *faultyFile) Close() error { return errors.Join(f.File.Close(), f.fault.close) }

// TestRescueThroughFaults: whichever write fails, of a copy or of what tells whose
// it is, nothing half-written is taken for a copy, the copy is made when the disk
// is well again, and a restart finds each line once.
func TestRescueThroughFaults(t *testing.T) {
	faults := map[string]fault{
		"the disk is full":                 {short: 20, write: syscall.ENOSPC},
		"a write is short":                 {short: 20},
		"the file system is read-only":     {create: syscall.EROFS},
		"the disk is broken":               {sync: syscall.EIO},
		"closing fails":                    {close: syscall.EDQUOT},
		"a crash between write and rename": {rename: errors.New("crash"), crash: true},
		"renaming fails":                   {rename: syscall.EACCES},
		"the folder cannot be synced":      {syncDir: syscall.EIO},
	}
	for name, broken := range faults {
		for _, suffix := range []string{rescuedSuffix, containerFile} {
			t.Run(fmt.Sprint(name, " at ", suffix), func(t *testing.T) {
				dir, vault := t.TempDir(), t.TempDir()
				root, err := Open(Options{Dir: dir, TempDir: t.TempDir(), RescueDir: vault})
				if err != nil {
					t.Fatal(err)
				}
				faulty := &faultyFiles{}
				root.vault.files = faulty
				w := newWriter(t, dir)
				w.maxFile = 2
				l := mustLog(t, root, running(w.id))
				r := openReader(t, l, record.Oldest())
				want := []string{"one", "two"}
				for _, text := range want {
					w.line(text, record.Stdout)
				}
				got, _, _ := drain(t, r, record.NewBatch())
				wantLines(t, got, want)
				w.rotate()
				l.look()

				faulty.set(suffix, broken)
				root.rescue(l)
				if n := root.Stats().RescueErrors.Load(); n != 1 {
					t.Errorf("%d failures are counted", n)
				}
				if files := rescuedFiles(t, vault); len(files) > 0 || root.vault.used.Load() != 0 {
					t.Errorf("there is %q, and %d bytes are counted", files, root.vault.used.Load())
				}
				if half, err := filepath.Glob(filepath.Join(vault, "*", "*"+copySuffix)); err != nil || len(half) > 0 {
					t.Errorf("left behind: %q, %v", half, err)
				}
				faulty.set("", fault{})
				if broken.crash {
					// A process that has ended tidies nothing up.
					half := filepath.Join(vault, w.id, "half"+suffix+copySuffix)
					w.must(os.MkdirAll(filepath.Dir(half), 0o700))
					w.must(os.WriteFile(half, []byte(`{"ID":`), 0o600))
					again, err := openVault(vault)
					if err != nil {
						t.Fatal(err)
					}
					if found, err := again.containers(); err != nil || len(found) > 0 || again.used.Load() != 0 {
						t.Errorf("after a crash there are %v, %v", found, err)
					}
				}
				root.rescue(l)
				w.remove()
				_ = r.Close()

				root, _ = openRescuing(t, dir, vault, 1<<30)
				orphans := root.Orphans()
				if len(orphans) != 1 || orphans[0].Name != "web" {
					t.Fatalf("the orphans are %+v", orphans)
				}
				got, _, ended := drain(t, openReader(t, mustLog(t, root, orphans[0]), record.Oldest()), record.NewBatch())
				wantLines(t, got, want)
				if !ended {
					t.Error("the log has no end")
				}
			})
		}
	}
}

// TestRescuedWithoutAName: should the file be damaged that tells whose a copy is,
// the copy is read all the same.
func TestRescuedWithoutAName(t *testing.T) {
	dir, vault := t.TempDir(), t.TempDir()
	w := newWriter(t, t.TempDir())
	w.line("one", record.Stdout)
	text, err := os.ReadFile(w.path(0))
	w.must(err)
	folder := filepath.Join(vault, w.id)
	w.must(os.Mkdir(folder, 0o700))
	w.must(os.WriteFile(filepath.Join(folder, fileName(w.clock, record.Generation{Inode: 1, Len: 1, Sum: 1}, 0)), text, 0o600))
	w.must(os.WriteFile(filepath.Join(folder, containerFile), []byte(`{"ID":"`), 0o600))
	root, _ := openRescuing(t, dir, vault, 1<<30)
	orphans := root.Orphans()
	if len(orphans) != 1 || orphans[0].ID != w.id || root.Stats().ReadErrors.Load() != 1 {
		t.Fatalf("the orphans are %+v, %d errors are counted", orphans, root.Stats().ReadErrors.Load())
	}
	got, _, _ := drain(t, openReader(t, mustLog(t, root, orphans[0]), record.Oldest()), record.NewBatch())
	wantLines(t, got, []string{"one"})
}
