package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// project is a Compose project of a test.
type project struct {
	t    *testing.T
	args []string
	env  []string
	// address is where the agent is published.
	address string
}

// newProject names a project of a file in the folder compose. Its containers,
// networks and volumes are removed when the test ends.
func newProject(t *testing.T, file string, env ...string) *project {
	t.Helper()
	p := &project{t: t, address: freeAddress(t)}
	name := fmt.Sprintf("tallymandeploytest%s%d", strings.TrimSuffix(file, ".yaml"), os.Getpid())
	p.args = []string{"--project-name", name, "--file", filepath.Join("compose", file)}
	p.env = append([]string{"TALLYMAN_IMAGE=" + testImage, "TALLYMAN_PORT=" + p.address}, env...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the project's containers said:\n%s", p.try("logs", "--no-color"))
		}
		p.try("down", "--volumes", "--timeout", "1")
	})
	return p
}

// compose runs docker-compose.
func (p *project) compose(args ...string) string {
	p.t.Helper()
	return strings.TrimSpace(runEnv(p.t, p.env, "docker-compose", slices.Concat(p.args, args)...))
}

// try is compose for the end of a test, where nothing more can fail.
func (p *project) try(args ...string) string {
	cmd := exec.Command("docker-compose", slices.Concat(p.args, args)...)
	cmd.Env = append(os.Environ(), p.env...)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// container returns the ID of a service's container.
func (p *project) container(service string) string {
	p.t.Helper()
	return p.compose("ps", "--quiet", service)
}

// inspection is what the tests look at of docker inspect.
type inspection struct {
	State struct {
		Health struct{ Status string }
	}
	Config     struct{ User string }
	HostConfig struct {
		ReadonlyRootfs bool
		CapDrop        []string
		SecurityOpt    []string
		Binds          []string
	}
	Mounts []struct {
		Destination string
		RW          bool
	}
}

func inspect(t *testing.T, container string) inspection {
	t.Helper()
	var found []inspection
	if err := json.Unmarshal([]byte(run(t, "docker", "inspect", container)), &found); err != nil || len(found) != 1 {
		t.Fatalf("reading docker inspect: %d found, %v", len(found), err)
	}
	return found[0]
}

// wantHardened checks that a container has no more rights than it must.
func wantHardened(t *testing.T, container, user string) {
	t.Helper()
	c := inspect(t, container)
	if c.Config.User != user {
		t.Errorf("it runs as %q, want %q", c.Config.User, user)
	}
	if !c.HostConfig.ReadonlyRootfs || !slices.Equal(c.HostConfig.CapDrop, []string{"ALL"}) ||
		!slices.Contains(c.HostConfig.SecurityOpt, "no-new-privileges") {
		t.Errorf("it is not hardened: %+v", c.HostConfig)
	}
	for _, bind := range c.HostConfig.Binds {
		if strings.HasPrefix(bind, "/") && !strings.HasSuffix(bind, ":ro") {
			t.Errorf("it may write to the host: %s", bind)
		}
	}
}

// waitForLines waits until a file in a container has so many lines.
func waitForLines(t *testing.T, container, file string, lines int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d lines", file, lines), func() (bool, string) {
		out, err := exec.Command("docker", "cp", container+":"+file, "-").Output()
		if err != nil {
			return false, fmt.Sprint(err)
		}
		n := strings.Count(string(out), "\n")
		return n == lines, fmt.Sprintf("%d lines in %d bytes", n, len(out))
	})
}

// TestComposeFiles: docker-compose and docker understand every file.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	needCommands(t, "docker", "docker-compose")
	files, err := filepath.Glob("compose/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		runEnv(t, []string{"DOCKER_GROUP=999"}, "docker-compose", "--file", file, "config", "--quiet")
	}
	out := run(t, "docker", "stack", "config", "--compose-file", "swarm/tallyman.yaml")
	for _, want := range []string{"mode: global", "read_only: true", "cap_drop:"} {
		if !strings.Contains(out, want) {
			t.Errorf("the stack has no %q", want)
		}
	}
}

// TestCompose runs the agent's file: the container is hardened and healthy,
// reads a container's log from the engine's files and its resource use from the
// kernel, and delivers.
func TestCompose(t *testing.T) {
	t.Parallel()
	loadImage(t)
	image := generator(t)
	p := newProject(t, "tallyman.yaml", "ROUTE_URIS=file:///var/lib/tallyman/out/{name}.log?filter.name=tallyman-deploy-test-composed-*")
	p.compose("up", "--detach")
	waitHealthy(t, p.address)
	agent := p.container("tallyman")
	wantHardened(t, agent, "")
	name := runContainer(t, "composed", []string{"--memory", "64m"}, image, "gen", "-name", "composed", "-lines", "5000", "-hold", "2m")
	waitForLines(t, agent, "/var/lib/tallyman/out/"+name+".log", 5000)
	eventually(t, "its resource use is shown", func() (bool, string) {
		_, body, err := get(p.address, "/metrics")
		for _, family := range []string{"container_memory_working_set_bytes", "container_cpu_usage_seconds_total", "container_network_receive_bytes_total"} {
			if !hasSeries(body, family, `name="`+name+`"`) {
				return false, fmt.Sprint("no ", family, " ", err)
			}
		}
		return true, ""
	})
	if _, body, err := get(p.address, "/health"); err != nil || strings.Contains(body, "through the engine's API") {
		t.Fatalf("the log files are not read: %s, %v", body, err)
	}
	if out := run(t, "docker", "exec", agent, "/tallyman", "health"); !strings.Contains(out, "Healthy") {
		t.Fatalf("tallyman health says %q", out)
	}
}

func hasSeries(metrics, family, label string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, family+"{") && strings.Contains(line, label) {
			return true
		}
	}
	return false
}

// TestHealthcheck: the image's own check makes the container healthy.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	loadImage(t)
	name := runContainer(t, "health", []string{
		"--health-interval", "1s", "--read-only", "--cap-drop", "ALL", "--tmpfs", "/var/lib/tallyman",
		"--volume", "/var/run/docker.sock:/var/run/docker.sock:ro",
	}, testImage)
	eventually(t, "the engine says that it is healthy", func() (bool, string) {
		status := inspect(t, name).State.Health.Status
		return status == "healthy", status
	})
}

// TestImage: the image holds two files, is small, and is the same when it is
// made again.
func TestImage(t *testing.T) {
	t.Parallel()
	loadImage(t)
	first := run(t, "docker", "image", "inspect", "--format", "{{.Id}} {{.Size}}", testImage)
	loadImage(t)
	if again := run(t, "docker", "image", "inspect", "--format", "{{.Id}} {{.Size}}", testImage); again != first {
		t.Errorf("the image is %s, and then %s", first, again)
	}
	var id string
	var size int
	if _, err := fmt.Sscan(first, &id, &size); err != nil || size > 20_000_000 {
		t.Errorf("the image has %d bytes, %v", size, err)
	}
	container := strings.TrimSpace(run(t, "docker", "create", testImage))
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--volumes", container).Run() })
	export := filepath.Join(t.TempDir(), "export.tar")
	run(t, "docker", "export", "--output", export, container)
	listed := run(t, "tar", "--list", "--verbose", "--file", export)
	var files []string
	for line := range strings.Lines(listed) {
		fields := strings.Fields(line)
		name := fields[len(fields)-1]
		// The engine adds what it mounts over, all empty.
		if strings.HasPrefix(line, "-") && fields[2] != "0" {
			files = append(files, name)
		}
	}
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "tallyman"}; !slices.Equal(files, want) {
		t.Errorf("the image holds %q, want %q", files, want)
	}
}
