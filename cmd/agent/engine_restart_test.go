package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"tallyman/cmd/internal/oracle"
	"tallyman/cmd/internal/oracle/genimage"
)

// ownEngine is a dockerd of the test's own, which it may restart.
type ownEngine struct {
	t    *testing.T
	dir  string
	args []string
	cmd  *exec.Cmd
	out  *lockedBuffer
}

func newOwnEngine(t *testing.T, args ...string) (*ownEngine, *docker) {
	t.Helper()
	image := genimage.Build(t)
	binary, err := exec.LookPath("dockerd")
	need(t, err == nil && os.Geteuid() == 0, "dockerd and the rights to run it")
	// The socket's path must be short.
	dir, err := os.MkdirTemp("", "dockerd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &ownEngine{t: t, dir: dir, out: &lockedBuffer{}, args: append([]string{
		binary, "--config-file", config, "--storage-driver", "vfs",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--host", e0(dir), "--pidfile", filepath.Join(dir, "pid"),
		"--bridge", "none", "--iptables=false", "--ip-forward=false", "--ip-masq=false",
	}, args...)}
	c, err := client.NewClientWithOpts(client.WithHost(e0(dir)), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	d := &docker{t: t, client: c, image: image}
	e.start(d)
	t.Cleanup(func() {
		e.stop()
		_ = c.Close()
		if t.Failed() {
			t.Logf("dockerd said:\n%s", e.out)
		}
	})
	saved, err := newDocker(t).client.ImageSave(context.Background(), []string{image})
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	loaded, err := c.ImageLoad(context.Background(), saved)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Body.Close()
	// The image is there when the answer has ended.
	if _, err := io.Copy(io.Discard, loaded.Body); err != nil {
		t.Fatal(err)
	}
	return e, d
}

func e0(dir string) string { return "unix://" + filepath.Join(dir, "docker.sock") }

func (e *ownEngine) start(d *docker) {
	e.t.Helper()
	e.cmd = exec.Command(e.args[0], e.args[1:]...)
	e.cmd.Stdout, e.cmd.Stderr = e.out, e.out
	// Without a network namespace of its own it would remove the bridge of the
	// engine that runs on this machine.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := d.client.Ping(context.Background()); err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("dockerd does not answer:\n%s", e.out)
		}
	}
}

func (e *ownEngine) stop() {
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
	_ = e.cmd.Wait()
}

// reached reports whether so many sources have come as far as their last line.
func reached(r oracle.Report, sources, last int) bool {
	n := 0
	for _, s := range r.Sources {
		if s.Distinct > 0 && !slices.ContainsFunc(s.Gaps, func(g oracle.Gap) bool { return g.To >= uint64(last) }) {
			n++
		}
	}
	return n == sources
}

// logged returns what the engine has in the logs of containers.
func (d *docker) logged(ids []string) oracle.Report {
	d.t.Helper()
	all, err := oracle.New(oracle.Config{})
	if err != nil {
		d.t.Fatal(err)
	}
	defer all.Close()
	for _, id := range ids {
		stream, err := d.client.ContainerLogs(context.Background(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
		if err != nil {
			d.t.Fatal(err)
		}
		var text bytes.Buffer
		_, err = stdcopy.StdCopy(&text, &text, stream)
		_ = stream.Close()
		if err != nil {
			d.t.Fatal(err)
		}
		for line := range bytes.Lines(text.Bytes()) {
			all.Feed(line)
		}
	}
	return all.Report()
}

// TestEngineRestart restarts dockerd under running containers. With live-restore
// they go on; without, they are stopped and started again by their policy. All
// lines come, also those of containers started afterwards.
func TestEngineRestart(t *testing.T) {
	besideOthers(t)
	f := func(name string, live bool) {
		t.Run(name, func(t *testing.T) {
			var args []string
			if live {
				args = append(args, "--live-restore")
			}
			e, d := newOwnEngine(t, args...)
			sink := newSink(t, "tcp")
			p := startAgent(t, t.TempDir(), []string{"DOCKER_HOST=" + e0(e.dir)}, "syslog+tcp://"+sink.Address())
			healthy := func() bool {
				code, _, err := p.get("/health")
				return err == nil && code == 200
			}
			p.eventually("it is healthy", healthy)
			const lines = 4000
			var ids []string
			run := func(name string, rate int) {
				host := jsonFile(logOptions{"max-size": "300k", "max-file": "20"})
				if !live {
					host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyAlways}
				}
				id := d.create(name, host, "-lines", fmt.Sprint(lines), "-rate", fmt.Sprint(rate), "-hold", "10m")
				d.start(id)
				ids = append(ids, id)
				sink.Expect(name, "1", lines)
			}
			for i := range 3 {
				run(fmt.Sprintf("engine-%d", i), 1000)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := sink.WaitLines(ctx, lines); err != nil {
				t.Fatal(err)
			}
			e.stop()
			p.eventually("it notices that the engine has gone", func() bool { return !healthy() })
			e.start(d)
			p.eventually("it follows the engine again", healthy)
			run("engine-late", 0)
			// dockerd may tear a line when it ends: what has to come is what is in
			// its logs.
			var got oracle.Report
			p.eventually("the last line of each container has come", func() bool {
				got = sink.Report()
				return reached(got, 4, lines)
			})
			want := d.logged(ids)
			if !slices.EqualFunc(got.Sources, want.Sources, func(a, b oracle.SourceReport) bool {
				return a.Source == b.Source && a.Distinct == b.Distinct && a.Duplicates == b.Duplicates && slices.Equal(a.Gaps, b.Gaps)
			}) {
				t.Fatalf("through a restart of the engine came\n%s\nand its logs hold\n%s", got, want)
			}
			t.Logf("dockerd itself has torn %d lines and has %d more than once", want.Missing, want.Duplicates)
		})
	}
	f("live-restore", true)
	f("without", false)
}
