package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// The images that the tests make. None comes from a registry.
const (
	testImage       = "tallyman-deploy-test:agent"
	foreignImage    = "tallyman-deploy-test:arm64"
	generatorImage  = "tallyman-deploy-test:generator"
	proxyImage      = "tallyman-deploy-test:socket-proxy"
	prometheusImage = "tallyman-deploy-test:prometheus"
	rsyslogImage    = "tallyman-deploy-test:rsyslog"
	natsImage       = "tallyman-deploy-test:nats"
)

// natsServer is the package of the NATS server.
const natsServer = "github.com/nats-io/nats-server/v2"

// caBundle is put into the agent's image.
const caBundle = "/etc/ssl/certs/ca-certificates.crt"

// loadImage makes the agent's image known to the engine.
func loadImage(t testing.TB) {
	t.Helper()
	loadImageFor(t, runtime.GOARCH, testImage)
}

// loadImageFor is loadImage for a processor, under a name.
func loadImageFor(t testing.TB, arch, tag string) {
	t.Helper()
	needEngine(t)
	_, err := os.Stat(caBundle)
	need(t, err == nil, caBundle)
	archive := filepath.Join(t.TempDir(), "image.tar")
	run(t, build(t, "tallyman/cmd/tallypack"), "image", "--arch", arch, "--binary", buildFor(t, arch, "tallyman/cmd/tallyman"), "--ca", caBundle,
		"--tag", tag, "--out", archive)
	run(t, "docker", "load", "--quiet", "--input", archive)
}

// generator makes the image of the line generator, whose arguments begin with
// "gen".
func generator(t testing.TB) string {
	t.Helper()
	needEngine(t)
	program := build(t, "tallyman/cmd/tallybench")
	shop.once(t, generatorImage, func(string) { writeImage(t, generatorImage, program, "/tallybench") })
	return generatorImage
}

// writeImage makes an image of files and the shared libraries that they need.
// Each goes to its own path, the first to the one that is given.
func writeImage(t testing.TB, tag, program, entry string, more ...string) {
	t.Helper()
	root := t.TempDir()
	copyTo := func(from, to string) {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(root, to)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyTo(program, entry)
	for _, file := range more {
		copyTo(file, file)
	}
	for _, file := range append([]string{program}, more...) {
		for _, library := range libraries(t, file) {
			copyTo(library, library)
		}
	}
	archive := filepath.Join(t.TempDir(), "root.tar")
	run(t, "tar", "--create", "--owner=0", "--group=0", "--mode=go-w", "--file", archive, "--directory", root, ".")
	run(t, "docker", "import", "--change", `ENTRYPOINT ["`+entry+`"]`, archive, tag)
}

// libraries returns the shared libraries of a program; a static one has none.
func libraries(t testing.TB, file string) []string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile(`(?m)(/\S+\.so\S*) \(0x`).FindAllStringSubmatch(runLDD(t, file), -1) {
		found = append(found, m[1])
	}
	return found
}

// runLDD returns what ldd says. It fails for a static program, of which there
// is nothing to say.
func runLDD(t testing.TB, file string) string {
	t.Helper()
	needCommands(t, "ldd")
	out, err := exec.CommandContext(t.Context(), "ldd", file).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
		t.Fatalf("ldd %s: %v\n%s", file, err, out)
	}
	return string(out)
}
