package file

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyman/collector/record"
)

// numbered returns n lines of some length, and all of them as a file holds them.
func numbered(from, n int) (lines []string, text string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("%d %s", from+i, strings.Repeat("x", (from+i)%90)))
	}
	return lines, strings.Join(lines, "\n") + "\n"
}

// No rotated file is longer than asked for, nothing is lost or torn between
// them, and a line that is longer than that has a file of its own.
func TestRotationBySize(t *testing.T) {
	for _, sync := range []string{"none", "flush"} {
		path := filepath.Join(t.TempDir(), "x.log")
		a := newTest(t, path, map[string]string{"max_size": "10k", "max_backups": "1000", "sync": sync})
		var expected strings.Builder
		for i := range 20 {
			lines, text := numbered(i*100, 100)
			if i == 7 {
				lines[50] = strings.Repeat("long", 5000)
				text = strings.Join(lines, "\n") + "\n"
			}
			expected.WriteString(text)
			if err := send(t, a, web(), lines...); err != nil && sync == "none" {
				t.Fatal(err)
			}
		}
		a.Flush(t.Context())
		names := backups(t, path)
		if all(t, path) != expected.String() {
			t.Fatal("the files do not hold the lines in their order")
		}
		long := 0
		for _, name := range append(names, path) {
			text := content(t, name)
			if !strings.HasSuffix(text, "\n") {
				t.Fatalf("%s ends within a line", name)
			}
			if len(text) > 10<<10 {
				long++
				if strings.Count(text, "\n") != 1 {
					t.Fatalf("%s has %d bytes", name, len(text))
				}
			}
		}
		if long != 1 || len(names) < 9 || len(names) > 15 {
			t.Fatalf("%d files, %d of them too long", len(names), long)
		}
	}
}

// Each span of time has a file of its own, also over a restart, and spans
// without lines have none.
func TestRotationByAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	now := time.Now().Truncate(time.Hour).Add(59 * time.Minute)
	start := func() *adapter {
		a := newTest(t, path, map[string]string{"max_age": "1h", "max_backups": "100"})
		a.now = func() time.Time { return now }
		return a
	}
	a := start()
	mustSend(t, a, web(), "first")
	mustSend(t, a, web(), "same hour")
	now = now.Add(time.Minute)
	mustSend(t, a, web(), "next hour", "too")
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	now = now.Add(3 * time.Hour)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustSend(t, start(), web(), "after a restart")
	names := backups(t, path)
	if len(names) != 2 {
		t.Fatalf("rotated files are %q", names)
	}
	want(t, names[0], "first\nsame hour\n")
	want(t, names[1], "next hour\ntoo\n")
	want(t, path, "after a restart\n")
}

// The newest rotated files are kept, compressed where that is asked for, and no
// file of another container is taken for one of them.
func TestBackups(t *testing.T) {
	f := func(name string, options map[string]string, kept int, ending string) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, "web.1")
			options["max_size"] = "1k"
			a := newTest(t, filepath.Join(root, "{name}"), options)
			hostile := &record.Container{Name: "web.1@20200101T000000.000000Z"}
			mustSend(t, a, hostile, "another container's line")
			other := []string{"web.1@notes", "web.10@20200101T000000.000000Z", "web.1@20200101T000000.000000Z.gz.5.tmp"}
			for _, name := range other {
				if err := os.WriteFile(filepath.Join(root, name), []byte("other"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var expected []string
			for i := range 20 {
				lines, _ := numbered(i*100, 40)
				mustSend(t, a, web(), lines...)
				expected = append(expected, lines...)
			}
			var names []string
			eventually(t, "the rotated files are tidy", func() bool {
				names = slices.DeleteFunc(backups(t, path), func(name string) bool {
					return slices.Contains(other, filepath.Base(name))
				})
				for _, name := range names {
					if !strings.HasSuffix(name, ending) {
						return false
					}
				}
				return len(names) == kept
			})
			if err := a.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, name := range other {
				want(t, filepath.Join(root, name), "other")
				if err := os.Remove(filepath.Join(root, name)); err != nil && strings.HasPrefix(name, "web.1@") {
					t.Fatal(err)
				}
			}
			want(t, filepath.Join(root, "web.1_20200101T000000.000000Z"), "another container's line\n")
			got := all(t, path)
			if whole := strings.Join(expected, "\n") + "\n"; !strings.HasSuffix(whole, got) || len(got) < kept*500 {
				t.Fatalf("%d files hold %d bytes, which are not the last of the %d sent", kept, len(got), len(whole))
			}
		})
	}
	f("plain", map[string]string{"max_backups": "3"}, 3, "Z")
	f("compressed", map[string]string{"max_backups": "3", "compress": "true"}, 3, "Z.gz")
	f("none", map[string]string{"max_backups": "0"}, 0, "")
}

// What a process that died in the middle of compressing has left is removed
// later, and what it had to compress is compressed then.
func TestCompressionGoesOn(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "x")
	left := path + "@20200101T000000.000000Z"
	leftover := left + ".gz.123.tmp"
	for _, name := range []string{left, leftover} {
		if err := os.WriteFile(name, []byte("old\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * abandonAfter)
	if err := os.Chtimes(leftover, long, long); err != nil {
		t.Fatal(err)
	}
	a := newTest(t, path, map[string]string{"max_size": "5", "compress": "true"})
	mustSend(t, a, web(), "one", "two")
	eventually(t, "both files are compressed", func() bool {
		names := backups(t, path)
		return len(names) == 2 && names[0] == left+".gz" && strings.HasSuffix(names[1], ".gz")
	})
	if got := all(t, path); got != "old\none\ntwo\n" {
		t.Fatalf("got %q", got)
	}
}

// Two rotations within a microsecond have two names.
func TestBackupNamesDiffer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	seen := map[string]bool{}
	for i := range 4 {
		name, err := backupName(path, time.Unix(1, 0))
		if err != nil || seen[name] {
			t.Fatalf("%s comes again, %v", name, err)
		}
		seen[name] = true
		if i%2 == 1 {
			name += compressed
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
