package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"tallyman/cmd/testkit"
	"tallyman/collector/record"
)

// sum adds the values of a container in a family.
func sum(family *dto.MetricFamily, container string) float64 {
	total := 0.0
	for _, metric := range family.GetMetric() {
		for _, pair := range metric.GetLabel() {
			if pair.GetName() == "name" && pair.GetValue() == container {
				total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	return total
}

// statsAnswer is the part of the engine's statistics that is compared.
type statsAnswer struct {
	CPU struct {
		Usage struct {
			Total uint64 `json:"total_usage"`
		} `json:"cpu_usage"`
	} `json:"cpu_stats"`
	Memory struct {
		Usage uint64            `json:"usage"`
		Limit uint64            `json:"limit"`
		Stats map[string]uint64 `json:"stats"`
	} `json:"memory_stats"`
	Pids struct {
		Current uint64 `json:"current"`
	} `json:"pids_stats"`
	Networks map[string]struct {
		RxBytes uint64 `json:"rx_bytes"`
		TxBytes uint64 `json:"tx_bytes"`
	} `json:"networks"`
}

// TestAgainstEngine compares what is read from the kernel with what the engine
// says of the same container. Counters are read before and after the engine's
// and must enclose its value; memory may move by 2 MiB meanwhile.
func TestAgainstEngine(t *testing.T) {
	t.Parallel()
	buildLive(t)
	container := startLive(t, "load", []string{"--cpus", "0.5", "--memory", fmt.Sprint(liveLimit), "--pids-limit", "50"})
	list := []*record.Container{container}
	c := newContainers(t, Options{Containers: func() []*record.Container { return list }, Kinds: Kinds(0).Without()})
	name := container.Name
	waitFor(t, "the container to hold its memory and use the processor", func() bool {
		families := gather(t, c)
		return sum(families["container_memory_rss"], name) >= liveMemory &&
			sum(families["container_cpu_usage_seconds_total"], name) > 0.2
	})

	before := gather(t, c)
	var engine statsAnswer
	if err := askEngine(t, "/containers/"+container.ID+"/stats?stream=false&one-shot=true", &engine); err != nil {
		t.Fatal(err)
	}
	after := gather(t, c)

	between := func(family string, want float64) {
		t.Helper()
		low, high := sum(before[family], name), sum(after[family], name)
		// The sum over the processors has lost a few bits.
		const rounding = 1e-6
		if want < low-rounding || want > high+rounding || high == 0 {
			t.Errorf("%s went from %v to %v, but the engine says %v", family, low, high, want)
		}
	}
	near := func(family string, want, tolerance float64) {
		t.Helper()
		if got := sum(after[family], name); got < want-tolerance || got > want+tolerance {
			t.Errorf("%s = %v, but the engine says %v (± %v)", family, got, want, tolerance)
		}
	}
	between("container_cpu_usage_seconds_total", float64(engine.CPU.Usage.Total)/1e9)
	near("container_memory_usage_bytes", float64(engine.Memory.Usage), 2<<20)
	inactive, isV1 := engine.Memory.Stats["total_inactive_file"]
	rss := engine.Memory.Stats["total_rss"]
	if !isV1 {
		inactive, rss = engine.Memory.Stats["inactive_file"], engine.Memory.Stats["anon"]
	}
	near("container_memory_working_set_bytes", float64(engine.Memory.Usage-inactive), 2<<20)
	near("container_memory_rss", float64(rss), 2<<20)
	near("container_spec_memory_limit_bytes", float64(engine.Memory.Limit), 0)
	near("container_threads", float64(engine.Pids.Current), 3)
	received, sent := 0.0, 0.0
	for _, network := range engine.Networks {
		received, sent = received+float64(network.RxBytes), sent+float64(network.TxBytes)
	}
	near("container_network_receive_bytes_total", received, 4096)
	near("container_network_transmit_bytes_total", sent, 4096)
	if sum(after["container_network_receive_bytes_total"], name) == 0 {
		t.Error("nothing was received, not even what a new interface hears")
	}
	near("container_spec_cpu_quota", 50000, 0)
	near("container_threads_max", 50, 0)

	promtool(t, exposition(c, NewMachine(MachineOptions{})))

	// The container ends: no series, no error, and its files are closed.
	run(t, ".", "docker", "kill", container.ID)
	waitFor(t, "the series to go", func() bool { return !names(gather(t, c)["container_last_seen"])[name] })
	last := gather(t, c)
	if got := last["container_scrape_error"].GetMetric()[0].GetGauge().GetValue(); got != 0 {
		t.Error("a container that ended counts as an error")
	}
	if c.tracked[container.ID].group != nil {
		t.Error("the files of a container that ended are kept")
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	waitLong(t, 2*time.Minute, what, holds)
}

// waitLong waits until a condition holds, for a time at most.
func waitLong(t *testing.T, most time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(most)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// promtool lets Prometheus's own tool check an exposition. What it says of names
// of cAdvisor is passed over, except that a help text is missing: the names are a
// contract, the texts are ours.
func promtool(t *testing.T, text []byte) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	testkit.Need(t, err == nil, "promtool")
	command := exec.CommandContext(t.Context(), path, "check", "metrics")
	command.Stdin = bytes.NewReader(text)
	out, err := command.CombinedOutput()
	// It exits with 3 when it has remarks and with 1 when it cannot read the text.
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		theirs := strings.HasPrefix(line, "container_") || strings.HasPrefix(line, "machine_") || strings.HasPrefix(line, "cadvisor_")
		if !theirs || strings.Contains(line, "no help text") {
			t.Errorf("promtool: %s", line)
		} else {
			t.Logf("passed over: %s", strings.TrimSpace(line))
		}
	}
}
