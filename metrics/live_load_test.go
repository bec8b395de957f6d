package metrics

import (
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"tallyman/collector/record"
)

// TestKnownLoads compares what is shown of containers with what they are known
// to do.
func TestKnownLoads(t *testing.T) {
	t.Parallel()
	buildLive(t)
	data := t.TempDir()
	var mu sync.Mutex // guards list
	var list []*record.Container
	c := newContainers(t, Options{Containers: func() []*record.Container {
		mu.Lock()
		defer mu.Unlock()
		return list
	}})
	gather(t, c)
	start := func(word string, flags []string, arguments ...string) *record.Container {
		t.Helper()
		container := startLive(t, word, flags, arguments...)
		mu.Lock()
		list = append(list, container)
		mu.Unlock()
		c.Track(container)
		return container
	}
	value := func(family string, container *record.Container) float64 {
		return sum(gather(t, c)[family], container.Name)
	}

	// The burner may use a fifth of a processor.
	burner := start("burn", []string{"--cpus", "0.2"}, "burn")
	waitFor(t, "the quota to run out", func() bool { return value("container_cpu_cfs_throttled_periods_total", burner) >= 5 })
	// The time begins before the first reading and ends after the last, so that a
	// busy machine makes it longer than the burner's, never shorter.
	at := time.Now()
	before := value("container_cpu_usage_seconds_total", burner)
	waitFor(t, "the burner to go on", func() bool { return value("container_cpu_usage_seconds_total", burner) > before+0.1 })
	families := gather(t, c)
	used, elapsed := sum(families["container_cpu_usage_seconds_total"], burner.Name)-before, time.Since(at).Seconds()
	// A period's quota may be used before the first reading or after the last.
	if most := 0.2*elapsed + 2*0.02; used > most {
		t.Errorf("the burner used %.3f s of CPU in %.3f s, more than %.3f", used, elapsed, most)
	}
	if sum(families["container_cpu_cfs_throttled_seconds_total"], burner.Name) <= 0 {
		t.Error("the burner was throttled for no time")
	}
	if got := sum(families["container_cpu_cfs_throttled_periods_total"], burner.Name); got > sum(families["container_cpu_cfs_periods_total"], burner.Name) {
		t.Errorf("%v periods were throttled, more than there were", got)
	}
	// A limit that is changed shows in the next scrape.
	run(t, ".", "docker", "update", "--cpus", "0.3", "--memory", fmt.Sprint(liveLimit), "--memory-swap", fmt.Sprint(liveLimit), burner.ID)
	families = gather(t, c)
	if quota, limit := sum(families["container_spec_cpu_quota"], burner.Name), sum(families["container_spec_memory_limit_bytes"], burner.Name); quota != 30000 || limit != liveLimit {
		t.Errorf("after an update the quota is %v and the memory limit %v", quota, limit)
	}

	// The hog holds 64 MiB, and a Go program's own few.
	hog := start("hog", []string{"--memory", fmt.Sprint(liveLimit)})
	waitFor(t, "the hog to hold its memory", func() bool { return value("container_memory_rss", hog) >= liveMemory })
	families = gather(t, c)
	const most = liveMemory + 16<<20
	for _, family := range []string{"container_memory_rss", "container_memory_working_set_bytes", "container_memory_usage_bytes", "container_memory_max_usage_bytes"} {
		if got := sum(families[family], hog.Name); got < liveMemory || got > most {
			t.Errorf("%s of the hog is %v, want %v to %v", family, got, liveMemory, most)
		}
	}
	if got := sum(families["container_oom_events_total"], hog.Name); got != 0 {
		t.Errorf("%v processes of the hog were killed", got)
	}

	// The writer puts 8 MiB on the disk past the page cache. Newer kernels
	// count requests under version 1 only on disks that something has a limit on.
	disk := diskOf(t, data)
	writer := start("write", []string{"-v", data + ":/data", "--device-write-bps", disk + ":1gb"}, "write")
	waitFor(t, "the file to be written", func() bool { return value("container_memory_rss", writer) >= liveMemory })
	families = gather(t, c)
	written := sum(families["container_fs_writes_bytes_total"], writer.Name)
	if written < 8<<20 || written > 9<<20 {
		t.Errorf("the writer wrote %v bytes, want 8 MiB and at most 1 MiB of the file system's own", written)
	}
	if got := sum(families["container_fs_sector_writes_total"], writer.Name); got != written/512 {
		t.Errorf("the writer wrote %v sectors", got)
	}

	// The talker sends 500 datagrams of 1000 bytes, with 42 of headers each. One
	// that uses its network has no traffic of its own.
	gateway := run(t, ".", "docker", "inspect", "--format", "{{.NetworkSettings.Networks.bridge.Gateway}}", burner.ID)
	talker := start("talk", nil, "talk", gateway+":9")
	guest := start("guest", []string{"--network", "container:" + talker.ID})
	waitFor(t, "the talker to have talked", func() bool {
		return value("container_network_transmit_bytes_total", talker) >= 500*1042 && value("container_memory_rss", guest) > 0
	})
	families = gather(t, c)
	if got := sum(families["container_network_transmit_bytes_total"], talker.Name); got > 500*1042+4096 {
		t.Errorf("the talker sent %v bytes, want 521000 and a little", got)
	}
	if names(families["container_network_transmit_bytes_total"])[guest.Name] {
		t.Error("the traffic of a shared network is shown twice")
	}
	if sum(families["tallyman_container_network_shared"], guest.Name) != 1 {
		t.Error("it is not said that the network is shared")
	}
}

// TestEndsBetweenScrapes has containers end without a scrape in their life.
func TestEndsBetweenScrapes(t *testing.T) {
	t.Parallel()
	buildLive(t)
	var list []*record.Container
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }})
	gather(t, c)
	try := func(word string, flags []string, arguments []string, family string) float64 {
		t.Helper()
		container := startLive(t, word, flags, arguments...)
		c.Track(container)
		waitFor(t, "the container's end", func() bool {
			known := c.tracked[container.ID]
			return known == nil || known.look(false).over
		})
		out, err := exec.CommandContext(t.Context(), "docker", "wait", container.ID).CombinedOutput()
		if err != nil {
			t.Fatalf("waiting for %s: %v\n%s", word, err, out)
		}
		var details struct{ State struct{ OOMKilled bool } }
		if err := askEngine(t, "/containers/"+container.ID+"/json", &details); err != nil {
			t.Fatal(err)
		}
		ended := *container
		ended.Running, ended.PID, ended.OOMKilled = false, 0, details.State.OOMKilled
		list = []*record.Container{&ended}
		families := gather(t, c)
		if again := gather(t, c); names(again["container_last_seen"])[container.Name] {
			t.Errorf("%s is shown twice", word)
		}
		return sum(families[family], container.Name)
	}
	// The engine removes a cgroup some milliseconds after the end. On a machine with
	// more to do than it can, that may come before the reading.
	f := func(word string, flags []string, arguments []string, family string, least, most float64) {
		t.Helper()
		got := 0.0
		for attempt := range 8 {
			got = try(fmt.Sprintf("%s-%d", word, attempt), flags, arguments, family)
			if got >= least {
				break
			}
		}
		if got < least || got > most {
			t.Errorf("%s: %s = %v, want %v to %v", word, family, got, least, most)
		}
	}
	// It ends when it has used 200 ms, and is read at most a tick before its end.
	f("brief", nil, []string{"brief"}, "container_cpu_usage_seconds_total", 0.18, 0.6)
	limit := fmt.Sprint(liveMemory / 2)
	f("victim", []string{"--memory", limit, "--memory-swap", limit}, []string{"victim"}, "container_oom_events_total", 1, 1)
}

// diskOf returns the disk that holds a folder.
func diskOf(t *testing.T, folder string) string {
	t.Helper()
	mounts, err := readMounts("/")
	if err != nil {
		t.Fatal(err)
	}
	disk := mountOf(folder, mounts)
	if disk == nil || disk.fstype == "tmpfs" {
		t.Fatalf("%s is not on a disk", folder)
	}
	return disk.source
}
