package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is another shipper, by the command that starts it.
type peer struct{ name, command string }

// parsePeers reads NAME=COMMAND;NAME=COMMAND.
func parsePeers(text string) ([]peer, error) {
	var peers []peer
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, command, found := strings.Cut(part, "=")
		if !found || name == "" || strings.TrimSpace(command) == "" {
			return nil, fmt.Errorf("bad peer %q; it is written NAME=COMMAND, with {log}, {address}, {host}, {port} and {dir} "+
				"where the command needs them", part)
		}
		peers = append(peers, peer{strings.TrimSpace(name), strings.TrimSpace(command)})
	}
	return peers, nil
}

// start runs the peer's command in a shell, which it replaces, so that the
// account of the process is the peer's.
func (p peer) start(t target) (*process, error) {
	host, port, err := net.SplitHostPort(t.address)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	command := strings.NewReplacer("{log}", t.log, "{address}", t.address, "{host}", host, "{port}", port, "{dir}", t.dir).Replace(p.command)
	return start(exec.Command("/bin/sh", "-c", "exec "+command), filepath.Join(t.dir, "output"))
}
