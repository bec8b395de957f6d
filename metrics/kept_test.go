package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestKeptFiles(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := keptFiles{root: root}
	defer files.close()
	if _, err := files.read("a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	write("first")
	f := func(want string) {
		t.Helper()
		if got, err := files.read("a"); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	f("first")
	write("second")
	f("second")
	files.close()
	f("second")
	kept := files.files["a"]
	f("second")
	if files.files["a"] != kept {
		t.Error("the file is opened again")
	}
	// One that cannot be read any more is opened anew.
	kept.Close()
	if _, err := files.read("a"); err == nil {
		t.Error("a closed file was read")
	}
	f("second")
}
