// Package deploy holds what is needed to run the agent, and the tests that run
// all of it against the real programs.
package deploy

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyman/cmd/testkit"
)

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

// workshop makes what several tests need, each thing once. mu is held while
// something is made, and guards all else.
type workshop struct {
	mu   sync.Mutex
	dir  string
	made map[string]bool
}

var shop = workshop{made: make(map[string]bool)}

// once makes a thing unless it was made before. The folder is for files.
func (w *workshop) once(t testing.TB, thing string, create func(dir string)) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.made[thing] {
		return
	}
	create(w.dir)
	w.made[thing] = true
}

func TestMain(m *testing.M) {
	var err error
	if shop.dir, err = os.MkdirTemp("", "tallyman-deploy-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(shop.dir)
	// None of these is there when no test needed it.
	for _, image := range []string{testImage, foreignImage, generatorImage, proxyImage, prometheusImage, rsyslogImage, natsImage} {
		_ = exec.Command("docker", "image", "rm", "--force", image).Run()
	}
	os.Exit(code)
}

// What other packages' tests need too.
var (
	need        = testkit.Need
	freeAddress = testkit.FreeAddress
)

type lockedBuffer = testkit.Buffer

// needCommands is need for programs.
func needCommands(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		_, err := exec.LookPath(name)
		need(t, err == nil, name)
	}
}

// needEngine is need for a container engine.
func needEngine(t testing.TB) {
	t.Helper()
	needCommands(t, "docker", "docker-compose")
	need(t, exec.Command("docker", "info").Run() == nil, "an engine")
}

// eventually waits for a condition. Its text says what was last seen instead.
func eventually(t testing.TB, what string, condition func() (ok bool, seen string)) {
	t.Helper()
	var seen string
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var ok bool
		if ok, seen = condition(); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it has not come true that %s; last seen:\n%s", what, seen)
		}
	}
}

// run runs a command and returns what it writes; the test fails if it does.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	return runEnv(t, nil, name, args...)
}

// runEnv is run with further variables.
func runEnv(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// build builds a static program of a package and returns its path.
func build(t testing.TB, pkg string) string {
	t.Helper()
	return buildFor(t, runtime.GOARCH, pkg)
}

// buildFor is build for a processor.
func buildFor(t testing.TB, arch, pkg string) string {
	t.Helper()
	// As `make` does it, so that what was compiled once is used again.
	program := filepath.Join(shop.dir, arch, programName(pkg))
	shop.once(t, arch+" "+pkg, func(string) {
		runEnv(t, []string{"CGO_ENABLED=0", "GOARCH=" + arch}, "go", "build", "-trimpath", "-ldflags=-s -w -funcalign=16", "-o", program, pkg)
	})
	return program
}

// start starts a program that is killed when the test ends, and returns what it
// writes.
func start(t testing.TB, env []string, name string, args ...string) *lockedBuffer {
	t.Helper()
	out := new(lockedBuffer)
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended.
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), out)
		}
	})
	return out
}

// get returns the answer to a request, whatever its code.
func get(address, path string) (int, string, error) {
	client := http.Client{Timeout: 20 * time.Second}
	response, err := client.Get("http://" + address + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// waitHealthy waits until an agent knows the engine's containers.
func waitHealthy(t testing.TB, address string) {
	t.Helper()
	eventually(t, "the agent at "+address+" is healthy", func() (bool, string) {
		code, body, err := get(address, "/health")
		return err == nil && code == http.StatusOK, fmt.Sprint(code, " ", body, err)
	})
}

// runContainer runs a container that is removed when the test ends, and returns
// its name. Options come before the image's name, arguments behind it.
func runContainer(t testing.TB, word string, options []string, image string, arguments ...string) string {
	t.Helper()
	name := fmt.Sprintf("tallyman-deploy-test-%s-%d", word, os.Getpid())
	args := append([]string{"run", "--detach", "--name", name, "--log-driver", "json-file"}, options...)
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", name).Run() }) // It may not have been made.
	run(t, "docker", append(append(args, image), arguments...)...)
	return name
}

// programName is how a package's program is named.
func programName(pkg string) string {
	if pkg == natsServer {
		return "nats-server"
	}
	return filepath.Base(pkg)
}
