package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asProgram in the environment makes the test binary behave as tallybench, which
// drain starts under its own path.
const asProgram = "TALLYBENCH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestDrain(t *testing.T) {
	t.Setenv(asProgram, "1")
	// The race detector would have each program linger for a second at its end.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	results := filepath.Join(t.TempDir(), "results.json")
	f := func(more ...string) {
		t.Helper()
		var out bytes.Buffer
		args := append([]string{"drain", "-lines", "20000", "-rounds", "2", "-dir", t.TempDir(), "-json", results}, more...)
		if err := run(t.Context(), args, std(&out)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "\nfloor ") {
			t.Errorf("table:\n%s", &out)
		}
		var written struct{ Contenders []standing }
		data, err := os.ReadFile(results)
		if err == nil {
			err = json.Unmarshal(data, &written)
		}
		if err != nil || len(written.Contenders) == 0 {
			t.Fatalf("results: %s, %v", data, err)
		}
		for _, s := range written.Contenders {
			if len(s.Rounds) != 2 || s.Median <= 0 || s.PeakBytes <= 0 {
				t.Errorf("results: %+v", s)
			}
		}
	}
	f("-rsyslog", "off")
	f("-rsyslog", "off", "-verify=false")
	f("-rsyslog", "both", "-quotes")
}

func TestDrainTellsOfAnAgentThatEnds(t *testing.T) {
	t.Setenv(asProgram, "1")
	// The race detector would have each program linger for a second at its end.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("#!/bin/sh\necho no such flag \"$1\"\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"drain", "-lines", "1000", "-rounds", "1", "-rsyslog", "off", "-dir", dir, "-agent", agent}
	err := run(t.Context(), args, std(&bytes.Buffer{}))
	if err == nil || !strings.Contains(err.Error(), "it ended before everything was sent") ||
		!strings.Contains(err.Error(), "no such flag --docker-root") {
		t.Errorf("drain = %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("drain left %v, %v", left, err)
	}
}
