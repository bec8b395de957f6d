package deploy

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestRootfs runs the agent as cAdvisor is run: with process IDs and a network of
// its own, and the host's root folder mounted at /rootfs. It shows containers as
// the kernel does, and the host's own interfaces.
func TestRootfs(t *testing.T) {
	t.Parallel()
	loadImage(t)
	target := runContainer(t, "rootfs-target", []string{"--memory", "64m"}, generator(t), "gen", "-name", "rootfs", "-lines", "10", "-hold", "5m")
	agent := runContainer(t, "rootfs-agent", []string{"--user", "0:0", "-v", "/:/rootfs:ro", "-v", engineSocket + ":" + engineSocket + ":ro", "-p", "127.0.0.1:0:80"}, testImage)
	published := strings.TrimSpace(run(t, "docker", "port", agent, "80/tcp"))
	address, _, _ := strings.Cut(published, "\n")
	waitHealthy(t, address)
	series := func(body, family, labels string) string {
		m := regexp.MustCompile(`(?m)^` + family + `\{.*` + labels + `.*\} (.*)$`).FindStringSubmatch(body)
		if m == nil {
			return ""
		}
		return m[1]
	}
	id := strings.TrimSpace(run(t, "docker", "inspect", "--format", "{{.Id}}", target))
	name := fmt.Sprintf(`name="%s"`, target)
	eventually(t, "the container is shown", func() (bool, string) {
		code, body, err := get(address, "/metrics")
		return err == nil && code == http.StatusOK && series(body, "container_memory_usage_bytes", name) != "", body
	})
	_, body, err := get(address, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	// The engine's API does not tell the CPU period, so that this is the kernel's.
	for family, want := range map[string]string{"container_spec_memory_limit_bytes": "6.7108864e+07", "container_spec_cpu_period": "100000", "container_processes": ""} {
		if got := series(body, family, name); got != want {
			t.Errorf("%s of the container is %q, want %q", family, got, want)
		}
	}
	if series(body, "container_memory_usage_bytes", `id="[^"]*`+id) == "" {
		t.Error("the cgroup's path does not have the container's id")
	}
	if series(body, "container_cpu_usage_seconds_total", `id="/"`) == "" {
		t.Error("the machine is not shown")
	}
	// A bridge is the host's; a container does not have one.
	if series(body, "node_network_receive_bytes_total", `device="docker0"`) == "" {
		t.Error("the host's interfaces are not shown")
	}
	if out := run(t, "docker", "logs", agent); strings.Contains(out, "the engine is asked") {
		t.Errorf("the engine is asked for what the kernel tells:\n%s", out)
	}
}
