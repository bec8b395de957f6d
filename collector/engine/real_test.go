package engine_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"tallyman/collector/engine"
)

// The tests of this file use the engine of this machine, and are skipped where
// there is none.

func TestRealInfo(t *testing.T) {
	info, err := needEngine(t).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.ID == "" || info.Name == "" || info.Version == "" || info.APIVersion == "" ||
		!filepath.IsAbs(info.Root) || info.LoggingDriver == "" || info.CgroupDriver == "" ||
		!slices.Contains([]string{"1", "2"}, info.CgroupVersion) || info.Kernel == "" ||
		info.NCPU < 1 || info.MemTotal < 1<<20 {
		t.Errorf("Info = %+v", info)
	}
}

func TestRealLifeOfAContainer(t *testing.T) {
	c := needEngine(t)
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	imageName := importProgram(t, api)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, failed := c.Events(ctx, time.Time{})
	// expect passes over the events of containers that others run meanwhile.
	expect := func(id string, actions ...string) []engine.Event {
		t.Helper()
		var got []engine.Event
		for _, action := range actions {
			for {
				e := next(t, events, failed)
				if e.ID != id {
					continue
				}
				if e.Action != action {
					t.Fatalf("event %q came, want %q", e.Action, action)
				}
				got = append(got, e)
				break
			}
		}
		return got
	}

	name := fmt.Sprintf("tallyman-engine-%d", os.Getpid())
	made, err := api.ContainerCreate(ctx, &container.Config{
		Image: imageName, Hostname: "box", Env: []string{"A=b"},
		Entrypoint: []string{"/program"}, Cmd: []string{"-v"},
		Labels: map[string]string{"team": "a"},
	}, &container.HostConfig{LogConfig: container.LogConfig{Type: "json-file"}, NetworkMode: "none"}, nil, nil, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// It is gone already unless the test failed.
		_ = api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
	})
	created := expect(made.ID, engine.ActionCreate)[0]
	if since := time.Since(created.Time); since < -time.Minute || since > time.Minute {
		t.Errorf("the event's time is %s", created.Time)
	}

	if err := api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	died := expect(made.ID, engine.ActionStart, engine.ActionDie)[1]
	if got := engine.FromEvent(died); got.Name != name || got.Image != imageName || got.ExitCode != 3 ||
		len(got.Labels) != 1 || got.Labels["team"] != "a" {
		t.Errorf("FromEvent = %+v", got)
	}

	got, err := c.Inspect(ctx, made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != made.ID || got.Name != name || got.Image != imageName || !strings.HasPrefix(got.ImageID, "sha256:") ||
		got.Hostname != "box" || !slices.Equal(got.Command, []string{"/program", "-v"}) ||
		got.Labels["team"] != "a" || got.LogDriver != "json-file" || !strings.HasSuffix(got.LogPath, "-json.log") ||
		got.TTY || got.Status != "exited" || got.Running || got.PID != 0 || got.ExitCode != 3 || got.OOMKilled ||
		got.Health != "" || got.NetworkMode != "none" || got.Created.IsZero() || got.Started.IsZero() ||
		got.Finished.IsZero() {
		t.Errorf("Inspect = %+v", got)
	}
	if v, _ := got.LookupEnv("A"); v != "b" {
		t.Errorf("environment: %q", got.Env)
	}
	if whole, err := api.ContainerInspect(ctx, made.ID); err != nil || !reflect.DeepEqual(got.Inspect.Unpack(), whole) {
		t.Errorf("the engine's whole answer is\n%+v, want\n%+v, %v", got.Inspect.Unpack(), whole, err)
	}

	list, err := c.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(e engine.Entry) bool { return e.ID == made.ID })
	if i < 0 {
		t.Fatal("a stopped container is not in the list")
	}
	if e := list[i]; e.Name != name || e.State != "exited" || e.Image != imageName || e.Labels["team"] != "a" || e.Created.IsZero() {
		t.Errorf("entry: %+v", e)
	}

	if err := api.ContainerRename(ctx, made.ID, name+"-b"); err != nil {
		t.Fatal(err)
	}
	if e := expect(made.ID, engine.ActionRename)[0]; e.Attributes["oldName"] != "/"+name || e.Attributes["name"] != name+"-b" {
		t.Errorf("rename: %+v", e)
	}
	if err := api.ContainerRemove(ctx, made.ID, container.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	expect(made.ID, engine.ActionDestroy)
	if _, err := c.Inspect(ctx, made.ID); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Inspect of a removed container = %v, want %v", err, engine.ErrNotFound)
	}
	cancel()
	if err := drain(t, events, failed); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v, want %v", err, context.Canceled)
	}

	// The past can be had again, from an event on and with it.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	events, failed = c.Events(ctx, died.Time)
	if e := expect(made.ID, engine.ActionDie, engine.ActionRename, engine.ActionDestroy)[0]; !e.Time.Equal(died.Time) {
		t.Errorf("the first event since %s is of %s", died.Time, e.Time)
	}
	cancel()
	_ = drain(t, events, failed)
}

// importProgram makes an image that holds one static program, from no registry.
func importProgram(t *testing.T, api *client.Client) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-o", path, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("tallyman-engine-test:%d", os.Getpid())
	progress, err := api.ImageImport(t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, name, image.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, progress)
	_ = progress.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := api.ImageRemove(context.Background(), name, image.RemoveOptions{}); err != nil {
			t.Errorf("removing the image: %v", err)
		}
	})
	return name
}
