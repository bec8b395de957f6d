package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/net/netutil"

	"tallyman/cmd/agent/cli"
)

// listenSocket makes the socket in the state folder at which the commands find
// the agent. Who may open it is told by its mode alone, so it has none but the
// owner's before it can be found. The folder is locked by the caller: a socket
// that lies there is of an agent that was killed.
func listenSocket(stateDir string) (net.Listener, error) {
	path := filepath.Join(stateDir, cli.SocketName)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("removing the socket of an earlier agent: %w", err)
	}
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		// A socket's file gets the mode that the socket has when it is bound
		// (Linux, net/unix/af_unix.c, unix_bind_bsd).
		var failed error
		err := conn.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), 0o600) })
		if err == nil {
			err = failed
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	own, err := newOwnSocket(l, path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return netutil.LimitListener(own, maxConnections), nil
}

// ownSocket is a listener at a socket that removes its file when it is closed,
// and no other: the folder may have been made anew meanwhile, for another agent.
type ownSocket struct {
	net.Listener
	path string
	file fs.FileInfo
}

func newOwnSocket(l net.Listener, path string) (*ownSocket, error) {
	file, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	return &ownSocket{Listener: l, path: path, file: file}, nil
}

// Close removes the file and ends the listening. As long as the socket is open
// no other file gets its inode.
func (s *ownSocket) Close() error {
	var removed error
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		removed = os.Remove(s.path)
	}
	return errors.Join(removed, s.Listener.Close())
}

// addSocket adds the socket in the state folder to what is listened on. Without
// it the commands ask at the other addresses.
func (a *agent) addSocket(listeners []net.Listener) []net.Listener {
	l, err := listenSocket(a.options.stateDir)
	if err != nil {
		a.logger.Warn("the commands cannot reach the agent through its state folder; they ask at its address instead", "error", err)
		return listeners
	}
	return append(listeners, l)
}

// isSocket reports whether a listener is the socket in the state folder.
func isSocket(l net.Listener) bool { return l.Addr().Network() == "unix" }

// guard returns what answers the requests to a listener: over the socket all of
// them, for whoever may open it may use everything.
func (a *agent) guard(handler http.Handler, l net.Listener) http.Handler {
	if isSocket(l) {
		return handler
	}
	return a.options.access.protect(handler, isLocal(l))
}
