package httppost

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/cmd/testkit"
)

// A server that is restarted misses no line.
func TestRestarts(t *testing.T) { posting().Restarts(t, map[string]string{"format": "text"}) }

// nginx is a real nginx before an upstream.
type nginx struct {
	t       *testing.T
	address string
	folder  string
	program string
	command *exec.Cmd
	output  bytes.Buffer
}

// nginxConfig is for a proxy in one process that takes bodies of up to 64 KiB.
const nginxConfig = `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {}
http {
	access_log off;
	client_max_body_size 64k;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %s;
		location / { proxy_pass http://%s; }
	}
}
`

func startNginx(t *testing.T, upstream string) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	_, err = os.Stat(program)
	testkit.Need(t, err == nil, "nginx")
	probe, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nginx{t: t, address: probe.Addr().String(), folder: t.TempDir(), program: program}
	_ = probe.Close()
	config := fmt.Sprintf(nginxConfig, n.address, upstream)
	if err := os.WriteFile(filepath.Join(n.folder, "nginx.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("nginx said: %s", &n.output)
		}
	})
	return n
}

func (n *nginx) start() {
	n.t.Helper()
	n.command = exec.Command(n.program, "-p", n.folder, "-c", "nginx.conf", "-e", "stderr")
	n.command.Stdout, n.command.Stderr = &n.output, &n.output
	if err := n.command.Start(); err != nil {
		n.t.Fatal(err)
	}
	adaptertest.Eventually(n.t, adaptertest.Patience, "nginx listens", func() bool {
		conn, err := net.Dial("tcp4", n.address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}

// stop has nginx end at once, whatever it is at.
func (n *nginx) stop() {
	_ = n.command.Process.Signal(syscall.SIGTERM)
	_ = n.command.Wait() // Its status says no more than that it was ended.
}

func (n *nginx) restart() {
	n.stop()
	n.start()
}

// A proxy that is restarted costs no line either.
func TestNginxRestarts(t *testing.T) {
	s := adaptertest.StartRestartableHTTP(t, take)
	n := startNginx(t, s.Address())
	posting().DeliverThroughRestarts(t, s, n.address, n.restart, map[string]string{"format": "text"})
}

// A body that nginx finds too large arrives in parts, and a line that is too
// large by itself is given up.
func TestNginxTooLarge(t *testing.T) {
	s := adaptertest.StartRestartableHTTP(t, take)
	n := startNginx(t, s.Address())
	a := newTestAdapter(t, resolve(t, "http", n.address, nil))
	lines := make([][]byte, 3000)
	for i := range lines {
		lines[i] = fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte("x"), i%300))
	}
	lines[1000] = bytes.Repeat([]byte("y"), 70<<10)
	result := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(web(), lines...), func(err error) { result <- err })
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rejected, ok := (<-result).(*adapters.RejectedError)
	if !ok || len(rejected.Rejects) != 1 || rejected.Rejects[0].Index != 1000 || rejected.Rejects[0].Reason != "too_long" {
		t.Fatalf("got %v", rejected)
	}
	if got := s.Lines(); !slices.EqualFunc(got, slices.Delete(lines, 1000, 1001), bytes.Equal) {
		t.Fatalf("%d lines arrived, in another order or altered", len(got))
	}
}

// While there is nobody behind nginx, which then answers 502, lines wait.
func TestNginxWithoutUpstream(t *testing.T) {
	s := adaptertest.StartRestartableHTTP(t, take)
	n := startNginx(t, s.Address())
	s.Stop()
	a := newTestAdapter(t, resolve(t, "http", n.address, map[string]string{"linger": "0s"}))
	result := make(chan error, 1)
	b := adaptertest.NewBatch(web(), []byte("one"), []byte("two"))
	a.Send(t.Context(), b, func(err error) { result <- err })
	if err := <-result; err == nil || !bytes.Contains([]byte(err.Error()), []byte("502 Bad Gateway")) {
		t.Fatalf("got %v", err)
	}
	s.Start()
	adaptertest.Eventually(t, adaptertest.Patience, "the lines are delivered", func() bool {
		a.Flush(t.Context())
		a.Send(t.Context(), b, func(err error) { result <- err })
		return <-result == nil
	})
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Lines(); len(got) != 2 || string(got[0]) != "one" {
		t.Fatalf("got %q", got)
	}
}
