package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tallyman/collector/record"
)

// Where the cgroups cannot be seen the engine is asked.
func TestEngineFallback(t *testing.T) {
	answer := `{"read":"2026-05-01T10:00:00Z","cpu_stats":{"cpu_usage":{"total_usage":3000000000,"usage_in_usermode":2000000000,"percpu_usage":[1000000000,2000000000]},
		"throttling_data":{"periods":5,"throttled_periods":4,"throttled_time":7}},
		"memory_stats":{"usage":1000,"limit":4096,"stats":{"total_inactive_file":300,"total_rss":600}},
		"pids_stats":{"current":3},
		"blkio_stats":{"io_service_bytes_recursive":[{"major":254,"minor":0,"op":"read","value":512}]},
		"networks":{"eth0":{"rx_bytes":77,"tx_bytes":88,"rx_dropped":2}}}`
	asked := 0
	c := newContainers(t, Options{Containers: always(web(1)), Root: t.TempDir(), Stats: func(_ context.Context, id string) ([]byte, error) {
		asked++
		if id != limited {
			t.Errorf("the engine is asked for %q", id)
		}
		return []byte(answer), nil
	}})
	text := string(exposition(c))
	f := func(want, family string, labels ...string) {
		t.Helper()
		if got, _ := valueOf(text, family, "web", labels...); got != want {
			t.Errorf("%s %v = %q, want %s", family, labels, got, want)
		}
	}
	f("2", "container_cpu_usage_seconds_total", "cpu", "cpu01")
	f("700", "container_memory_working_set_bytes")
	f("600", "container_memory_rss")
	f("4096", "container_spec_memory_limit_bytes")
	f("77", "container_network_receive_bytes_total", "interface", "eth0")
	f("2", "container_network_receive_packets_dropped_total")
	f("512", "container_fs_reads_bytes_total", "device", "254:0")
	if asked != 1 {
		t.Errorf("the engine was asked %d times", asked)
	}
}

// The engine takes its time for each container, and so is asked for all at once.
func TestEngineIsAskedSideBySide(t *testing.T) {
	t.Parallel()
	const many = 60
	var list []*record.Container
	for i := range many {
		container := *web(10 + i)
		container.ID, container.Name = fmt.Sprintf("%064x", i), fmt.Sprint("web-", i)
		list = append(list, &container)
	}
	var waiting atomic.Int64
	all := make(chan struct{})
	c := newContainers(t, Options{Containers: always(list...), Root: t.TempDir(), Deadline: 30 * time.Second,
		Stats: func(ctx context.Context, _ string) ([]byte, error) {
			if waiting.Add(1) == many {
				close(all)
			}
			select {
			case <-all:
				return []byte(`{"read":"2026-05-01T10:00:00Z"}`), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}})
	if n := len(gather(t, c)["container_last_seen"].GetMetric()); n != many {
		t.Errorf("%d containers are shown, want %d", n, many)
	}
	if waiting.Load() != many {
		t.Errorf("the engine was asked %d times for %d containers", waiting.Load(), many)
	}
}

// TestEngineFallbackLive has an agent that sees no cgroups show what real
// containers are known to do.
func TestEngineFallbackLive(t *testing.T) {
	t.Parallel()
	buildLive(t)
	data := t.TempDir()
	disk := diskOf(t, data)
	hog := startLive(t, "fallback-hog", []string{"--cpus", "0.2", "--memory", fmt.Sprint(liveLimit), "--pids-limit", "50"})
	writer := startLive(t, "fallback-write", []string{"-v", data + ":/data", "--device-write-bps", disk + ":1gb"}, "write")
	gateway := run(t, ".", "docker", "inspect", "--format", "{{.NetworkSettings.Networks.bridge.Gateway}}", hog.ID)
	talker := startLive(t, "fallback-talk", nil, "talk", gateway+":9")
	var asked atomic.Int64
	c := newContainers(t, Options{Root: t.TempDir(), Containers: always(hog, writer, talker), Deadline: 30 * time.Second,
		Stats: func(_ context.Context, id string) ([]byte, error) {
			asked.Add(1)
			var content json.RawMessage
			err := askEngine(t, "/containers/"+id+"/stats?stream=false&one-shot=true", &content)
			return content, err
		}})
	waitLong(t, time.Minute, "the loads", func() bool {
		families := gather(t, c)
		return sum(families["container_memory_rss"], hog.Name) >= liveMemory && sum(families["container_memory_rss"], writer.Name) >= liveMemory &&
			sum(families["container_memory_rss"], talker.Name) >= liveMemory && sum(families["container_cpu_cfs_periods_total"], hog.Name) > 0
	})
	asked.Store(0)
	at := time.Now()
	before := gather(t, c)
	t.Logf("%d requests for 3 containers in one scrape of %s", asked.Load(), time.Since(at))
	if asked.Load() != 3 {
		t.Errorf("the engine was asked %d times for 3 containers", asked.Load())
	}
	after := before
	waitLong(t, time.Minute, "the hog to go on", func() bool {
		after = gather(t, c)
		return sum(after["container_cpu_usage_seconds_total"], hog.Name) > sum(before["container_cpu_usage_seconds_total"], hog.Name)
	})
	used, elapsed := sum(after["container_cpu_usage_seconds_total"], hog.Name)-sum(before["container_cpu_usage_seconds_total"], hog.Name), time.Since(at).Seconds()
	if most := 0.2*elapsed + 2*0.02; used <= 0 || used > most {
		t.Errorf("the hog used %.3f s of CPU in %.3f s, want at most %.3f", used, elapsed, most)
	}
	f := func(family, container string, least, most float64) {
		t.Helper()
		if got := sum(after[family], container); got < least || got > most {
			t.Errorf("%s of %s is %v, want %v to %v", family, container, got, least, most)
		}
	}
	f("container_memory_rss", hog.Name, liveMemory, liveMemory+16<<20)
	f("container_memory_working_set_bytes", hog.Name, liveMemory, liveMemory+16<<20)
	f("container_memory_max_usage_bytes", hog.Name, liveMemory, liveMemory+16<<20)
	f("container_spec_memory_limit_bytes", hog.Name, liveLimit, liveLimit)
	f("container_network_transmit_bytes_total", talker.Name, 500*1042, 500*1042+8192)
	f("container_fs_writes_bytes_total", writer.Name, 8<<20, 9<<20)
	if got := after["container_scrape_error"].GetMetric()[0].GetGauge().GetValue(); got != 0 {
		t.Error("asking the engine counts as an error")
	}
}
