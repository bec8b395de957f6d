package recent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tallyman/collector/record"
)

// TestRest: while a container's processor time stands still, everything else is
// read once a minute; at once when it moves.
func TestRest(t *testing.T) {
	const id = "7f2aaafba93cf614f0acb433cf8163dcc294cbc8d7ef21cd9519cd87940f35d4"
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("../cgroup/testdata/v1-cgroupfs")); err != nil {
		t.Fatal(err)
	}
	set := func(pattern, content string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(root, "sys/fs/cgroup", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %q, error %v", pattern, err)
		}
		for _, file := range files {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := &record.Container{ID: id, PID: 5733, Running: true, Started: at(0)}
	s := New(Options{Root: root, Containers: func() []*record.Container { return []*record.Container{c} }})
	defer s.close()
	second := 0.0
	f := func(what string, after, pids float64) {
		t.Helper()
		second += after
		s.sample(at(second))
		e := s.entries[id]
		if e.group == nil || float64(e.newest.pids) != pids || !e.newest.at.Equal(at(second)) {
			t.Errorf("%s: the reading is %+v, want %v tasks at %v", what, e.newest, pids, at(second))
		}
	}
	pids, usage := "pids/docker/"+id+"/pids.current", "cpu*/docker/"+id+"/cpuacct.usage"
	set(pids, "1\n")
	f("the first", 0, 1)
	set(pids, "2\n")
	f("not at rest yet", 10, 2)
	f("just at rest", 51, 2)
	set(pids, "3\n")
	f("at rest", 5, 2)
	f("at rest, a minute after all was read", 10, 3)
	set(pids, "4\n")
	f("at rest again", 10, 3)
	set(usage, "999999999999\n")
	f("awake", 10, 4)
	set(pids, "5\n")
	f("awake still", 10, 5)

	// One that was started long ago rests until it is seen to move.
	s.close()
	old := *c
	old.Started = at(-3600)
	c = &old
	f("the first of an old one", 10, 5)
	set(pids, "6\n")
	f("an old one at rest", 10, 5)
	set(usage, "1999999999999\n")
	f("an old one awake", 10, 6)
}

// TestRetry: a cgroup that cannot be opened is tried again after ever longer
// pauses, and at once when the container is started anew.
func TestRetry(t *testing.T) {
	c := &record.Container{ID: "0", PID: 1 << 22, Running: true, Started: time.Unix(1, 0)}
	s := New(Options{Root: "../cgroup/testdata/v1-cgroupfs", Containers: func() []*record.Container { return []*record.Container{c} }})
	defer s.close()
	tries := 0
	for n := range 360 {
		before := time.Time{}
		if e := s.entries["0"]; e != nil {
			before = e.retry
		}
		s.sample(at(float64(10 * n)))
		if !s.entries["0"].retry.Equal(before) {
			tries++
		}
	}
	if tries < 8 || tries > 14 {
		t.Errorf("in an hour it was tried %d times", tries)
	}
	again := *c
	again.Started = time.Unix(2, 0)
	c = &again
	s.sample(at(3601))
	if e := s.entries["0"]; e.pause != firstRetry {
		t.Errorf("after a new start the pause is %v", e.pause)
	}
}
