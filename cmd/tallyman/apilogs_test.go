package main

import (
	"fmt"
	"net"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// TestContainersWithoutAFile: containers whose driver leaves no file, and those
// with a terminal, are read all the same, across a kill of the agent.
func TestContainersWithoutAFile(t *testing.T) {
	d := newDocker(t)
	sink := newSink(t, "tcp")
	state := t.TempDir()
	uri := "syslog+tcp://" + sink.Address() + "?" + filterLabel("fileless-")
	p := startReady(t, state, uri)
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
		created, err := d.client.ContainerCreate(t.Context(), &container.Config{
			Image: d.image, Tty: tty, Labels: map[string]string{"tallyman.test": name},
			Cmd: []string{"gen", "-name", name, "-lines", fmt.Sprint(lines), "-rate", "1000"},
		}, &container.HostConfig{LogConfig: log}, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		removeLater(t, d, created.ID)
		d.start(created.ID)
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
		p = startReady(t, state, uri)
	}
	report := wantComplete(t, sink)
	t.Logf("%d of %d lines repeated", report.Duplicates, 4*lines)
	if most := uint64(2 * 4 * 1000 * 2); report.Duplicates > most {
		t.Fatalf("%d lines were repeated, more than two seconds' a kill:\n%s", report.Duplicates, report)
	}
}
