package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLogspoutsComposeFiles brings up compose files as Logspout's users have them,
// with only the image changed. Their agents read every container of the engine
// through its API, so it does not run beside others, which flood.
func TestLogspoutsComposeFiles(t *testing.T) {
	compose, err := exec.LookPath("docker-compose")
	need(t, err == nil, "docker-compose")
	d := newDocker(t)
	image := buildImage(t)
	sink := newSink(t, "udp")
	f := func(name, port, service string) {
		t.Run(name, func(t *testing.T) {
			project := fmt.Sprintf("tallyman-%s-%d", name, os.Getpid())
			file := filepath.Join(t.TempDir(), "docker-compose.yml")
			writer := fmt.Sprintf("  writer:\n    image: %s\n    command: gen -name %s -lines 50 -rate 20 -hold 60s\n    labels: {%s: %s}\n", d.image, name, testLabel, name)
			text := "version: '3'\nservices:\n" + strings.NewReplacer("gliderlabs/logspout", image, "SINK", sink.Address(), "=HTTP", "="+port, "\"HTTP\"", `"`+port+`"`).Replace(service) + writer
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) string {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				out, err := exec.CommandContext(ctx, compose, append([]string{"-p", project, "-f", file}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("docker-compose %q: %v\n%s", args, err, out)
				}
				return string(out)
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(run("ps"))
					t.Log(run("logs"))
					t.Log(run("exec", "-T", "logspout", "/tallyman", "tally"))
				}
				run("down", "-v", "-t", "1")
			})
			sink.Expect(name, "1", 50)
			run("up", "-d", "logspout")
			// Without BACKLOG it is for containers that come after it.
			for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
				if response, err := http.Get("http://127.0.0.1:" + port + "/health"); err == nil {
					response.Body.Close()
					if response.StatusCode == http.StatusOK {
						break
					}
				}
				if time.Now().After(deadline) {
					t.Fatal("the agent does not become healthy")
				}
			}
			run("up", "-d")
			wantComplete(t, sink)
			run("stop", "-t", "10", "logspout")
			if r := sink.Report(); r.Duplicates > 0 {
				t.Errorf("lines came twice:\n%s", r)
			}
		})
	}
	f("command", portOf(freeAddress(t)), `  logspout:
    image: gliderlabs/logspout
    network_mode: host
    restart: always
    environment: {PORT: "HTTP"}
    volumes:
      - /etc/hostname:/etc/host_hostname:ro
      - /var/run/docker.sock:/var/run/docker.sock
    command: syslog+udp://SINK?filter.labels=`+testLabel+`:command*
`)
	f("variables", portOf(freeAddress(t)), `  logspout:
    image: gliderlabs/logspout:latest
    network_mode: host
    environment:
      - ROUTE_URIS=raw+udp://SINK?filter.labels=`+testLabel+`%3Avariables*,raw://127.0.0.1:9
      - "RAW_FORMAT={{.Data}}\n"
      - SYSLOG_FORMAT=rfc3164
      - BACKLOG=false
      - EXCLUDE_LABEL=logspout.exclude
      - INACTIVITY_TIMEOUT=1m
      - RETRY_COUNT=20
      - TAIL=1
      - HTTP_PORT=HTTP
    volumes:
      - /var/run/docker.sock:/tmp/docker.sock
`)
}

// buildImage makes the image of a release with the agent of these tests.
func buildImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "tallyman"), "../tallyman")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the agent: %v\n%s", err, out)
	}
	certificates := filepath.Join(dir, "ca-certificates.crt")
	if err := os.WriteFile(certificates, []byte("none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Tests that run at the same time remove their own tag only.
	tag, packed := fmt.Sprintf("%s-%d", strings.ToLower(t.Name()), os.Getpid()), filepath.Join(dir, "image.tar")
	for _, command := range [][]string{
		{"go", "run", "../tallypack", "image", "--arch", runtime.GOARCH, "--binary", filepath.Join(dir, "tallyman"), "--ca", certificates, "--tag", tag + ":latest", "--out", packed},
		{"docker", "load", "--quiet", "--input", packed},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("making the image: %v\n%s", err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "rmi", "-f", tag).CombinedOutput(); err != nil {
			t.Errorf("removing the image: %v\n%s", err, out)
		}
	})
	return tag
}

// TestImageListensAsLogspoutDoes: port 80 of the container's own address shows
// /health to everybody.
func TestImageListensAsLogspoutDoes(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	image := buildImage(t)
	name := fmt.Sprintf("tallyman-port-%d", os.Getpid())
	run := exec.Command("docker", "run", "-d", "--name", name, "-v", "/var/run/docker.sock:/tmp/docker.sock", image)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("running the image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "rm", "-f", "-v", name).CombinedOutput(); err != nil {
			t.Errorf("removing the container: %v\n%s", err, out)
		}
	})
	inspect, err := d.client.ContainerInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(inspect.NetworkSettings.Networks["bridge"].IPAddress, "80")
	client := http.Client{Timeout: 5 * time.Second}
	status := func(path string) int {
		response, err := client.Get("http://" + address + path)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	deadline := time.Now().Add(patience)
	for status("/health") != http.StatusOK {
		if time.Now().After(deadline) {
			out, err := exec.Command("docker", "logs", name).CombinedOutput()
			t.Fatalf("%s/health has not answered; the agent said\n%s%v", address, out, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if got := status("/logs"); got != http.StatusUnauthorized {
		t.Fatalf("/logs answers %d to a client that is not known", got)
	}
	if out, err := exec.Command("docker", "exec", name, "/tallyman", "health").CombinedOutput(); err != nil {
		t.Fatalf("tallyman health: %v\n%s", err, out)
	}
}
