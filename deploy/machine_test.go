package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machineSetup turns new namespaces into a machine that nobody has used: no
// container, no image, no port that is taken, no state of an agent, and no way
// out. The last step is the engine, with the folders it always has.
const machineSetup = `
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
touch /run/machine-of-a-test
mount --bind "$1/docker" /var/lib/docker
mount --bind "$1/state" /var/lib/tallyman
mount --bind "$1/hosts" /etc/hosts
ip link set lo up
exec dockerd --config-file "$1/daemon.json" --log-level error
`

// machine is a machine of a test's own, with this one's programs and files. What
// is done there, to the engine too, touches nothing here.
type machine struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	out *lockedBuffer
}

// newMachine starts a machine that ends with the test. The names stand for the
// machine itself.
func newMachine(t *testing.T, names ...string) *machine {
	t.Helper()
	needCommands(t, "dockerd", "docker", "docker-compose", "unshare", "nsenter", "mount", "ip", "bash")
	need(t, os.Geteuid() == 0, "the rights of root")
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "machine-")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, out: new(lockedBuffer)}
	t.Cleanup(m.end)
	for _, folder := range []string{"docker", "state"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	// What is mounted over must be there.
	for _, folder := range []string{"/var/lib/docker", "/var/lib/tallyman"} {
		if err := os.MkdirAll(folder, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"hosts": "127.0.0.1 localhost " + host + " " + strings.Join(names, " ") + "\n", "daemon.json": "{}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.cmd = exec.Command("bash", "-euc", machineSetup, "machine", dir)
	m.cmd.Stdout, m.cmd.Stderr = m.out, m.out
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the machine's engine answers", func() (bool, string) {
		out, err := m.command("docker info").CombinedOutput()
		return err == nil, fmt.Sprintf("%s\n%s", out, m.out)
	})
	return m
}

// end removes the containers, so that they leave no cgroups, and ends the
// machine: its first process is the engine, with which all others end.
func (m *machine) end() {
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.command("docker swarm leave --force || true; docker ps --all --quiet | xargs --no-run-if-empty docker rm --force").Run()
		_ = m.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = m.cmd.Process.Kill() })
		_ = m.cmd.Wait()
		kill.Stop()
	}
	if m.t.Failed() {
		m.t.Logf("the machine's engine said:\n%s", m.out)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Errorf("removing the machine: %v", err)
	}
}

// command returns a command that a shell runs on the machine, in the folder of
// this repository.
func (m *machine) command(script string) *exec.Cmd {
	return m.commandIn("..", script)
}

// commandIn is command for another folder. Before the machine has sockets of its
// own it does nothing: the engine that would answer is that of this machine.
func (m *machine) commandIn(dir, script string) *exec.Cmd {
	m.t.Helper()
	folder, err := filepath.Abs(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	return exec.Command("nsenter", "--target", strconv.Itoa(m.cmd.Process.Pid), "--mount", "--net", "--pid",
		"bash", "-euo", "pipefail", "-c", "test -e /run/machine-of-a-test\nunset DOCKER_HOST DOCKER_CONTEXT\ncd '"+folder+"'\n"+script)
}

// run runs a script, which has to end well, and returns what it writes to its
// standard output.
func (m *machine) run(script string) string {
	m.t.Helper()
	var out, errOut bytes.Buffer
	cmd := m.command(script)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%s: %v\n%s%s", script, err, &out, &errOut)
	}
	return strings.TrimSpace(out.String())
}

// load gives the machine an image of this machine's engine, under a name.
func (m *machine) load(image, name string) {
	m.t.Helper()
	archive := filepath.Join(m.t.TempDir(), "image.tar")
	run(m.t, "docker", "save", "--output", archive, image)
	m.run("docker load --quiet --input '" + archive + "' && docker tag " + image + " " + name)
}
