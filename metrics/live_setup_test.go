package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyman/cmd/testkit"
	"tallyman/collector/record"
)

// The engine's socket and the image that the live test builds.
const (
	engineSocket = "/var/run/docker.sock"
	liveImage    = "tallyman-metrics-test"
)

// liveMemory is what the live container holds, and liveLimit its memory limit.
const (
	liveMemory = 64 << 20
	liveLimit  = 256 << 20
)

// liveProgram holds memory and burns CPU for a while in every tenth of a second;
// with a word it does something else. It ends when it is told to.
const liveProgram = `package main

import (
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "rest":
		time.Sleep(time.Hour)
	case "burn":
		for {
		}
	case "victim":
		time.Sleep(300 * time.Millisecond)
	case "brief":
		for used := (syscall.Rusage{}); used.Utime.Nano()+used.Stime.Nano() < 200e6; {
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
				panic(err)
			}
		}
		return
	case "write":
		memory := make([]byte, 1<<20+4096)
		start := 4096 - int(uintptr(unsafe.Pointer(&memory[0]))%4096)
		fd, err := syscall.Open("/data/file", syscall.O_CREAT|syscall.O_WRONLY|syscall.O_DIRECT, 0600)
		if err != nil {
			panic(err)
		}
		for range 8 {
			if _, err := syscall.Write(fd, memory[start:start+1<<20]); err != nil {
				panic(err)
			}
		}
	case "talk":
		connection, err := net.Dial("udp", os.Args[2])
		if err != nil {
			panic(err)
		}
		// A refusal of an earlier datagram comes in place of sending the next.
		for sent := 0; sent < 500; {
			if _, err := connection.Write(make([]byte, 1000)); err == nil {
				sent++
			}
		}
	}
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	for {
		for until := time.Now().Add(20 * time.Millisecond); time.Now().Before(until); {
			held[time.Now().Nanosecond()%len(held)]++
		}
		time.Sleep(80 * time.Millisecond)
	}
}
`

// run runs a program and returns what it wrote to its standard output.
func run(t *testing.T, folder, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, arguments...)
	command.Dir, command.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		t.Fatalf("running %s %v: %v\n%s", name, arguments, err, &problem)
	}
	return strings.TrimSpace(string(out))
}

// askEngine gets an answer of the engine's API.
func askEngine(t *testing.T, path string, answer any) error {
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", engineSocket)
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the engine for %q: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

var (
	building sync.Mutex // guards built
	built    bool
)

// buildLive builds the image, once for all tests.
func buildLive(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("docker")
	testkit.Need(t, err == nil, "a docker client")
	var version struct{ Version string }
	err = askEngine(t, "/version", &version)
	testkit.Need(t, err == nil, fmt.Sprintf("a Docker engine: %v", err))
	building.Lock()
	defer building.Unlock()
	if built {
		return
	}
	folder := t.TempDir()
	for name, content := range map[string]string{
		"main.go":    liveProgram,
		"Dockerfile": "FROM scratch\nCOPY program /program\nENTRYPOINT [\"/program\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, folder, "go", "build", "-trimpath", "-o", "program", "main.go")
	run(t, folder, "docker", "build", "-q", "-t", liveImage, ".")
	built = true
}

// startLive starts a container of the image, which is removed after the test.
// What follows the flags are the program's arguments.
func startLive(t *testing.T, word string, flags []string, arguments ...string) *record.Container {
	t.Helper()
	container, remove := runLive(t, word, flags, arguments...)
	t.Cleanup(remove)
	return container
}

// runLive starts a container of the image and returns what removes it.
func runLive(t *testing.T, word string, flags []string, arguments ...string) (_ *record.Container, remove func()) {
	t.Helper()
	name := fmt.Sprintf("%s-%s-%d", liveImage, word, os.Getpid())
	command := append([]string{"run", "-d", "--name", name, "--label", "tallyman.test=yes"}, flags...)
	id := run(t, ".", "docker", append(append(command, liveImage), arguments...)...)
	remove = func() {
		// The test's context may be over by now.
		if out, err := exec.Command("docker", "rm", "-f", id).CombinedOutput(); err != nil {
			t.Errorf("removing container %q: %v\n%s", name, err, out)
		}
	}
	var details struct {
		Created time.Time
		State   struct {
			Pid       int
			StartedAt time.Time
		}
		HostConfig struct{ NetworkMode string }
	}
	if err := askEngine(t, "/containers/"+id+"/json", &details); err != nil {
		t.Fatal(err)
	}
	return &record.Container{
		ID: id, Name: name, Image: liveImage, PID: details.State.Pid, Running: true, Status: "running",
		Created: details.Created, Started: details.State.StartedAt, Labels: map[string]string{"tallyman.test": "yes"},
		NetworkMode: details.HostConfig.NetworkMode,
	}, remove
}
