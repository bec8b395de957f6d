package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"tallyman/collector/record"
)

// elsewhere is a process ID that the fixtures do not have.
const elsewhere = 77777

// engineAnswer is what an engine tells of a running container.
const engineAnswer = `{"read":"2026-05-01T10:00:00Z","memory_stats":{"usage":1000,"stats":{"total_inactive_file":300}}}`

// unseen is a host on which no container's processes can be seen: the agent has
// process IDs of its own. The engine says answer or err of each container.
type unseen struct {
	*Containers
	log   *bytes.Buffer
	asked atomic.Int64
}

func newUnseen(t *testing.T, root, answer string, failure error, list ...*record.Container) *unseen {
	t.Helper()
	u := &unseen{log: new(bytes.Buffer)}
	u.Containers = newContainers(t, Options{Containers: always(list...), Root: root, Logger: slog.New(slog.NewTextHandler(u.log, nil)),
		Stats: func(context.Context, string) ([]byte, error) {
			u.asked.Add(1)
			return []byte(answer), failure
		}})
	return u
}

// A container that the agent does not find is asked for, although the tree of
// cgroups is there: it may be the agent's own.
func TestUnseenContainersAreAskedFor(t *testing.T) {
	t.Parallel()
	f := func(root string, pid int) {
		t.Helper()
		u := newUnseen(t, root, engineAnswer, nil, web(pid))
		// It was started while somebody scrapes.
		gather(t, u.Containers)
		u.Track(web(pid))
		u.running.Wait()
		for range 2 {
			text := string(exposition(u))
			if got, _ := valueOf(text, "container_memory_working_set_bytes", "web"); got != "700" {
				t.Errorf("the working set is %q, want 700", got)
			}
			if !strings.Contains(text, "\ncontainer_scrape_error 0\n") {
				t.Error("asking the engine counts as an error")
			}
		}
		if u.asked.Load() != 3 {
			t.Errorf("the engine was asked %d times in 3 scrapes", u.asked.Load())
		}
		if n := strings.Count(u.log.String(), "level="); n != 1 || !strings.Contains(u.log.String(), "the engine is asked") {
			t.Errorf("the log says, for 3 scrapes:\n%s", u.log)
		}
	}
	f(fixture("v1-cgroupfs"), elsewhere)
	f(fixture("v2-systemd"), elsewhere)
	// The process with that number is another's.
	f(fixture("v2-systemd"), 2344)
	// There are no cgroups at all.
	f(t.TempDir(), elsewhere)

	// Of version 1 only the agent's own cgroup is mounted, of every controller.
	root := t.TempDir()
	copyTree(t, fixture("v1-cgroupfs"), root)
	path := filepath.Join(root, "proc/1/mountinfo")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	part := bytes.ReplaceAll(content, []byte(" / /sys/fs/cgroup"), []byte(" /docker/"+strings.Repeat("a", 64)+" /sys/fs/cgroup"))
	if bytes.Equal(part, content) {
		t.Fatalf("%s is %s", path, content)
	}
	if err := os.WriteFile(path, part, 0o644); err != nil {
		t.Fatal(err)
	}
	f(root, 5733)
}

// A container that the engine does not run any more has no series, and that is
// no error.
func TestUnseenContainerThatIsGone(t *testing.T) {
	t.Parallel()
	f := func(answer string, failure error) {
		t.Helper()
		u := newUnseen(t, fixture("v1-cgroupfs"), answer, failure, web(elsewhere))
		for range 2 {
			text := string(exposition(u))
			if _, ok := valueOf(text, "container_last_seen", "web"); ok {
				t.Error("it is shown")
			}
			if !strings.Contains(text, "\ncontainer_scrape_error 0\n") {
				t.Error("it counts as an error")
			}
		}
		if u.asked.Load() != 1 {
			t.Errorf("the engine was asked %d times", u.asked.Load())
		}
	}
	f(`{"read":"0001-01-01T00:00:00Z"}`, nil)
	f("", fmt.Errorf("no such container: %w", ErrGone))
}

// An engine that cannot be asked is an error, which says so.
func TestUnseenContainerAndNoAnswer(t *testing.T) {
	t.Parallel()
	u := newUnseen(t, fixture("v1-cgroupfs"), "", errors.New("403 Forbidden"), web(elsewhere))
	text := string(exposition(u))
	if !strings.Contains(text, "\ncontainer_scrape_error 1\n") || !strings.Contains(text, `tallyman_scrape_errors_total{container="web"} 1`+"\n") {
		t.Error("it does not count as an error")
	}
	if !strings.Contains(u.log.String(), "403 Forbidden") {
		t.Errorf("the log says %q", u.log)
	}
	if exposition(u); u.asked.Load() != 2 {
		t.Error("the engine is given up")
	}
}

// Where the agent does see containers, one that it does not find has ended. The
// engine is not asked: it may take a second to answer.
func TestGoneContainersAreNotAskedFor(t *testing.T) {
	t.Parallel()
	list := []*record.Container{plain(5801)}
	u := newUnseen(t, fixture("v1-cgroupfs"), engineAnswer, nil)
	u.containers = func() []*record.Container { return list }
	exposition(u)
	list = append(list, web(elsewhere))
	if _, ok := valueOf(string(exposition(u)), "container_last_seen", "web"); ok || u.asked.Load() != 0 {
		t.Errorf("the engine was asked %d times", u.asked.Load())
	}
}

// The agent's own cgroup is not shown as the machine's.
func TestRootThatCannotBeSeen(t *testing.T) {
	t.Parallel()
	f := func(name string, add ...string) {
		t.Helper()
		root := t.TempDir()
		copyTree(t, fixture(name), root)
		text := string(exposition(newContainers(t, Options{Containers: always(), Root: root})))
		if !strings.Contains(text, `container_memory_usage_bytes{id="/"`) {
			t.Errorf("%s: the root is not shown", name)
		}
		for _, path := range add {
			if err := os.WriteFile(filepath.Join(root, path), []byte("max\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text = string(exposition(newContainers(t, Options{Containers: always(), Root: root})))
		if strings.Contains(text, `id="/"`) || !strings.Contains(text, "\ncontainer_scrape_error 0\n") {
			t.Errorf("%s: another cgroup is shown as the root", name)
		}
	}
	f("v1-cgroupfs", "sys/fs/cgroup/pids/pids.max")
	f("v2-systemd", "sys/fs/cgroup/cgroup.events")
}
