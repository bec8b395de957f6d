// Package genimage builds the image of the line generator for tests that need
// real containers. It needs an engine and no registry.
package genimage

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Tag is the image's name. Its entry point is tallybench, so that a container's
// arguments begin with "gen".
const Tag = "tallyman-gen:test"

// dockerfile makes an image with nothing but the program.
const dockerfile = "FROM scratch\nCOPY tallybench /tallybench\nENTRYPOINT [\"/tallybench\"]\n"

// Build builds the image and returns its name. Without a working engine the test
// is skipped, except in continuous integration, where it fails. Builds at the
// same time make the same image, so tests of several packages may call it.
func Build(t testing.TB) string {
	t.Helper()
	docker, err := exec.LookPath("docker")
	if err != nil {
		missing(t, err.Error())
	}
	if out, err := exec.Command(docker, "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		missing(t, string(out))
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "tallybench"), "tallyman/cmd/tallybench")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the generator: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	image := exec.Command(docker, "build", "--quiet", "--tag", Tag, dir)
	if out, err := image.CombinedOutput(); err != nil {
		t.Fatalf("building the image: %v\n%s", err, out)
	}
	return Tag
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("an engine is needed: %s", why)
	}
	t.Skipf("no engine here: %s", why)
}
