package metrics

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"tallyman/collector/record"
	"tallyman/metrics/cgroup"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	limited   = "7f2aaafba93cf614f0acb433cf8163dcc294cbc8d7ef21cd9519cd87940f35d4"
	unlimited = "b99c0f3a51d26e47c8b90a1d2e3f405162738495a6b7c8d9e0f1a2b3c4d5e6f7"
)

// fixture returns the root of one of package cgroup's fixtures.
func fixture(name string) string { return filepath.Join("cgroup/testdata", name) }

// web is a container of the fixtures with everything.
func web(pid int) *record.Container {
	return &record.Container{
		ID: limited, Name: "web", Image: "nginx:1.27", PID: pid, Running: true, Status: "running", Health: "healthy",
		Created: time.Unix(1795223053, 5e8), Started: time.Unix(1795223060, 0),
		Labels: map[string]string{
			"com.docker.compose.project": "shop", "com.docker.compose.service": "web",
			"a.b": "dot", "a-b": "dash", "bad": "\xff",
		},
		Env: []string{"APP_ENV=prod", "APP_SECRET=x", "PATH=/bin"},
	}
}

// plain is a container of the fixtures with little.
func plain(pid int) *record.Container {
	return &record.Container{
		ID: unlimited, Name: "db", Image: "postgres", PID: pid, Running: true, Status: "running",
		Created: time.Unix(1795223054, 0), Started: time.Unix(1795223054, 0), RestartCount: 2,
	}
}

// always returns a function that returns the containers.
func always(list ...*record.Container) func() []*record.Container {
	return func() []*record.Container { return list }
}

// newContainers returns a collector that is closed after the test.
func newContainers(t testing.TB, options Options) *Containers {
	t.Helper()
	c := NewContainers(options)
	t.Cleanup(c.Close)
	return c
}

// exposition renders what the sources give, in Prometheus's text format.
func exposition(sources ...Source) []byte {
	var w writer
	NewHandler(nil, nil, sources...).render(&w)
	return w.buf
}

// gather scrapes sources as a Prometheus server would.
func gather(t testing.TB, sources ...Source) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(exposition(sources...)))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// labelsOf returns the labels of one series of a family, by container name.
func labelsOf(t testing.TB, family *dto.MetricFamily, container string) map[string]string {
	t.Helper()
	for _, metric := range family.GetMetric() {
		labels := make(map[string]string)
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if labels["name"] == container {
			return labels
		}
	}
	t.Fatalf("%s has no series of container %q", family.GetName(), container)
	return nil
}

// names returns the containers that a family has series of, "" for the root.
func names(family *dto.MetricFamily) map[string]bool {
	found := make(map[string]bool)
	for _, metric := range family.GetMetric() {
		for _, pair := range metric.GetLabel() {
			if pair.GetName() == "name" {
				found[pair.GetValue()] = true
			}
		}
	}
	return found
}

func TestLastSeenIsNow(t *testing.T) {
	before := time.Now().Unix()
	families := gather(t, newContainers(t, Options{Containers: always(web(5733)), Root: fixture("v1-cgroupfs")}))
	for _, metric := range families["container_last_seen"].GetMetric() {
		if at := int64(metric.GetGauge().GetValue()); at < before || at > time.Now().Unix() {
			t.Errorf("last seen %d, but it is now %d", at, before)
		}
		if metric.TimestampMs != nil {
			t.Error("a sample carries a timestamp")
		}
	}
}

func TestContainersThatAreNotRunningHaveNoSeries(t *testing.T) {
	stopped, gone, created := plain(5801), web(99), web(0)
	stopped.Running = false
	created.ID = strings.Repeat("c", 64)
	families := gather(t, newContainers(t, Options{Containers: always(stopped, gone, created), Root: fixture("v1-cgroupfs")}))
	if found := names(families["container_last_seen"]); len(found) != 1 || !found[""] {
		t.Errorf("series of %v, want only of the root", found)
	}
	if value := families["container_scrape_error"].GetMetric()[0].GetGauge().GetValue(); value != 0 {
		t.Error("a container that has ended counts as an error")
	}
}

func TestErrorsAreCountedAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	// The process belongs to another container.
	c := newContainers(t, Options{Containers: always(web(5801), plain(5801)), Root: fixture("v1-cgroupfs"),
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	gather(t, c)
	families := gather(t, c)
	if got := families["container_scrape_error"].GetMetric()[0].GetGauge().GetValue(); got != 1 {
		t.Errorf("container_scrape_error = %v, want 1", got)
	}
	for _, metric := range families["tallyman_scrape_errors_total"].GetMetric() {
		want := map[string]float64{"/": 0, "web": 2}[metric.GetLabel()[0].GetValue()]
		if got := metric.GetCounter().GetValue(); got != want {
			t.Errorf("tallyman_scrape_errors_total of %v = %v after two scrapes, want %v", metric.GetLabel(), got, want)
		}
	}
	if found := names(families["container_last_seen"]); !found["db"] || found["web"] {
		t.Errorf("series of %v: one bad container must not hide another", found)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines were logged, want 1:\n%s", n, log.String())
	}
}

func TestHostWithoutCgroups(t *testing.T) {
	var log bytes.Buffer
	c := newContainers(t, Options{Containers: always(web(1)), Root: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	gather(t, c)
	families := gather(t, c)
	if got := families["container_scrape_error"].GetMetric()[0].GetGauge().GetValue(); got != 1 || len(families) != 4 || families["tallyman_container_state"] == nil {
		t.Errorf("container_scrape_error = %v among %d families, want 1 among 4", got, len(families))
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines were logged, want 1:\n%s", n, log.String())
	}
}

// groupOf returns the open files of web.
func groupOf(c *Containers) *cgroup.Cgroup { return c.tracked[limited].group }

// A container that has been started anew has another process and other files.
func TestRestartReopens(t *testing.T) {
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	list := []*record.Container{web(2210)}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Root: root})
	gather(t, c)
	first := groupOf(c)
	gather(t, c)
	if groupOf(c) != first {
		t.Error("the files were opened again without a reason")
	}
	renamed := *list[0]
	renamed.Name, renamed.Image, renamed.Health = "shop", "nginx:2", "unhealthy"
	list = []*record.Container{&renamed}
	if got, ok := valueOf(string(exposition(c)), "container_health_state", "shop", "image", "nginx:2"); !ok || got != "0" {
		t.Errorf("a new name and health are not shown: %q", got)
	}
	if groupOf(c) != first {
		t.Error("the files were opened again for a new name")
	}
	again := renamed
	again.Started = again.Started.Add(time.Minute)
	list = []*record.Container{&again}
	if got, _ := valueOf(string(exposition(c)), "container_start_time_seconds", "shop"); got != "1.79522312e+09" {
		t.Errorf("it was started at %s", got)
	}
	if groupOf(c) == first {
		t.Error("a container was started anew and its old files are read")
	}
	list = nil
	if families := gather(t, c); len(c.tracked) != 0 || names(families["container_last_seen"])["shop"] {
		t.Error("a container is gone and its files are kept")
	}
}

func TestDescriptorsOfStoppedContainersAreClosed(t *testing.T) {
	list := []*record.Container{web(5733), plain(5801)}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Root: fixture("v1-cgroupfs")})
	none := descriptors(t)
	gather(t, c)
	both := descriptors(t)
	c.Forget(unlimited)
	if now := descriptors(t); now >= both {
		t.Errorf("%d descriptors are open, as many as before forgetting", now)
	}
	list = nil
	gather(t, c)
	c.Close()
	if now := descriptors(t); now != none {
		t.Errorf("%d descriptors are open after closing, %d were before the first scrape", now, none)
	}
}

func TestConcurrentScrapes(t *testing.T) {
	containers := []*record.Container{web(5733), plain(5801)}
	c := newContainers(t, Options{Containers: always(containers...), Root: fixture("v1-cgroupfs")})
	handler := NewHandler(nil, nil, c)
	var scrapes sync.WaitGroup
	for i := range 4 {
		scrapes.Go(func() {
			for range 5 {
				families := scrape(t, handler)
				if i == 0 {
					c.Track(containers[0])
				}
				if n := len(families["container_memory_rss"].GetMetric()); n != 3 {
					t.Errorf("%d series of memory_rss, want 3", n)
				}
			}
		})
	}
	scrapes.Wait()
}

// A container that was opened in the background publishes its first sample while
// a scrape gathers.
func TestSampleBesideAScrape(t *testing.T) {
	c := newContainers(t, Options{Containers: always(web(5733), plain(5801)), Root: fixture("v1-cgroupfs")})
	exposition(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.tracked[limited]
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer close(stop)
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				known.claims.Lock()
				known.fresh = !known.fresh
				known.claims.Unlock()
			}
		}
	})
	for range 20_000 {
		c.readings = c.readings[:0]
		c.collectLocked(true)
		for _, r := range c.readings {
			if r.sharedWith != "" {
				t.Fatalf("%s uses its own network, not that of %q", r.container.Name, r.sharedWith)
			}
		}
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range containerTable(Kinds(0).Without()) {
		if seen[row.name] || row.help == "" || row.read == nil || !strings.HasPrefix(row.name, "container_") && !strings.HasPrefix(row.name, "tallyman_container_") {
			t.Errorf("row %q is not well formed, or there twice", row.name)
		}
		seen[row.name] = true
		for i := 1; i < len(row.labels); i++ {
			if row.labels[i-1] >= row.labels[i] {
				t.Errorf("the labels of %q are not sorted", row.name)
			}
		}
	}
}

// descriptors returns how many descriptors this process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// copyTree copies a fixture.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
