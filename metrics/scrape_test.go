package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyman/collector/record"
)

// value returns the value of a container's series in a family, and whether there
// is one. Further labels come as name, value.
func valueOf(text, family, container string, labels ...string) (string, bool) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, family+"{") || !strings.Contains(line, `name="`+container+`"`) {
			continue
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && strings.Contains(line, labels[i]+`="`+labels[i+1]+`"`)
		}
		if fits {
			return strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), true
		}
	}
	return "", false
}

// ofDB is a file of the container "db".
const ofDB = "app.slice/docker-" + unlimited + ".scope/memory.current"

// stuckTree is a host whose kernel does not give a file of a cgroup: a pipe that
// nobody writes to.
func stuckTree(t *testing.T, file string) (root, pipe string) {
	t.Helper()
	root = t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	pipe = filepath.Join(root, "sys/fs/cgroup", file)
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	return root, pipe
}

// free lets the pipe give what is in it: nothing, which is no number.
func free(t *testing.T, pipe string) {
	t.Helper()
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
}

// A container whose files the kernel does not give in time is left out and
// counted; all others are shown.
func TestSlowContainerDoesNotHoldUpTheScrape(t *testing.T) {
	t.Parallel()
	root, pipe := stuckTree(t, ofDB)
	c := newContainers(t, Options{Containers: always(web(2210), plain(2344)), Root: root, Deadline: time.Second})
	for scrapes := 1; scrapes <= 2; scrapes++ {
		text := string(exposition(c))
		if _, ok := valueOf(text, "container_memory_usage_bytes", "web"); !ok {
			t.Error("a slow container hides another")
		}
		if _, ok := valueOf(text, "container_last_seen", "db"); ok {
			t.Error("the slow container is shown")
		}
		want := `tallyman_scrape_errors_total{container="db"} ` + map[int]string{1: "1", 2: "2"}[scrapes] + "\n"
		if !strings.Contains(text, want) || !strings.Contains(text, "\ncontainer_scrape_error 1\n") {
			t.Errorf("scrape %d does not say %q", scrapes, want)
		}
	}
	free(t, pipe)
	waitFor(t, "the container to be shown", func() bool {
		_, ok := valueOf(string(exposition(c)), "container_cpu_usage_seconds_total", "db")
		return ok
	})
}

// The machine's own cgroup does not hold up the scrape either.
func TestRootThatIsSlow(t *testing.T) {
	t.Parallel()
	root, pipe := stuckTree(t, "memory.stat")
	c := newContainers(t, Options{Containers: always(web(2210)), Root: root, Deadline: time.Second})
	text := string(exposition(c))
	if _, ok := valueOf(text, "container_memory_usage_bytes", "web"); !ok || strings.Contains(text, `id="/"`) {
		t.Errorf("the container is shown: %v; and the machine must not be", ok)
	}
	if !strings.Contains(text, `tallyman_scrape_errors_total{container="/"} 1`+"\n") {
		t.Error("it is not counted")
	}
	free(t, pipe)
	waitFor(t, "the machine to be shown", func() bool { return strings.Contains(string(exposition(c)), `id="/"`) })
}

// A file that the kernel never gives does not hold up the end.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	root, pipe := stuckTree(t, ofDB)
	var log bytes.Buffer
	c := NewContainers(Options{Containers: always(web(2210), plain(2344)), Root: root, Deadline: 200 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	exposition(c)
	stuck := c.tracked[unlimited]
	c.Close()
	if !strings.Contains(log.String(), "could not be read to the end") {
		t.Errorf("it is not said that a file was left: %s", &log)
	}
	// Whoever waits for the file closes all when it comes.
	free(t, pipe)
	c.running.Wait()
	if stuck.group != nil {
		t.Error("the files of the container are kept")
	}
}

// The last sample is taken also when the container ends in the middle of a
// reading.
func TestEndWhileAnotherReads(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	c := newContainers(t, Options{Containers: always(web(2210)), Root: root})
	exposition(c)
	known := c.tracked[limited]
	if !known.claim() {
		t.Fatal("another has the claim")
	}
	c.Forget(limited)
	if known.look(false).over {
		t.Error("the run is over while another reads")
	}
	path := filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/memory.events")
	if err := os.WriteFile(path, []byte("oom_kill 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	known.release(false)
	waitFor(t, "the last sample", func() bool { return known.look(false).over })
	if got, _ := valueOf(string(exposition(c)), "container_oom_events_total", "web"); got != "7" {
		t.Errorf("container_oom_events_total = %q, want 7", got)
	}
}

// The last sample has what happened since the last scrape also in files that are
// read only when something has happened.
func TestKillRightBeforeTheEnd(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	copyTree(t, fixture("v1-cgroupfs"), root)
	kills := func(ofHost, ofContainer int) {
		t.Helper()
		for path, content := range map[string]string{
			"proc/vmstat": fmt.Sprintf("nr_free_pages 1\noom_kill %d\n", ofHost),
			"sys/fs/cgroup/memory/docker/" + limited + "/memory.oom_control": fmt.Sprintf("oom_kill %d\n", ofContainer),
		} {
			if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	kills(3, 0)
	c := newContainers(t, Options{Containers: always(web(5733)), Root: root})
	for range 3 {
		exposition(c)
	}
	kills(4, 1)
	c.Forget(limited)
	if got, _ := valueOf(string(exposition(c)), "container_oom_events_total", "web"); got != "1" {
		t.Errorf("container_oom_events_total = %q, want 1", got)
	}
}

// A kill that the engine knows of counts also when its cgroup was gone before it
// could be read.
func TestKillsThatTheEngineKnows(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	path := filepath.Join(root, "sys/fs/cgroup/system.slice/docker-"+limited+".scope/memory.events")
	if err := os.WriteFile(path, []byte("max 3\noom_kill 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list := []*record.Container{web(2210)}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Root: root})
	f := func(want string) {
		t.Helper()
		if got, _ := valueOf(string(exposition(c)), "container_oom_events_total", "web"); got != want {
			t.Errorf("container_oom_events_total = %q, want %q", got, want)
		}
	}
	f("0")
	dead := *list[0]
	dead.Running, dead.PID, dead.OOMKilled = false, 0, true
	list = []*record.Container{&dead}
	f("")
	again := dead
	again.Running, again.PID, again.OOMKilled = true, 2210, false
	again.Started = again.Started.Add(time.Minute)
	list = []*record.Container{&again}
	f("1")
}

// What a container has used between the last scrape and its end is shown once.
func TestLastSampleIsShownOnce(t *testing.T) {
	list := []*record.Container{web(2210)}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Root: fixture("v2-systemd")})
	exposition(c)
	// It starts, is met, and ends: all between two scrapes.
	short := plain(2344)
	c.Track(short)
	waitFor(t, "the first sample", func() bool { return c.tracked[unlimited].look(false).fresh })
	c.Forget(unlimited)
	text := string(exposition(c))
	if _, ok := valueOf(text, "container_cpu_usage_seconds_total", "db"); !ok {
		t.Error("a container that lived between two scrapes has no series")
	}
	if strings.Contains(text, "\ncontainer_scrape_error 1\n") {
		t.Error("it counts as an error")
	}
	if _, ok := valueOf(string(exposition(c)), "container_last_seen", "db"); ok {
		t.Error("it is shown twice")
	}
	if len(c.tracked) != 1 {
		t.Errorf("%d containers are tracked, want 1", len(c.tracked))
	}
}

// Nobody scrapes, so that nothing is opened.
func TestNothingIsTrackedWithoutScrapes(t *testing.T) {
	c := newContainers(t, Options{Containers: always(), Root: fixture("v2-systemd")})
	c.Track(web(2210))
	if len(c.tracked) != 0 {
		t.Error("a container is followed though nobody has scraped")
	}
}

// Kills of earlier runs stay in the sum.
func TestKillsAreCountedOverRestarts(t *testing.T) {
	list := []*record.Container{web(2210)}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Root: fixture("v2-systemd")})
	f := func(want string) {
		t.Helper()
		if got, _ := valueOf(string(exposition(c)), "container_oom_events_total", "web"); got != want {
			t.Errorf("container_oom_events_total = %s, want %s", got, want)
		}
	}
	f("2")
	again := *list[0]
	again.Started, again.RestartCount = again.Started.Add(time.Minute), 1
	list = []*record.Container{&again}
	f("4")
	f("4")
	if got, _ := valueOf(string(exposition(c)), "tallyman_container_restarts_total", "web"); got != "1" {
		t.Errorf("restarts = %s, want 1", got)
	}
}

// The traffic of a shared network is shown once, and who shares it is said.
func TestSharedNetworksAreCountedOnce(t *testing.T) {
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	namespace := func(pid, target string) {
		t.Helper()
		path := filepath.Join(root, "proc", pid, "ns")
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(path, "net")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, target), filepath.Join(path, "net")); err != nil {
			t.Fatal(err)
		}
	}
	const one, two = "proc/stat", "proc/meminfo"
	f := func(webs, dbs string, hasWeb, hasDB bool, with string) {
		t.Helper()
		namespace("1", one)
		namespace("2210", webs)
		namespace("2344", dbs)
		db := plain(2344)
		db.NetworkMode = "container:" + limited
		// Files that are there for the test.
		if err := os.WriteFile(filepath.Join(root, "proc/2344/net/dev"), []byte("x\nx\n eth0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		text := string(exposition(newContainers(t, Options{Containers: always(web(2210), db), Root: root})))
		for name, want := range map[string]bool{"web": hasWeb, "db": hasDB} {
			if _, ok := valueOf(text, "container_network_receive_bytes_total", name); ok != want {
				t.Errorf("traffic of %s is shown: %v, want %v", name, ok, want)
			}
			if _, ok := valueOf(text, "tallyman_container_network_shared", name, "with", with); ok == want && with != "" {
				t.Errorf("%s shares with %q: %v", name, with, ok)
			}
		}
	}
	f(two, "proc/partitions", true, true, "")
	f(two, two, true, false, "web")
	f(one, one, false, false, "host")
}

// So it is where the kernel does not tell the namespaces, as to an agent without
// capabilities: then the engine's word is taken.
func TestSharedNetworksByTheEngine(t *testing.T) {
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	if err := os.WriteFile(filepath.Join(root, "proc/2344/net/dev"), []byte("x\nx\n eth0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(webs, dbs, webWith, dbWith string) {
		t.Helper()
		one, two := web(2210), plain(2344)
		one.NetworkMode, two.NetworkMode = webs, dbs
		text := string(exposition(newContainers(t, Options{Containers: always(one, two), Root: root})))
		for name, with := range map[string]string{"web": webWith, "db": dbWith} {
			if _, ok := valueOf(text, "container_network_receive_bytes_total", name); ok != (with == "") {
				t.Errorf("%q and %q: traffic of %s is shown: %v", webs, dbs, name, ok)
			}
			if _, ok := valueOf(text, "tallyman_container_network_shared", name, "with", with); ok != (with != "") {
				t.Errorf("%q and %q: %s shares with %q: %v", webs, dbs, name, with, ok)
			}
		}
	}
	f("bridge", "shop_default", "", "")
	f("bridge", "container:"+limited, "", "web")
	f("host", "container:"+limited, "host", "host")
	f("container:"+limited, "none", "", "")
	// That one is not shown, or has ended.
	f("container:gone", "container:gone", "db", "")
}
