package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tallyman/cmd/internal/oracle/genimage"
	"tallyman/cmd/testkit"
)

// TestRefuseDynamic: a program that cannot start in an empty image is refused at
// the start, if a case needs it there.
func TestRefuseDynamic(t *testing.T) {
	dynamic, err := exec.LookPath("sh")
	testkit.Need(t, err == nil, "a shell that is linked dynamically")
	static := filepath.Join(t.TempDir(), "tallybench")
	build := exec.Command("go", "build", "-o", static, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, cases := range []string{"live/singles", "drain live", "scrape", "metrics", "start/engine"} {
		chosen, err := chooseCases(cases)
		if err != nil {
			t.Fatal(err)
		}
		if err := refuseDynamic(chosen, dynamic); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
			t.Errorf("%s with a dynamic program: %v", cases, err)
		}
		if err := refuseDynamic(chosen, static); err != nil {
			t.Errorf("%s with a static program: %v", cases, err)
		}
	}
	chosen, err := chooseCases("drain idle scale start/files")
	if err != nil {
		t.Fatal(err)
	}
	if err := refuseDynamic(chosen, dynamic); err != nil {
		t.Errorf("without containers: %v", err)
	}
}

// TestFleetTellsOfAnEnd: a container that has ended is told of, with what it said.
func TestFleetTellsOfAnEnd(t *testing.T) {
	image := genimage.Build(t)
	f := &fleet{prefix: fmt.Sprintf("tallybench-test-%d-", os.Getpid())}
	t.Cleanup(func() {
		if err := f.remove(); err != nil {
			t.Error(err)
		}
	})
	run := func(args ...string) string {
		t.Helper()
		name := fmt.Sprint(f.prefix, len(f.names))
		f.names = append(f.names, name)
		args = append([]string{"run", "--detach", "--name", name, "--network", "none", image, "gen"}, args...)
		if _, err := docker(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run("-lines", "0", "-rate", "1")
	if err := f.ended(t.Context()); err != nil {
		t.Errorf("all run: %v", err)
	}
	if v, err := f.floorOfMetrics(t.Context()); err != nil || v[cpuPerScrape.key] <= 0 || v[scrapeSize.key] <= 0 {
		t.Errorf("the floor of its metrics is %v, %v", v, err)
	}
	name := run("-lines", "many")
	if _, err := docker(t.Context(), "wait", name); err != nil {
		t.Fatal(err)
	}
	err := f.ended(t.Context())
	if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "exit code 2") || !strings.Contains(err.Error(), "wait so long") {
		t.Errorf("one has ended: %v", err)
	}
}
