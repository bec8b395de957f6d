package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// forwardToEngine serves the engine's socket on a TCP port until the test ends.
func forwardToEngine(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", "/var/run/docker.sock")
		}},
		FlushInterval: -1,
	}
	server := &http.Server{Handler: proxy}
	go func() { _ = server.Serve(listener) }() // It ends with the test.
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// TestRemoteEngine: an engine that is reached over TCP, whose files cannot be
// seen, is read through its API, across a kill of the agent.
func TestRemoteEngine(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	sink := newSink(t, "tcp")
	state := t.TempDir()
	env := []string{"DOCKER_HOST=tcp://" + forwardToEngine(t)}
	args := []string{"--docker-root", t.TempDir(), "syslog+tcp://" + sink.Address() + "?" + filterLabel("remote-")}
	p := startAgent(t, state, env, args...)
	p.eventually("it says how it reads", func() bool {
		_, body, err := p.get("/health")
		return err == nil && strings.Contains(body, "all logs are read through the engine's API")
	})
	const lines = 4000
	for i := range 2 {
		name := fmt.Sprintf("remote-%d", i)
		sink.Expect(name, "1", lines)
		d.run(name, nil, "-lines", fmt.Sprint(lines), "-rate", "2000", "-stderr-every", "3")
	}
	p.eventually("some lines have come", func() bool { return sink.Lines() >= lines/2 })
	p.kill()
	startAgent(t, state, env, args...)
	report := wantComplete(t, sink)
	t.Logf("%d of %d lines repeated", report.Duplicates, 2*lines)
}

// TestContainersWithoutAFile: containers whose driver leaves no file, and those
// with a terminal, are read all the same, across a kill of the agent. It runs by
// itself: beside floods nothing at all has come through the engine's API for 90 s.
func TestContainersWithoutAFile(t *testing.T) {
	d := newDocker(t)
	sink := newSink(t, "tcp")
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("fileless-")
	p := startReady(t, state, uri, "--allow-tty")
	// The syslog driver needs somebody to send to; dockerd keeps a cache beside.
	listener, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	lines := size(4000, 40_000)
	run := func(name string, tty bool, log container.LogConfig) {
		t.Helper()
		sink.Expect(name, "1", uint64(lines))
		d.start(d.make("", &container.Config{
			Tty: tty, Labels: map[string]string{testLabel: name},
			Cmd: []string{"gen", "-name", name, "-lines", fmt.Sprint(lines), "-rate", "1000"},
		}, &container.HostConfig{LogConfig: log}))
	}
	run("fileless-local", false, container.LogConfig{Type: "local"})
	run("fileless-syslog", false, container.LogConfig{
		Type: "syslog", Config: map[string]string{"syslog-address": "udp://" + listener.LocalAddr().String()},
	})
	run("fileless-tty", true, container.LogConfig{Type: "json-file"})
	run("fileless-localtty", true, container.LogConfig{Type: "local"})
	for i := range 2 {
		p.eventually("some lines have come", func() bool { return sink.Lines() >= int64(lines*4*(i+1)/4) })
		p.kill()
		p = startReady(t, state, uri, "--allow-tty")
	}
	report := wantComplete(t, sink)
	t.Logf("%d of %d lines repeated", report.Duplicates, 4*lines)
	if most := uint64(2 * 4 * 1000 * 2); report.Duplicates > most {
		t.Fatalf("%d lines were repeated, more than two seconds' a kill:\n%s", report.Duplicates, report)
	}
}
