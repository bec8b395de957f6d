package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyman/cmd/agent/cli"
)

// TestSocket: the commands find the agent by its state folder alone, whatever
// guards its addresses, also after one that was killed there.
func TestSocket(t *testing.T) {
	besideOthers(t)
	state := t.TempDir()
	path := filepath.Join(state, cli.SocketName)
	ask := func(args ...string) (int, string, string) {
		return tallyman(t.Context(), nil, append(args, "--state-dir", state, "--listen", "127.0.0.1:1")...)
	}
	for range 2 {
		p := startReady(t, state, "raw+tcp://127.0.0.1:9?name=here")
		info, err := os.Stat(path)
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Fatalf("the socket has the mode %v: %v", info.Mode(), err)
		}
		if code, out, problems := ask("health"); code != exitOK || !strings.HasPrefix(out, "Healthy!\n") {
			t.Errorf("health ends with %d, prints %q and says %q", code, out, problems)
		}
		for _, command := range []string{"tally", "routes"} {
			if code, out, problems := ask(command); code != exitOK || !strings.Contains(out, "here") {
				t.Errorf("%s ends with %d, prints %q and says %q", command, code, out, problems)
			}
		}
		p.kill()
		for _, command := range []string{"health", "tally", "routes"} {
			if code, out, problems := ask(command); code != exitUnreachable || out != "" || !strings.Contains(problems, "no agent answers") {
				t.Errorf("%s without an agent ends with %d, prints %q and says %q", command, code, out, problems)
			}
		}
	}
	startReady(t, state).terminate()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket of an agent that was stopped is there: %v", err)
	}
}

// TestSocketOfAnother: an agent whose state folder was removed and made anew by
// another does not take that one's socket with it when it ends.
func TestSocketOfAnother(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(state, cli.SocketName)
	listenAnew := func() net.Listener {
		t.Helper()
		if err := errors.Join(os.RemoveAll(state), os.Mkdir(state, 0o700)); err != nil {
			t.Fatal(err)
		}
		l, err := listenSocket(state)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first, second := listenAnew(), listenAnew()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the second agent's socket: %v", err)
	} else {
		_ = c.Close()
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket of an agent that has ended is there: %v", err)
	}
}
