package jsonfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tallyman/collector/durable"
	"tallyman/collector/record"
)

// openTestVault opens a vault and a text to put into it.
func openTestVault(t *testing.T) (*vault, *os.File) {
	t.Helper()
	v, err := openVault(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.Create(filepath.Join(t.TempDir(), "text"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = text.Close() })
	return v, text
}

// TestCopiesOfTheSame: of two copies of one file that with more of it counts.
func TestCopiesOfTheSame(t *testing.T) {
	v, text := openTestVault(t)
	name := record.Generation{Inode: 1, Len: 1}
	for _, base := range []int64{7, 3, 5} {
		if _, err := v.add(running("web"), text, 0, name, base, ""); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		found, err := v.load("web")
		if err != nil || len(found) != 1 || found[0].base != 3 {
			t.Fatalf("found are %+v, %v", found, err)
		}
		closeAll(found)
	}
	if files := rescuedFiles(t, v.dir); len(files) != 1 {
		t.Errorf("the copies are %q", files)
	}
}

// TestCopiesKeepTheirOrder: copies are read in the order in which they were made,
// also when the clock was set back meanwhile.
func TestCopiesKeepTheirOrder(t *testing.T) {
	v, text := openTestVault(t)
	const copies = 4
	for i := range uint64(copies) {
		name := record.Generation{Inode: i, Len: 1}
		path, err := v.add(running("web"), text, 0, name, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		// As if the clock had been an hour ahead.
		ahead := filepath.Join(filepath.Dir(path), fileName(time.Now().Add(time.Hour), name, 0))
		if err := os.Rename(path, ahead); err != nil {
			t.Fatal(err)
		}
	}
	found, err := v.load("web")
	if err != nil || len(found) != copies {
		t.Fatalf("%d copies, %v", len(found), err)
	}
	defer closeAll(found)
	for i, g := range found {
		if g.inode != uint64(i) {
			t.Errorf("copy %d is the %d. that was made", i, g.inode)
		}
	}
}

// TestOlderCopiesComeFirst: copies of older files that are made later are read
// before those of younger ones.
func TestOlderCopiesComeFirst(t *testing.T) {
	v, text := openTestVault(t)
	add := func(i uint64, younger string) (path string) {
		t.Helper()
		path, err := v.add(running("web"), text, 0, record.Generation{Inode: i, Len: 1}, 0, younger)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	fourth := add(4, "")
	add(5, "")
	second := add(2, fourth)
	add(3, fourth)
	add(6, "")
	add(1, second)
	found, err := v.load("web")
	if err != nil || len(found) != 6 {
		t.Fatalf("%d copies, %v", len(found), err)
	}
	defer closeAll(found)
	for i, g := range found {
		if g.inode != uint64(i+1) {
			t.Errorf("copy %d is of file %d", i+1, g.inode)
		}
	}
}

// failingSync are real files of which one folder cannot be synced at first.
type failingSync struct {
	durable.Disk
	dir            string
	failed, synced bool
}

func (f *failingSync) SyncDir(path string) error {
	if path == f.dir {
		if !f.failed {
			f.failed = true
			return syscall.EIO
		}
		f.synced = true
	}
	return f.Disk.SyncDir(path)
}

// TestCopiesFolderIsDurable: no copy counts as made while a crash of the host
// could take its folder.
func TestCopiesFolderIsDurable(t *testing.T) {
	v, text := openTestVault(t)
	files := &failingSync{dir: v.dir}
	v.files = files
	if _, err := v.add(running("web"), text, 0, record.Generation{}, 0, ""); err == nil {
		t.Error("the failure is not told")
	}
	if _, err := v.add(running("web"), text, 0, record.Generation{}, 0, ""); err != nil || !files.synced {
		t.Errorf("a copy is made (%v) in a folder that is not durable", err)
	}
}
