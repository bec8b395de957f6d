package engine_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"tallyman/collector/engine"
)

func TestLogs(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	asked := make(chan string, 10)
	fake.HandleFunc("/containers/web/logs", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.RawQuery
		_, _ = io.WriteString(w, "the log")
	})
	c := newClient(t, engine.Options{Host: fake.host})
	f := func(o engine.LogOptions, want string) {
		t.Helper()
		body, err := c.Logs(t.Context(), "web", o)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(text) != "the log" {
			t.Errorf("read %q, %v", text, err)
		}
		if got := <-asked; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
	f(engine.LogOptions{}, "stderr=1&stdout=1&tail=all&timestamps=1")
	f(engine.LogOptions{Since: 1795225145000000042, Follow: true}, "follow=1&since=1795225145.000000042&stderr=1&stdout=1&tail=all&timestamps=1")
	f(engine.LogOptions{Last: 1}, "stderr=1&stdout=1&tail=1&timestamps=1")
}

func TestLogsRefused(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	status := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, text) }
	}
	fake.HandleFunc("/containers/none/logs", status(http.StatusNotImplemented, "configured logging driver does not support reading"))
	fake.HandleFunc("/containers/gone/logs", status(http.StatusNotFound, "No such container: gone"))
	fake.HandleFunc("/containers/silent/logs", fake.hang)
	c := newClient(t, engine.Options{Host: fake.host})
	if _, err := c.Logs(t.Context(), "none", engine.LogOptions{}); !errors.Is(err, engine.ErrUnreadable) {
		t.Errorf("an unreadable driver: %v", err)
	}
	if _, err := c.Logs(t.Context(), "gone", engine.LogOptions{}); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a missing container: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Logs(ctx, "silent", engine.LogOptions{Follow: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent container: %v", err)
	}
}

// An open stream ends with the client.
func TestLogsEndWithClient(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/web/logs", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		fake.hang(w, r)
	})
	c := newClient(t, engine.Options{Host: fake.host})
	body, err := c.Logs(t.Context(), "web", engine.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := body.Read(make([]byte, 1))
		ended <- errors.Join(err, body.Close())
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the stream ended without an error")
	}
}

func TestRealLogs(t *testing.T) {
	c := needEngine(t)
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	imageName := importProgram(t, api)
	run := func(driver string) string {
		made, err := api.ContainerCreate(t.Context(), &container.Config{Image: imageName, Entrypoint: []string{"/program"}, NetworkDisabled: true},
			&container.HostConfig{LogConfig: container.LogConfig{Type: driver}}, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true}); err != nil {
				t.Errorf("removing container %q: %v", made.ID, err)
			}
		})
		if err := api.ContainerStart(t.Context(), made.ID, container.StartOptions{}); err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	body, err := c.Logs(t.Context(), run("local"), engine.LogOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body) // To its end, for the container stops.
	if err := errors.Join(err, body.Close()); err != nil || !strings.HasSuffix(string(text), "Z hello\n") {
		t.Errorf("read %q, %v", text, err)
	}
	if _, err := c.Logs(t.Context(), run("none"), engine.LogOptions{}); !errors.Is(err, engine.ErrUnreadable) {
		t.Errorf("the driver none: %v", err)
	}
	if _, err := c.Logs(t.Context(), strings.Repeat("0", 64), engine.LogOptions{}); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("no container: %v", err)
	}
}
