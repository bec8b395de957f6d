//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCost guards what a line costs: no allocation, and no more than a few times
// the floor, which the same machine has run at the same time. Absolute times are
// for make bench: machines that run tests are busy.
func TestCost(t *testing.T) {
	asItself(t)
	dir := t.TempDir()
	agent := filepath.Join(dir, "tallyman")
	build := exec.Command("go", "build", "-o", agent, "tallyman/cmd/tallyman")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	drain := func(lines string) (floor, tallyman standing) {
		t.Helper()
		results := filepath.Join(dir, "results.json")
		args := []string{
			"bench", "-cases", "drain/200", "-lines", lines, "-rounds", "3", "-rsyslog=false", "-dir", dir, "-agent", agent, "-json", results,
		}
		if err := run(context.Background(), args, std(&bytes.Buffer{})); err != nil {
			t.Fatal(err)
		}
		var written struct{ Cases []result }
		data, err := os.ReadFile(results)
		if err == nil {
			err = json.Unmarshal(data, &written)
		}
		if err != nil || len(written.Cases) != 1 || len(written.Cases[0].Contenders) != 2 {
			t.Fatalf("results: %s, %v", data, err)
		}
		return written.Cases[0].Contenders[0], written.Cases[0].Contenders[1]
	}
	const few, many = 200_000, 800_000
	_, small := drain("200000")
	floor, large := drain("800000")

	// What the agent allocates to start and to end is in both, and the rest is what
	// it does by the clock, more of it on a slow machine. One allocation for each
	// line would be 1, one for each batch 0.001.
	allocs := (large.Spreads[allocsPerLine.key].Least*many - small.Spreads[allocsPerLine.key].Least*few) / (many - few)
	if allocs > 0.01 {
		t.Errorf("a line costs %.4f allocations, want 0", allocs)
	}
	// The least of each is what other work on the machine has disturbed least.
	ratio := large.Spreads[cpuPerLine.key].Least / floor.Spreads[cpuPerLine.key].Least
	if ratio > 4 {
		t.Errorf("a line costs %.1f times the floor, want at most 4", ratio)
	}
	t.Logf("%.4f allocations a line, %.2f times the floor", allocs, ratio)
}
