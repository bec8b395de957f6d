package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tallyman/cmd/testkit"
)

// TestPrometheus lets a real server scrape, and asks it what dashboards and alerts
// ask. With TALLYMAN_SOAK=1 it goes on for a minute.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("prometheus")
	testkit.Need(t, err == nil, "prometheus")
	buildLive(t)
	data := t.TempDir()
	limit := fmt.Sprint(liveLimit)
	container := startLive(t, "prometheus", []string{"--cpus", "0.5", "--memory", limit, "--memory-swap", limit,
		"-v", data + ":/data", "--device-write-bps", diskOf(t, data) + ":1gb"}, "write")
	container.Labels["com.docker.compose.project"] = "shop"
	container.Labels["org.label-schema.group"] = "monitoring"
	container.LogPath = filepath.Join(data, "log")
	c := newContainers(t, Options{Containers: always(container)})
	own := prometheus.NewRegistry()
	own.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	server := httptest.NewServer(NewHandler(own, nil, c, NewMachine(MachineOptions{}), NewHost(HostOptions{})))
	defer server.Close()
	address := startPrometheus(t, path, strings.TrimPrefix(server.URL, "http://"))

	seconds, soak := 6, os.Getenv("TALLYMAN_SOAK") == "1"
	if soak {
		seconds = 60
	}
	waitLong(t, 3*time.Minute, "the scrapes", func() bool {
		found := query(t, address, `count_over_time(container_last_seen{id="/"}[5m])`)
		return len(found) == 1 && found[0] >= float64(seconds)
	})
	for _, q := range panelQueries() {
		// On a busy machine scrapes come late, and a rate has to wait for two.
		waitLong(t, 2*time.Minute, "data: "+q, func() bool { return len(query(t, address, q)) > 0 })
	}
	for _, q := range quietAlerts() {
		if got := query(t, address, q); len(got) > 0 {
			t.Errorf("an alert fires with %v: %s", got, q)
		}
	}
	// Every scrape that was in time had the container, and no sample was refused.
	if got := query(t, address, `count_over_time(container_last_seen{name=~".+"}[2m]) - on(instance) sum_over_time(up[2m])`); len(got) != 1 || got[0] < -1 || got[0] > 1 {
		t.Errorf("the container's samples differ from the scrapes' number by %v", got)
	}
	if got := query(t, address, `max_over_time(scrape_samples_scraped[2m]) - max_over_time(scrape_samples_post_metric_relabeling[2m])`); len(got) != 1 || got[0] != 0 {
		t.Errorf("samples were refused: %v", got)
	}
	if soak {
		// Shorter runs, beside other tests, may have scrapes that are not in time.
		if got := query(t, address, `min_over_time(up[2m])`); len(got) != 1 || got[0] != 1 {
			t.Errorf("a scrape failed: up was %v", got)
		}
		// A rate has a value in every second but for the first ones.
		steps := seconds - 5
		gaps := fmt.Sprintf(`count_over_time(sum(rate(container_cpu_usage_seconds_total{name=~".+"}[5s]))[%ds:1s])`, steps)
		if got := query(t, address, gaps); len(got) != 1 || got[0] < float64(steps) {
			t.Errorf("a rate has %v values in %d seconds", got, steps)
		}
	}
	// The container burns half a processor at most, and about a fifth at leisure.
	if got := query(t, address, `sum(rate(container_cpu_usage_seconds_total{name=~".+"}[1m]))`); len(got) != 1 || got[0] <= 0 || got[0] > 0.6 {
		t.Errorf("the rate of the container's CPU time is %v", got)
	}
}

// startPrometheus starts a server that scrapes the target each second, and
// returns its address. It is ended after the test.
func startPrometheus(t *testing.T, path, target string) string {
	t.Helper()
	folder := t.TempDir()
	config := filepath.Join(folder, "prometheus.yml")
	text := "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: tallyman\n  static_configs: [{targets: ['" + target + "']}]\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, path, "--config.file="+config, "--storage.tsdb.path="+folder, "--web.listen-address="+address)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // It was told to end.
	})
	return address
}

// query returns the values of an instant query, none while the server is not
// ready.
func query(t *testing.T, address, expression string) []float64 {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil
	}
	if answer.Error != "" {
		t.Errorf("%s: %s", expression, answer.Error)
	}
	var values []float64
	for _, result := range answer.Data.Result {
		var value float64
		if _, err := fmt.Sscan(fmt.Sprint(result.Value[1]), &value); err == nil {
			values = append(values, value)
		}
	}
	return values
}
