//go:build linux

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/cmd/testkit"
)

// mount mounts a file system in memory of so many bytes and returns its folder.
func mount(t *testing.T, size string) string {
	t.Helper()
	root := t.TempDir()
	err := unix.Mount("tallyman", root, "tmpfs", 0, "size="+size)
	testkit.Need(t, err == nil, fmt.Sprintf("a user who may mount file systems: %v", err))
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	return root
}

func remount(t *testing.T, root string, flags uintptr, size string) {
	t.Helper()
	if err := unix.Mount("tallyman", root, "tmpfs", unix.MS_REMOUNT|flags, "size="+size); err != nil {
		t.Fatal(err)
	}
}

// mustRetry fails the test unless err asks for a later attempt.
func mustRetry(t *testing.T, err, cause error) {
	t.Helper()
	var permanent *adapters.PermanentError
	var rejected *adapters.RejectedError
	var partial *adapters.PartialError
	if !errors.Is(err, cause) || errors.As(err, &permanent) || errors.As(err, &rejected) || errors.As(err, &partial) {
		t.Fatalf("got %v, want %v and another attempt", err, cause)
	}
}

// On a full disk a batch fails as a whole and leaves nothing behind; once there
// is room, sending it again leaves no line out, none twice and none torn.
func TestFullDisk(t *testing.T) {
	for _, sync := range []string{"none", "flush", "always"} {
		t.Run(sync, func(t *testing.T) {
			root := mount(t, "64k")
			path := filepath.Join(root, "x.log")
			a := newTest(t, path, map[string]string{"sync": sync})
			var expected strings.Builder
			full := 0
			for i := range 40 {
				lines, text := numbered(i*100, 100)
				err := send(t, a, web(), lines...)
				if errors.Is(err, unix.ENOSPC) {
					full++
					mustRetry(t, err, unix.ENOSPC)
					want(t, path, expected.String())
					remount(t, root, 0, fmt.Sprint(64+64*full, "k"))
					err = send(t, a, web(), lines...)
				}
				if err != nil && !errors.Is(err, errUnsettled) {
					t.Fatal(err)
				}
				expected.WriteString(text)
			}
			if full == 0 {
				t.Fatal("the disk was never full")
			}
			a.Flush(t.Context())
			want(t, path, expected.String())
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A disk that is read-only is an error to try again after.
func TestReadOnlyDisk(t *testing.T) {
	root := mount(t, "1m")
	path := filepath.Join(root, "{name}.log")
	a := newTest(t, path, nil)
	all := adaptertest.Containers(2)
	mustSend(t, a, all[0], "one")
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a = newTest(t, path, nil)
	remount(t, root, unix.MS_RDONLY, "1m")
	for _, c := range all {
		mustRetry(t, send(t, a, c, "two"), unix.EROFS)
	}
	remount(t, root, 0, "1m")
	for _, c := range all {
		mustSend(t, a, c, "two")
	}
	want(t, filepath.Join(root, "web.1.log"), "one\ntwo\n")
	want(t, filepath.Join(root, "web.2.log"), "two\n")
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Where a file or its folder was renamed, removed or cut by others, lines go
// where the path leads.
func TestFilesThatOthersMove(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "sub", "x.log")
	a := newTest(t, path, map[string]string{"sync": "always"})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mustSend(t, a, web(), "one")
	must(os.Rename(path, path+".1"))
	mustSend(t, a, web(), "two")
	want(t, path+".1", "one\n")
	want(t, path, "two\n")
	must(os.RemoveAll(filepath.Dir(path)))
	mustSend(t, a, web(), "three")
	want(t, path, "three\n")
	must(os.Truncate(path, 0))
	mustSend(t, a, web(), "four")
	want(t, path, "four\n")
	must(os.Truncate(path, 2))
	mustSend(t, a, web(), "five")
	want(t, path, "fo\nfive\n")

	must(os.RemoveAll(filepath.Dir(path)))
	must(os.WriteFile(filepath.Dir(path), nil, 0o600))
	mustRetry(t, send(t, a, web(), "six"), unix.ENOTDIR)
	must(os.Remove(filepath.Dir(path)))
	must(os.MkdirAll(path, 0o700))
	mustRetry(t, send(t, a, web(), "six"), unix.EISDIR)
	must(os.Remove(path))
	must(unix.Mkfifo(path, 0o600))
	if err := send(t, a, web(), "six"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Fatalf("got %v", err)
	}
	must(os.Remove(path))
	mustSend(t, a, web(), "six")
	want(t, path, "six\n")
}

// A line that a writer left unfinished when it died is ended before the next.
func TestTornTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, []byte("whole\ntor"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newTest(t, path, nil)
	mustSend(t, a, web(), "next")
	mustSend(t, a, web(), "last")
	want(t, path, "whole\ntor\nnext\nlast\n")
}

// What cannot be undone, because somebody else has written behind it, is ended
// before the next line.
func TestTornByAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	a := newTest(t, path, nil)
	mustSend(t, a, web(), "one")
	o := a.open[path]
	if err := o.append([]byte("half")); err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.WriteString("theirs"); err != nil {
		t.Fatal(err)
	}
	if err := o.rollBack(o.mark); err != nil {
		t.Fatal(err)
	}
	mustSend(t, a, web(), "two")
	want(t, path, "one\nhalftheirs\ntwo\n")
}

// A disk that does not say that it has the lines fails all that wait for it, and
// what was written for them is taken back.
func TestFailedSync(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "{name}.log")
	a := newTest(t, path, map[string]string{"sync": "flush"})
	all := adaptertest.Containers(2)
	results := make([]error, 0, 3)
	keep := func(err error) { results = append(results, err) }
	a.Send(t.Context(), adaptertest.NewBatch(all[0], []byte("one")), keep)
	a.Flush(t.Context())
	a.Send(t.Context(), adaptertest.NewBatch(all[0], []byte("two")), keep)
	a.Send(t.Context(), adaptertest.NewBatch(all[1], []byte("three")), keep)
	// A closed file stands for a disk that fails.
	broken := a.open[filepath.Join(root, "web.2.log")]
	if err := broken.file.Close(); err != nil {
		t.Fatal(err)
	}
	a.Flush(t.Context())
	if len(results) != 3 || results[0] != nil || !errors.Is(results[1], os.ErrClosed) || !errors.Is(results[2], os.ErrClosed) {
		t.Fatalf("got %v", results)
	}
	// The broken file is let go at the next attempt.
	a.Send(t.Context(), adaptertest.NewBatch(all[1], []byte("three")), keep)
	results = results[:0]
	a.Send(t.Context(), adaptertest.NewBatch(all[0], []byte("two")), keep)
	a.Send(t.Context(), adaptertest.NewBatch(all[1], []byte("three")), keep)
	a.Flush(t.Context())
	if err := errors.Join(results...); err != nil || len(results) != 2 {
		t.Fatalf("got %v", results)
	}
	// The first file was synced before the other one failed, or it was not; in
	// no case is a line missing.
	if got := content(t, filepath.Join(root, "web.1.log")); got != "one\ntwo\n" && got != "one\ntwo\ntwo\n" {
		t.Fatalf("got %q", got)
	}
	if got := content(t, filepath.Join(root, "web.2.log")); !strings.HasSuffix(got, "three\n") {
		t.Fatalf("got %q", got)
	}
}

// A file has one writer at a time: another one is told so and tries again.
func TestTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	options := map[string]string{"max_size": "10", "max_backups": "100"}
	first, second := newTest(t, path, options), newTest(t, path, options)
	mustSend(t, first, web(), "one")
	f := func() {
		t.Helper()
		if err := send(t, second, web(), "theirs"); !errors.Is(err, errLocked) {
			t.Fatalf("got %v, want %v", err, errLocked)
		}
	}
	f()
	mustSend(t, first, web(), "two", "three", "four")
	f()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSend(t, second, web(), "theirs")
	if got := all(t, path); got != "one\ntwo\nthree\nfour\ntheirs\n" {
		t.Fatalf("got %q", got)
	}
}
