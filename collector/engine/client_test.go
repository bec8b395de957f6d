package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyman/cmd/testkit"
	"tallyman/collector/engine"
)

func TestNewRefusesBadOptions(t *testing.T) {
	f := func(o engine.Options, want string) {
		t.Helper()
		_, err := engine.New(o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want an error with %q", o, err, want)
		}
	}
	f(engine.Options{Host: "/var/run/docker.sock"}, "bad engine address")
	f(engine.Options{Host: "unix://"}, "bad engine address")
	f(engine.Options{Host: "ssh://me@there"}, "unknown scheme")
	f(engine.Options{Host: "unix:///" + strings.Repeat("x", 200)}, "too long")
	f(engine.Options{Host: "tcp://127.0.0.1:2376", CertPath: t.TempDir()}, "reading the engine's certificates")
}

func TestNewDoesNotConnectAndTakesNothingFromTheEnvironment(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/json", answer(`[]`))
	t.Setenv("DOCKER_HOST", "unix:///nowhere.sock")
	t.Setenv("DOCKER_API_VERSION", "1.30")
	t.Setenv("DOCKER_CERT_PATH", t.TempDir())
	c := newClient(t, engine.Options{Host: fake.host})
	if got := fake.paths(); len(got) != 0 {
		t.Fatalf("New asked for %q", got)
	}
	if _, err := c.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"/_ping", "/v1.51/containers/json"}
	if got := fake.paths(); !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

func TestVersionNegotiation(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/info", answer(`{"ID":"x","ServerVersion":"20.10.24"}`))
	c := newClient(t, engine.Options{Host: fake.host})

	fake.speak("1.41", "1.12")
	info, err := c.Info(t.Context())
	if err != nil || info.APIVersion != "1.41" {
		t.Fatalf("with an old engine: %+v, %v", info, err)
	}

	// The engine is replaced by one that does not know 1.41 any more. The first
	// call is told so, and the next one negotiates.
	fake.speak("1.60", "1.44")
	if _, err := c.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "too old") {
		t.Fatalf("with a version that is too old: %v", err)
	}
	info, err = c.Info(t.Context())
	if err != nil || info.APIVersion != "1.51" {
		t.Fatalf("after the replacement: %+v, %v", info, err)
	}

	// One that wants more than this client knows says what it wants.
	fake.speak("1.70", "1.60")
	_, err = c.Info(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Minimum supported API version is 1.60") {
		t.Fatalf("with an engine that is too new: %v", err)
	}
}

func TestFixedVersion(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/json", answer(`[]`))
	c := newClient(t, engine.Options{Host: fake.host, APIVersion: "1.43"})
	if _, err := c.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fake.paths(); got[len(got)-1] != "/v1.43/containers/json" {
		t.Errorf("asked for %q", got)
	}
}

func TestHangingEngineMeetsTheDeadline(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/", fake.hang)
	c := newClient(t, engine.Options{Host: fake.host, Timeout: 50 * time.Millisecond})

	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "50ms") {
			t.Errorf("%s = %v, want a missed deadline of 50ms", what, err)
		}
	}
	_, err := c.Info(t.Context())
	check("Info", err)
	_, err = c.List(t.Context())
	check("List", err)
	_, err = c.Inspect(t.Context(), "abc")
	check("Inspect", err)
	events, failed := c.Events(t.Context(), time.Time{})
	check("Events", drain(t, events, failed))
}

func TestHangingNegotiationMeetsTheDeadline(t *testing.T) {
	fake := newFake(t)
	fake.HandleFunc("/_ping", fake.hang)
	c := newClient(t, engine.Options{Host: fake.host, Timeout: 50 * time.Millisecond})
	// The second and third wait for the first one's negotiation, and no longer
	// than their own deadline.
	results := make(chan error)
	start := time.Now()
	for range 3 {
		go func() {
			_, err := c.List(context.Background())
			results <- err
		}()
	}
	for range 3 {
		if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("List = %v, want a missed deadline", err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the calls took %s", took)
	}
}

func TestCancelledCallSaysSo(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/", fake.hang)
	c := newClient(t, engine.Options{Host: fake.host})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("List = %v, want %v", err, context.Canceled)
	}
}

func TestAbsentEngine(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "docker.sock")
	c := newClient(t, engine.Options{Host: "unix://" + socket})
	_, err := c.List(t.Context())
	if err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("List = %v, want an error with %q", err, socket)
	}
	events, failed := c.Events(t.Context(), time.Time{})
	if err := drain(t, events, failed); err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("Events = %v, want an error with %q", err, socket)
	}
}

func TestInspectOfAVanishedContainer(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/gone/json", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "No such container: gone")
	})
	fake.HandleFunc("/containers/ill/json", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusInternalServerError, "the disk is on fire")
	})
	c := newClient(t, engine.Options{Host: fake.host})
	if _, err := c.Inspect(t.Context(), "gone"); !errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("Inspect = %v, want %v", err, engine.ErrNotFound)
	}
	_, err := c.Inspect(t.Context(), "ill")
	if err == nil || errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), "on fire") {
		t.Errorf("Inspect = %v, want the engine's words", err)
	}
}

func TestInspectBearsMissingParts(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/bare/json", answer(`{}`))
	fake.HandleFunc("/containers/full/json", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join("testdata", "inspect.json"))
	})
	c := newClient(t, engine.Options{Host: fake.host})
	bare, err := c.Inspect(t.Context(), "bare")
	if err != nil || bare.ID != "bare" || bare.Inspect == nil {
		t.Errorf("bare container: %+v, %v", bare, err)
	}
	before := time.Now()
	full, err := c.Inspect(t.Context(), "full")
	if err != nil {
		t.Fatal(err)
	}
	if full.AsOf.Before(before) || full.AsOf.After(time.Now()) {
		t.Errorf("asked at %v, before %v", full.AsOf, before)
	}
	if full.Name != "shop-web-1" || full.Image != "shop/web:7" || full.ImageID != "sha256:1234" ||
		!slices.Equal(full.Command, []string{"/web", "-v"}) || full.Hostname != "web" ||
		full.Labels["team"] != "a" || full.LogDriver != "json-file" || full.LogPath != "/l.log" ||
		!full.TTY || full.Status != "exited" || full.ExitCode != 137 || !full.OOMKilled ||
		full.Health != "unhealthy" || full.RestartCount != 3 || full.CgroupParent != "/p" ||
		full.NetworkMode != "shop_default" || !full.Started.Equal(time.Unix(0, 1795225145847927820)) ||
		!full.Finished.IsZero() {
		t.Errorf("full container: %+v", full)
	}
	if v, ok := full.LookupEnv("A"); !ok || v != "b" {
		t.Errorf("environment: %q", full.Env)
	}
}

func TestListPicksTheContainersOwnName(t *testing.T) {
	fake := newFake(t)
	fake.ping()
	fake.HandleFunc("/containers/json", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("all") != "1" {
			refuse(w, http.StatusBadRequest, "stopped containers were not asked for")
			return
		}
		answer(`[{"Id":"1","Names":["/web/db","/db"],"State":"exited","Image":"i","Created":1795225145,"Labels":{"a":"b"}},{"Id":"2"}]`)(w, r)
	})
	c := newClient(t, engine.Options{Host: fake.host})
	got, err := c.List(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("List = %+v, %v", got, err)
	}
	if e := got[0]; e.ID != "1" || e.Name != "db" || e.State != "exited" || e.Image != "i" ||
		e.Created.Unix() != 1795225145 || e.Labels["a"] != "b" {
		t.Errorf("first entry: %+v", e)
	}
	if e := got[1]; e.ID != "2" || e.Name != "" {
		t.Errorf("second entry: %+v", e)
	}
}

// needEngine returns a client of this machine's engine.
func needEngine(t *testing.T) *engine.Client {
	t.Helper()
	host := os.Getenv("DOCKER_HOST")
	c := newClient(t, engine.Options{
		Host: host, CertPath: os.Getenv("DOCKER_CERT_PATH"), TLSVerify: os.Getenv("DOCKER_TLS_VERIFY") != "",
	})
	_, err := c.Info(t.Context())
	testkit.Need(t, err == nil, fmt.Sprintf("a container engine: %v", err))
	return c
}
