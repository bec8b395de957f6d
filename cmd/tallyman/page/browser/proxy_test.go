package browser

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"tallyman/cmd/testkit"
)

// nginxConfig serves the agent below a prefix, with nginx's buffering as it is by
// default. The arguments are a folder, nginx's address and the agent's.
const nginxConfig = `
daemon off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		location /tally/ { proxy_pass http://%[3]s/; }
	}
}
`

// Behind a real nginx that buffers, and below a prefix, lines come as they are written.
func TestBehindAProxy(t *testing.T) {
	program := need(t, "nginx", "/usr/sbin/nginx")
	browser := newBrowser(t)
	a := startAgent(t)
	address := testkit.FreeAddress(t)
	folder := t.TempDir()
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, folder, address, a.address), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.CommandContext(t.Context(), program, "-c", config, "-e", "stderr", "-g", "user root;")
	if os.Getuid() != 0 {
		nginx.Args = nginx.Args[:len(nginx.Args)-2]
	}
	// Its workers end with it only when it is asked to end.
	nginx.Cancel = func() error { return nginx.Process.Signal(syscall.SIGTERM) }
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// t.Context ends it.
		_ = nginx.Wait()
	})
	p := open(t, browser, "about:blank")
	poll(t, "nginx listens", func() bool {
		connection, err := net.Dial("tcp4", address)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
	p.do(chromedp.Navigate("http://" + address + "/tally/#/c/redis"))
	p.wait(`document.querySelector('.pane')?.dataset.state === 'live'`)
	for n := range 3 {
		a.write("redis", "stdout", "info", fmt.Sprint("line ", n))
		p.wait(fmt.Sprintf(`document.querySelectorAll('.line').length === %d`, n+1))
	}
}
