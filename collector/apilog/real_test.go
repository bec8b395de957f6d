package apilog

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"tallyman/cmd/testkit"
	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// rig is what a test with real containers needs.
type rig struct {
	t      *testing.T
	api    *client.Client
	engine *engine.Client
	image  string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g := &rig{t: t}
	var err error
	if g.engine, err = engine.New(engine.Options{Host: os.Getenv("DOCKER_HOST")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.engine.Close() })
	_, err = g.engine.Info(t.Context())
	testkit.Need(t, err == nil, fmt.Sprintf("a container engine: %v", err))
	if g.api, err = client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.api.Close() })
	g.image = g.importGenerator()
	return g
}

// importGenerator makes an image that holds the line generator, from no registry.
func (g *rig) importGenerator() string {
	g.t.Helper()
	path := filepath.Join(g.t.TempDir(), "tallybench")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "tallyman/cmd/tallybench")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		g.t.Fatalf("building the generator: %v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		g.t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "tallybench", Mode: 0o755, Size: int64(len(program))}); err != nil {
		g.t.Fatal(err)
	}
	if _, err := w.Write(program); err != nil {
		g.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		g.t.Fatal(err)
	}
	name := fmt.Sprintf("tallyman-apilog-test:%d", os.Getpid())
	progress, err := g.api.ImageImport(g.t.Context(), image.ImportSource{Source: &archive, SourceName: "-"}, name, image.ImportOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, progress)
	_ = progress.Close()
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if _, err := g.api.ImageRemove(context.Background(), name, image.RemoveOptions{}); err != nil {
			g.t.Errorf("removing the image: %v", err)
		}
	})
	return name
}

// create makes a container of the line generator.
func (g *rig) create(driver string, options map[string]string, tty bool, args ...string) string {
	g.t.Helper()
	made, err := g.api.ContainerCreate(g.t.Context(),
		&container.Config{Image: g.image, Entrypoint: []string{"/tallybench", "gen"}, Cmd: args, Tty: tty, NetworkDisabled: true},
		&container.HostConfig{LogConfig: container.LogConfig{Type: driver, Config: options}}, nil, nil, "")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := g.api.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
			g.t.Errorf("removing container %q: %v", made.ID, err)
		}
	})
	return made.ID
}

func (g *rig) start(id string) *record.Container {
	g.t.Helper()
	if err := g.api.ContainerStart(g.t.Context(), id, container.StartOptions{}); err != nil {
		g.t.Fatal(err)
	}
	return g.inspect(id)
}

func (g *rig) inspect(id string) *record.Container {
	g.t.Helper()
	c, err := g.engine.Inspect(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// awaitExit waits until a container has stopped.
func (g *rig) awaitExit(id string) *record.Container {
	g.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c := g.inspect(id); !c.Running {
			return c
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("container %q still runs", id)
		}
	}
}

// sequence is the number in a line of the generator.
func sequence(t *testing.T, text string) int {
	t.Helper()
	i := strings.Index(text, " seq=")
	var n int
	if i < 0 {
		t.Fatalf("not a line of the generator: %.80q", text)
	}
	if _, err := fmt.Sscan(text[i+5:], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wantAll checks that the numbers 1 to n are all there, once, and each stream's
// in order; size is the length of each line.
func wantAll(t *testing.T, lines []line, n, size int) {
	t.Helper()
	seen := make([]int, n+1)
	last := [record.Streams]int{}
	for _, l := range lines {
		k := sequence(t, l.text)
		if k < 1 || k > n {
			t.Fatalf("line number %d", k)
		}
		seen[k]++
		if k < last[l.stream] {
			t.Errorf("line %d comes after line %d", k, last[l.stream])
		}
		last[l.stream] = k
		if len(l.text) != size || strings.HasSuffix(l.text, "\r") {
			t.Fatalf("line %d has %d bytes, want %d", k, len(l.text), size)
		}
	}
	missing, repeated := 0, 0
	for _, times := range seen[1:] {
		switch {
		case times == 0:
			missing++
		case times > 1:
			repeated++
		}
	}
	if missing+repeated > 0 {
		t.Errorf("of %d lines %d are missing and %d were repeated", n, missing, repeated)
	}
}

// syslogSink takes what a syslog driver sends, so that only the engine's cache
// can be read.
func syslogSink(t *testing.T) string {
	t.Helper()
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buf := make([]byte, 1<<16); ; {
			if _, _, err := sink.ReadFrom(buf); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = sink.Close()
		<-done
	})
	return sink.LocalAddr().String()
}

// The agent dies several times while a container writes; the copy and what is
// read of it have no gap and no repeat.
func TestRealDrivers(t *testing.T) {
	g := newRig(t)
	for name, c := range map[string]struct {
		driver  string
		options map[string]string
		tty     bool
		stderr  string
	}{
		"local": {driver: "local", stderr: "3"},
		// Without blocking, its cache may drop lines.
		"syslog": {driver: "syslog", options: map[string]string{"syslog-address": "udp://" + syslogSink(t), "mode": "blocking"}, stderr: "3"},
		"tty":    {driver: "json-file", tty: true, stderr: "0"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &rig{t: t, api: g.api, engine: g.engine, image: g.image}
			const lines = 8000
			id := g.create(c.driver, c.options, c.tty, "-lines", fmt.Sprint(lines), "-rate", "4000", "-size", "200", "-stderr-every", c.stderr)
			testDeaths(t, g, id, lines, 200)
		})
	}
}

// testDeaths reads a container through five lives of an agent, and then through
// a sixth after the container was started again.
func testDeaths(t *testing.T, g *rig, id string, lines, size int) {
	c := g.start(id)
	dir := t.TempDir()
	var saved record.Position
	var got []line
	life := func(c *record.Container, n int) {
		a := startAgent(t, dir, g.engine, nil)
		r := a.reader(a.log(c), saved)
		got = append(got, r.read(n)...)
		saved = r.Position()
		next := t.TempDir()
		if err := os.CopyFS(next, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		a.stop()
		dir = next
	}
	for range 5 {
		life(c, lines/10)
	}
	life(c, lines-len(got))
	wantAll(t, got, lines, size)
	g.awaitExit(id)
	got = nil
	life(g.start(id), lines)
	wantAll(t, got, lines, size)
}

// Lines at the engine's own limits, on both streams at once.
func TestRealLongLines(t *testing.T) {
	g := newRig(t)
	for _, size := range []int{16383, 16384, 16385, 32768} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			g := &rig{t: t, api: g.api, engine: g.engine, image: g.image}
			id := g.create("local", nil, false, "-lines", "300", "-size", fmt.Sprint(size), "-stderr-every", "2")
			testDeaths(t, g, id, 300, size)
		})
	}
}

// The last words of a container without a newline, in two runs of it, and its
// removal.
func TestRealLastWords(t *testing.T) {
	g := newRig(t)
	id := g.create("local", nil, false, "-lines", "3", "-size", "16384", "-unterminated")
	a := startAgent(t, t.TempDir(), g.engine, nil)
	r := a.reader(a.log(g.start(id)), record.Oldest())
	for range 2 {
		a.log(g.awaitExit(id))
		wantAll(t, r.read(3), 3, 16384)
		a.log(g.start(id))
	}
	a.log(g.awaitExit(id))
	wantAll(t, r.read(3), 3, 16384)
	if err := g.api.ContainerRemove(t.Context(), id, container.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	a.source.End(id)
	if err := r.Next(r.b); err != nil && err != io.EOF {
		// The end may not have come yet.
		wantTexts(t, r.read(1))
	}
}

func TestRealUnreadable(t *testing.T) {
	g := newRig(t)
	a := startAgent(t, t.TempDir(), g.engine, nil)
	for driver, options := range map[string]map[string]string{
		"none":   nil,
		"syslog": {"syslog-address": "udp://" + syslogSink(t), "cache-disabled": "true"},
	} {
		_, err := a.source.Log(g.start(g.create(driver, options, false, "-lines", "1")))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", driver)) || !strings.Contains(err.Error(), "cache-disabled") {
			t.Errorf("%s: %v", driver, err)
		}
	}
}

// A reader that starts at the end of a container that writes gets what is
// written from then on, without a gap.
func TestRealStartAtTheEnd(t *testing.T) {
	g := newRig(t)
	id := g.create("local", nil, false, "-lines", "4000", "-rate", "4000")
	c := g.start(id)
	a := startAgent(t, t.TempDir(), g.engine, nil)
	l := a.log(c)
	early := a.reader(l, record.Oldest())
	early.read(500)
	end := a.reader(l, record.End())
	late := end.read(1)
	first := sequence(t, late[0].text)
	for late[len(late)-1].text != "" && sequence(t, late[len(late)-1].text) < 4000 {
		late = append(late, end.read(1)...)
	}
	numbers := make([]int, len(late))
	for i := range late {
		numbers[i] = sequence(t, late[i].text)
	}
	want := make([]int, 0, len(late))
	for n := first; n <= 4000; n++ {
		want = append(want, n)
	}
	if first <= 500 || !slices.Equal(numbers, want) {
		t.Errorf("from %d on there are %d lines, want %d", first, len(numbers), len(want))
	}
}
