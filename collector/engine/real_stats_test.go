package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"tallyman/collector/engine"
)

// TestRealStats asks the engine of this machine for the statistics of a container
// that holds 32 MiB and has written 1 MiB to its own file system.
func TestRealStats(t *testing.T) {
	c := needEngine(t)
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	const limit = 128 << 20
	made, err := api.ContainerCreate(t.Context(), &container.Config{
		Image: importProgram(t, api), Entrypoint: []string{"/program", "hold"},
	}, &container.HostConfig{NetworkMode: "none", Resources: container.Resources{Memory: limit}}, nil, nil,
		fmt.Sprintf("tallyman-engine-stats-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The last lines of the test remove it.
		_ = api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
	})
	if err := api.ContainerStart(t.Context(), made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}

	var stats struct {
		ID  string `json:"id"`
		CPU struct {
			Usage struct {
				Total uint64 `json:"total_usage"`
			} `json:"cpu_usage"`
		} `json:"cpu_stats"`
		Memory struct {
			Usage, Limit uint64
		} `json:"memory_stats"`
		Pids struct{ Current uint64 } `json:"pids_stats"`
	}
	deadline := time.Now().Add(30 * time.Second)
	for stats.Memory.Usage < 32<<20 {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for the memory to be held: %+v", stats)
		}
		content, err := c.Stats(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(content, &stats); err != nil {
			t.Fatalf("%v\n%s", err, content)
		}
	}
	if stats.ID != made.ID || stats.CPU.Usage.Total == 0 || stats.Memory.Usage > 64<<20 || stats.Memory.Limit != limit || stats.Pids.Current == 0 {
		t.Errorf("the statistics are %+v", stats)
	}

	details, err := c.Inspect(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	layer := engine.WritableLayer(details)
	raw, err := api.ContainerInspect(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if tells := raw.GraphDriver.Data["UpperDir"] != ""; tells != (layer != "") {
		t.Errorf("the writable layer is %q, but the engine says %+v", layer, raw.GraphDriver)
	}
	if layer != "" {
		if info, err := os.Stat(filepath.Join(layer, "written")); err != nil || info.Size() != 1<<20 {
			t.Errorf("the file that the container wrote is not in %q: %v", layer, err)
		}
	}
	details.Inspect = nil
	if layer := engine.WritableLayer(details); layer != "" {
		t.Errorf("the layer of a container that was not inspected is %q", layer)
	}

	if err := api.ContainerRemove(t.Context(), made.ID, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stats(t.Context(), made.ID); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Stats of a removed container = %v, want %v", err, engine.ErrNotFound)
	}
}
