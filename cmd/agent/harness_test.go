package agent

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"tallyman/adapters/all"
	"tallyman/cmd/internal/oracle"
	"tallyman/cmd/internal/oracle/genimage"
	"tallyman/cmd/testkit"
)

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tallyman-e2e-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "tallyman")
	args := []string{"build", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "../tallyman")...)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the agent: %w\n%s", err, out)
	}
	return binary, nil
})

// testBuild is the program that these tests run within themselves.
func testBuild() Build { return Build{Adapters: all.List()} }

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := buildOnce(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// What other packages' tests need too.
var (
	need        = testkit.Need
	freeAddress = testkit.FreeAddress
)

type lockedBuffer = testkit.Buffer

// process is a running agent.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	listen string
	output *lockedBuffer
	ended  chan struct{}
}

// startAgent starts the agent with a state folder and arguments, and waits until
// it serves.
func startAgent(t testing.TB, state string, env []string, args ...string) *process {
	t.Helper()
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return startProgram(t, binary, state, env, args...)
}

// startProgram is startAgent for a program of another build.
func startProgram(t testing.TB, binary, state string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, listen: freeAddress(t), output: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"--listen", p.listen, "--state-dir", state}, args...)...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // Its code is read from ProcessState.
	}()
	t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.output.String(), "DATA RACE") {
			t.Error("the race detector has found something in the agent")
		}
		if t.Failed() {
			t.Logf("the agent said:\n%s", p.output)
		}
	})
	p.eventually("it serves HTTP", func() bool {
		_, _, err := p.get("/health")
		return err == nil
	})
	return p
}

// startReady is startAgent for an agent that must know the engine's containers.
func startReady(t testing.TB, state string, args ...string) *process {
	t.Helper()
	p := startAgent(t, state, nil, args...)
	p.ready()
	return p
}

// ready waits until the agent knows the engine's containers.
func (p *process) ready() {
	p.t.Helper()
	p.eventually("it is healthy", func() bool {
		code, _, err := p.get("/health")
		return err == nil && code == http.StatusOK
	})
}

func (p *process) eventually(what string, condition func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			p.t.Fatalf("waiting until %s: the agent has ended: %v\n%s", what, p.cmd.ProcessState, p.output)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("it has not come true that %s\n%s", what, p.lastWords())
		}
	}
}

// lastWords ends the agent and returns what tells where it stood: its tally, what it has
// said, and what its goroutines were at.
func (p *process) lastWords() string {
	_, tally, err := p.get("/api/v1/tally")
	if err != nil {
		tally = err.Error()
	}
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // It may have ended.
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
	}
	return tally + p.output.String()
}

func (p *process) get(path string) (int, string, error) {
	response, err := http.Get("http://" + p.listen + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// metric returns a sample of /metrics, whose name and labels are given as they
// are written there.
func (p *process) metric(series string) (value float64, ok bool) {
	p.t.Helper()
	_, body, err := p.get("/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(body) {
		if rest, found := strings.CutPrefix(line, series+" "); found {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				p.t.Fatal(err)
			}
			return value, true
		}
	}
	return 0, false
}

// terminate stops the agent as a service manager does and returns its exit code.
func (p *process) terminate() int {
	p.t.Helper()
	return p.stop(syscall.SIGTERM)
}

// stop sends the agent a signal that ends it in good order, and returns its exit
// code.
func (p *process) stop(signal os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the agent has not stopped\n%s", p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended.
	<-p.ended
}

// docker is the real engine.
type docker struct {
	t      testing.TB
	client *client.Client
	image  string
}

func newDocker(t testing.TB) *docker {
	t.Helper()
	image := genimage.Build(t)
	// An engine that hangs fails the test at hand, rather than all.
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation(), client.WithTimeout(3*patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &docker{t: t, client: c, image: image}
}

// logOptions are the options of the json-file driver.
type logOptions map[string]string

// create makes a container of the generator that is removed with the test.
func (d *docker) create(name string, host *container.HostConfig, args ...string) string {
	d.t.Helper()
	return d.make("", &container.Config{
		Cmd: append([]string{"gen", "-name", name}, args...), Labels: map[string]string{testLabel: name},
	}, host)
}

// make makes a container of the generator's image that is removed with the test;
// without a name the engine gives it one. It has no network: there the engine is
// told of each start and end, and before 20.10.27 it can lock itself up for good
// when they come at the same time (moby/moby#46661).
func (d *docker) make(name string, config *container.Config, host *container.HostConfig) (id string) {
	d.t.Helper()
	config.Image, config.NetworkDisabled = d.image, true
	created, err := d.client.ContainerCreate(context.Background(), config, host, nil, nil, name)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		// Containers made with --rm are gone.
		_ = d.client.ContainerRemove(context.Background(), created.ID, container.RemoveOptions{Force: true})
	})
	return created.ID
}

func (d *docker) start(id string) {
	d.t.Helper()
	if err := d.client.ContainerStart(context.Background(), id, container.StartOptions{}); err != nil {
		d.t.Fatal(err)
	}
}

// pause freezes a container, so that it writes nothing. One that has ended writes
// nothing either.
func (d *docker) pause(id string) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := d.client.ContainerPause(context.Background(), id)
		if err == nil || errdefs.IsConflict(err) {
			return
		}
		// The engine may not know yet that it has ended.
		if time.Now().After(deadline) {
			d.t.Fatal(err)
		}
	}
}

// unpause is the end of pause.
func (d *docker) unpause(id string) {
	d.t.Helper()
	if err := d.client.ContainerUnpause(context.Background(), id); err != nil && !errdefs.IsConflict(err) && !errdefs.IsInternal(err) {
		d.t.Fatal(err)
	}
}

// run makes and starts a container of the generator with the json-file driver.
func (d *docker) run(name string, options logOptions, args ...string) string {
	d.t.Helper()
	id := d.create(name, jsonFile(options), args...)
	d.start(id)
	return id
}

func jsonFile(options logOptions) *container.HostConfig {
	return &container.HostConfig{LogConfig: container.LogConfig{Type: "json-file", Config: options}}
}

func newSink(t testing.TB, network string) *oracle.Sink {
	t.Helper()
	s, err := oracle.New(oracle.Config{Network: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// wantComplete waits until every expected line has come.
func wantComplete(t testing.TB, s *oracle.Sink) oracle.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(size(1, 7))*patience)
	defer cancel()
	if err := s.WaitComplete(ctx); err != nil {
		t.Fatal(err)
	}
	return s.Report()
}

func wantExact(t testing.TB, what string, r oracle.Report) {
	t.Helper()
	if !r.Exact() {
		t.Fatalf("%s:\n%s", what, r)
	}
}

// testLabel marks the containers of this run of the tests.
var testLabel = fmt.Sprintf("tallyman.test-%d-%x", os.Getpid(), time.Now().UnixNano())

// besideOthers lets a test run beside others, except in a soak, where each has the
// machine to itself.
func besideOthers(t *testing.T) {
	t.Helper()
	if !soaking() {
		t.Parallel()
	}
}

// filterLabel returns the part of a URI that selects the containers of a test:
// other tests and other people use the same engine.
func filterLabel(prefix string) string { return "filter.labels=" + testLabel + ":" + prefix + "*" }
