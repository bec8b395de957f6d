package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyman/collector/durable"
	"tallyman/collector/record"
)

func TestFailedSaveKeepsTheOldFileAndTheNewPositions(t *testing.T) {
	for name, broken := range faults() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			faulty := &faultyFiles{}
			s, err := open(dir, nil, faulty, start)
			if err != nil {
				t.Fatal(err)
			}
			s.Set("a", "c", "n", at(1, 1), none, start)
			mustSave(t, s)

			faulty.set(broken)
			s.Set("a", "c", "n", at(1, 2), none, start)
			if err := s.Save(); err == nil {
				t.Fatal("the save did not fail")
			}
			if !s.Dirty() {
				t.Error("not dirty after a failed save")
			}
			wantPosition(t, s, "a", "c", at(1, 2))
			// Whatever lies in the folder now is what a next life would find.
			next := newStore(dir, nil, durable.Disk{})
			if err := next.read(start); err != nil {
				t.Fatal(err)
			}
			wantPosition(t, next, "a", "c", at(1, 1))

			faulty.set(fault{})
			mustSave(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantPosition(t, mustOpen(t, dir), "a", "c", at(1, 2))
		})
	}
}

func TestUnsyncedFolderIsSavedAgain(t *testing.T) {
	faulty := &faultyFiles{fault: fault{syncDir: syscall.EIO}}
	s, err := open(t.TempDir(), nil, faulty, start)
	if err != nil {
		t.Fatal(err)
	}
	s.Set("a", "c", "n", at(1, 1), none, start)
	if err := s.Save(); !errors.Is(err, syscall.EIO) || !s.Dirty() {
		t.Errorf("Save = %v, dirty %v", err, s.Dirty())
	}
	faulty.set(fault{})
	if err := s.Close(); err != nil || s.Dirty() {
		t.Errorf("Close = %v, dirty %v", err, s.Dirty())
	}
}

// wantCorrupt opens a folder whose file cannot be read.
func wantCorrupt(t *testing.T, dir string, files durable.Files, content []byte) *CorruptError {
	t.Helper()
	s, err := open(dir, nil, files, start)
	var warning *Warning
	var corrupt *CorruptError
	if !errors.As(err, &warning) || !errors.As(err, &corrupt) {
		t.Fatalf("opening %q = %v, want a warning of corruption", content, err)
	}
	if s == nil || len(s.routes) != 0 || len(s.containers) != 0 {
		t.Fatalf("opening %q did not leave an empty store", content)
	}
	// A route may have been met long ago, and have left off anywhere.
	if first := s.Meet("a", "", start); !s.Forgotten() || first.After(time.Time{}) {
		t.Errorf("a route is first met at %v", first)
	}
	s.Set("a", "c", "n", at(1, 1), none, start)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return corrupt
}

func TestCorruptFileIsPutAside(t *testing.T) {
	s := newStore("", nil, nil)
	s.Set("a", "c", "n", at(1, 10), none, start)
	whole := string(content(s))
	if err := newStore("", nil, nil).load([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	f := func(content, want string) {
		t.Helper()
		dir := t.TempDir()
		path := filepath.Join(dir, fileName)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		corrupt := wantCorrupt(t, dir, durable.Disk{}, []byte(content))
		if !strings.Contains(corrupt.Error(), want) || corrupt.Aside != path+".corrupt-20261121T010203Z" {
			t.Errorf("opening %q = %v, want %q", content, corrupt, want)
		}
		if kept, err := os.ReadFile(corrupt.Aside); err != nil || string(kept) != content {
			t.Errorf("kept %q, %v; want %q", kept, err, content)
		}
		wantPosition(t, mustOpen(t, dir), "a", "c", at(1, 1))
	}
	f("", "EOF")
	f("null", "unknown version 0")
	f("\x00\x00\x00\x00", "invalid")
	for _, n := range []int{1, len(whole) / 2, len(whole) - 2} {
		f(whole[:n], "EOF")
	}
	f(whole+whole, "behind the end")
	f(strings.Replace(whole, `"version":1`, `"version":2`, 1), "unknown version 2")
	f(strings.Replace(whole, `"off":10`, `"off":-10`, 1), "bad offset")
	f(strings.Replace(whole, `"off":10`, `"off":"10"`, 1), "decoding")
	f(strings.Replace(whole, "fedcba", "fedcb", 1), "bad checksum")
	f(strings.Replace(whole, "fedcba", "+edcba", 1), "bad checksum")
	f(strings.Replace(whole, `"c":{"name"`, `"d":{"name"`, 1), "not listed")
}

func TestUnreadableFile(t *testing.T) {
	corrupt := wantCorrupt(t, t.TempDir(), &faultyFiles{fault: fault{read: syscall.EIO}}, nil)
	if !errors.Is(corrupt, syscall.EIO) {
		t.Errorf("opening = %v, want %v", corrupt, syscall.EIO)
	}
	// There is nothing to put aside here, which is said too.
	if corrupt.Aside != "" || !errors.Is(corrupt, fs.ErrNotExist) {
		t.Errorf("opening = %v, aside %q", corrupt, corrupt.Aside)
	}
}

func TestRemovedFolderIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := mustOpen(t, dir)
	s.Set("a", "c", "n", at(1, 1), none, start)
	mustSave(t, s)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.Set("a", "c", "n", at(1, 2), none, start)
	mustSave(t, s)
	// The lock came back with the folder.
	var locked *LockedError
	if _, err := Open(dir, nil); !errors.As(err, &locked) {
		t.Errorf("a second store = %v, want a *LockedError", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantPosition(t, mustOpen(t, dir), "a", "c", at(1, 2))
}

func TestFolderThatCannotBeMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, nil)
	var warning *Warning
	if !errors.As(err, &warning) || s == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("Open = %v, want a warning", err)
	}
	s.Set("a", "c", "n", at(1, 1), none, start)
	if err := s.Save(); err == nil || !s.Dirty() {
		t.Errorf("Save = %v, dirty %v", err, s.Dirty())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOneAgentAFolder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	_, err := Open(dir, nil)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Dir != dir || locked.PID != fmt.Sprint(os.Getpid()) ||
		!strings.Contains(err.Error(), dir) {
		t.Errorf("a second store = %v, want a *LockedError that names %q", err, dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := mustOpen(t, dir)
	s.Set("a", "c", "n", at(1, 1), none, start)
	mustSave(t, s)
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %q = %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	s := newStore("", nil, nil)
	s.Meet("a \"b\"", "d", start)
	s.Set("a \"b\"", "c", "n\xff", record.Position{Gen: record.Generation{Inode: 3, Len: 4, Sum: 5}, Off: 6, Skip: 7}, none, start)
	whole := content(s)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"containers":{"c":{"seen":"9999-12-31T23:59:59-23:00"}},"routes":{"r":{"positions":{"c":{"sum":"0000000000000000"}}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := newStore("", nil, nil)
		if err := read.load(data); err != nil {
			if len(read.routes) != 0 || len(read.containers) != 0 {
				t.Fatalf("a refused file left something: %v", err)
			}
			return
		}
		// What can be read can be written, and is then read as the same.
		written := content(read)
		again := newStore("", nil, nil)
		if err := again.load(written); err != nil {
			t.Fatalf("reading what was written: %v\n%s", err, written)
		}
		if len(again.routes) != len(read.routes) || len(again.containers) != len(read.containers) {
			t.Fatalf("%d routes and %d containers became %d and %d", len(read.routes), len(read.containers),
				len(again.routes), len(again.containers))
		}
		for id, c := range read.containers {
			for _, e := range c.entries {
				wantPosition(t, again, e.route.identity, id, e.position)
			}
		}
		if twice := content(again); string(twice) != string(written) {
			t.Fatalf("written again it differs:\n%s\n%s", written, twice)
		}
		again.Forget(time.Now(), 0, 0)
	})
}
