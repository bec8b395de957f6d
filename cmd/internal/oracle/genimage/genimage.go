// Package genimage builds the image of the line generator for tests that need
// real containers. It needs an engine and no registry.
package genimage

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tallyman/cmd/testkit"
)

// tag is the image's name. Its entry point is tallybench, so that a container's
// arguments begin with "gen".
const tag = "tallyman-gen:test"

// dockerfile makes an image with nothing but the program.
const dockerfile = "FROM scratch\nCOPY tallybench /tallybench\nENTRYPOINT [\"/tallybench\"]\n"

// Build builds the image, once for each test binary, and returns its ID, since
// another build may give the name to another image at any time. It needs an engine;
// see testkit.Need. Builds at the same time make the same image, so tests of several
// packages may call it.
func Build(t testing.TB) string {
	t.Helper()
	built, err := build()
	if err != nil {
		t.Fatal(err)
	}
	testkit.Need(t, built.missing == "", "an engine that answers: "+built.missing)
	return built.id
}

// outcome is the ID of the image, or why there is no engine to make it.
type outcome struct{ id, missing string }

// build makes the image.
var build = sync.OnceValues(func() (o outcome, err error) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return outcome{missing: err.Error()}, nil
	}
	if out, err := exec.Command(docker, "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		return outcome{missing: fmt.Sprintf("%v: %s", err, out)}, nil
	}
	dir, err := os.MkdirTemp("", "genimage-")
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "tallybench"), "tallyman/cmd/tallybench")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return o, fmt.Errorf("building the generator: %w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return o, err
	}
	var problem bytes.Buffer
	image := exec.Command(docker, "build", "--quiet", "--tag", tag, dir)
	image.Stderr = &problem
	id, err := image.Output()
	if err != nil {
		return o, fmt.Errorf("building the image: %w\n%s", err, problem.String())
	}
	return outcome{id: strings.TrimSpace(string(id))}, nil
})
