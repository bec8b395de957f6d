package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tallyman/cmd/internal/oracle"
	"tallyman/cmd/internal/oracle/genimage"
	"tallyman/cmd/testkit"
)

// TestRecordsAreThoseOfTheEngine runs the generator in a container and compares
// the engine's log with what write would make of the same lines.
func TestRecordsAreThoseOfTheEngine(t *testing.T) {
	image := genimage.Build(t)
	docker := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("docker", args...).Output()
		if err != nil {
			t.Fatalf("docker %q: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	id := docker("run", "--detach", "--log-driver=json-file", "--network=none", image,
		"gen", "-lines", "500", "-name", "a", "-quotes", "-stderr-every", "5")
	t.Cleanup(func() { docker("rm", "--force", id) })
	if code := docker("wait", id); code != "0" {
		t.Fatalf("the generator ended with %s", code)
	}
	path := docker("inspect", "--format", "{{.LogPath}}", id)
	log, err := os.ReadFile(path)
	hidden := errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)
	testkit.Need(t, !hidden, fmt.Sprintf("the engine's files: %v", err))
	if err != nil {
		t.Fatal(err)
	}
	sink, err := oracle.New(oracle.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sink.Expect("a", "1", 500)
	for record := range bytes.Lines(log) {
		var r struct {
			Log, Stream string
			Time        time.Time
		}
		if err := json.Unmarshal(record, &r); err != nil {
			t.Fatalf("%s: %v", record, err)
		}
		if got := appendJSONRecord(nil, []byte(r.Log), r.Stream, r.Time); !bytes.Equal(got, record) {
			t.Fatalf("the engine wrote\n%s, we\n%s", record, got)
		}
		sink.Feed([]byte(r.Log))
	}
	if r := sink.Report(); !r.Exact() {
		t.Errorf("report: %s", r)
	}
}
