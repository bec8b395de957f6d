package deploy

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestARM64 runs the image for arm64, its processor emulated by qemu: the agent
// is as hardened as elsewhere, is healthy, ships a container's log and shows its
// resource use. The kernel is this machine's.
func TestARM64(t *testing.T) {
	t.Parallel()
	needCommands(t, "qemu-aarch64-static")
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Fatal(err)
	}
	binary := buildFor(t, "arm64", "tallyman/cmd/tallyman")
	if out := run(t, qemu, binary, "version"); !strings.Contains(out, " linux/arm64 ") {
		t.Errorf("the version is %q", out)
	}
	if out := run(t, qemu, binary, "check", "--state-dir", t.TempDir(), "syslog+tcp://logs.example.com"); !strings.Contains(out, "syslog+tcp://logs.example.com:514") {
		t.Errorf("check says %q", out)
	}

	loadImageFor(t, "arm64", foreignImage)
	if arch := run(t, "docker", "image", "inspect", "--format", "{{.Architecture}}", foreignImage); arch != "arm64\n" {
		t.Errorf("the image is for %s", arch)
	}
	image := generator(t)
	out := t.TempDir()
	address := freeAddress(t)
	// A kernel that knows how to start such programs needs neither the mount nor
	// the entry point.
	runContainer(t, "arm64", []string{
		"--platform", "linux/arm64", "--volume", qemu + ":/qemu:ro", "--entrypoint", "/qemu",
		"--pid", "host", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--publish", address + ":80",
		"--volume", engineSocket + ":" + engineSocket + ":ro", "--volume", "/var/lib/docker/containers:/var/lib/docker/containers:ro",
		"--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "--tmpfs", "/var/lib/tallyman", "--volume", out + ":/out",
	}, foreignImage, "/tallyman", "file:///out/{name}.log?filter.name=tallyman-deploy-test-emulated-*")
	waitHealthy(t, address)
	const lines = 2000
	name := runContainer(t, "emulated", nil, image, "gen", "-name", "emulated", "-lines", fmt.Sprint(lines), "-hold", "5m")
	eventually(t, "its lines arrive", func() (bool, string) {
		found, err := exec.Command("wc", "--lines", filepath.Join(out, name+".log")).CombinedOutput()
		return err == nil && strings.HasPrefix(string(found), fmt.Sprint(lines, " ")), string(found)
	})
	eventually(t, "its resource use is shown", func() (bool, string) {
		_, body, err := get(address, "/metrics")
		return hasSeries(body, "container_memory_working_set_bytes", `name="`+name+`"`), fmt.Sprint(err)
	})
}
