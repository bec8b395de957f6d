package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/docker/docker/api/types/container"
)

// echo makes a container, not started, whose process waits until it is and then
// writes lines.
func (d *docker) echo(name string, lines int) (id, containerName string) {
	d.t.Helper()
	name = fmt.Sprintf("%s-%d", name, os.Getpid())
	return d.make(name, &container.Config{
		Cmd: []string{"gen", "-name", name, "-lines", fmt.Sprint(lines), "-stderr-every", "2"},
		Env: []string{"PASSWORD=hunter2"}, Labels: map[string]string{testLabel: name},
	}, jsonFile(nil)), name
}

// open starts to read a stream, which ends with the test.
func (p *process) open(path string, headers ...string) (*http.Response, *bufio.Reader) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { response.Body.Close() })
	return response, bufio.NewReader(response.Body)
}

// TestLogsContract is Logspout's /logs to the byte, but for the containers'
// environment.
func TestLogsContract(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id, name := d.echo("contract", 2)
	p := startReady(t, t.TempDir())
	single, bare := p.open("/logs/name:" + name)
	_, coloured := p.open("/logs/name:" + name + "*")
	_, plain := p.open("/logs/name:" + name + "*?colors=off")
	_, stdout := p.open("/logs/id:" + id[:12] + "?sources=stdout")
	objects, stream := p.open("/logs/id:"+id, "Accept: application/json")
	socket, _, err := websocket.Dial(t.Context(), "ws://"+p.listen+"/logs/id:"+id[:12]+"?source=stderr",
		&websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"http://" + p.listen}}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	curl := exec.CommandContext(t.Context(), "curl", "-sSN", "http://"+p.listen+"/logs/name:"+name)
	piped, err := curl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	need(t, curl.Start() == nil, "curl")
	p.eventually("all watch", func() bool { n, _ := p.metric("tallyman_viewers"); return n == 7 })
	d.start(id)

	read := func(r *bufio.Reader) string {
		t.Helper()
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	first := read(bare)
	second := read(bare)
	if !strings.HasPrefix(first, "src="+name+" ") && !strings.Contains(first, "seq=1 ") {
		t.Fatalf("the first line is %q", first)
	}
	if got := single.Header.Get("Content-Type"); got != "text/plain" {
		t.Fatalf("the content type is %q", got)
	}
	// stdout and stderr are two streams: the engine may turn their lines round.
	want := func(what string, got, of string) {
		t.Helper()
		if got != of {
			t.Fatalf("%s is %q, want %q", what, got, of)
		}
	}
	padded := fmt.Sprintf("%16s|", name)
	want("curl's line", read(bufio.NewReader(piped)), first)
	want("a line in colour", read(coloured), "\x1b[1;37m"+padded+strings.TrimSuffix(first, "\n")+"\x1b[0m\n")
	want("a line without", read(plain), padded+first)
	if !strings.Contains(first, "seq=1 ") {
		first, second = second, first
	}
	want("the line of stdout", read(stdout), first)

	if got := objects.Header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("the content type is %q", got)
	}
	checkObject := func(text, line, source string) {
		t.Helper()
		var o struct {
			Container struct {
				ID     string `json:"Id"`
				Name   string
				Config map[string]any
			}
			Source, Data string
			Time         time.Time
		}
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if o.Container.ID != id || o.Container.Name != "/"+name || o.Source != source || o.Data+"\n" != line || time.Since(o.Time) > time.Hour {
			t.Fatalf("the object is %+v", o)
		}
		if _, has := o.Container.Config["Env"]; has || strings.Contains(text, "hunter2") || o.Container.Config["Image"] == "" {
			t.Fatalf("the environment is shown, or the image is not: %s", text)
		}
		if !strings.HasPrefix(text, "{\n  \"Container\": {\n    \"") || !strings.HasSuffix(text, "Z\"\n}\n") && !strings.Contains(text, "\n  \"Time\": \"") {
			t.Fatalf("it is not indented as Logspout's: %s", text)
		}
	}
	var text strings.Builder
	for !strings.HasSuffix(text.String(), "\n}\n") {
		text.WriteString(read(stream))
	}
	if strings.Contains(text.String(), `"Source": "stdout"`) {
		checkObject(text.String(), first, "stdout")
	} else {
		checkObject(text.String(), second, "stderr")
	}
	kind, message, err := socket.Read(t.Context())
	if err != nil || kind != websocket.MessageText {
		t.Fatalf("the message is of kind %v, %v", kind, err)
	}
	checkObject(string(message), second, "stderr")

	status := func(method, path string, want int, headers ...string) {
		t.Helper()
		if response, body := p.ask(method, path, "", headers...); response.StatusCode != want {
			t.Fatalf("%s %s answers %d %q, want %d", method, path, response.StatusCode, body, want)
		}
	}
	status("HEAD", "/logs", http.StatusMethodNotAllowed)
	status("HEAD", "/api/v1/logs/stream", http.StatusMethodNotAllowed)
	status("GET", "/logs?q=100%", http.StatusBadRequest)
	status("POST", "/logs", http.StatusMethodNotAllowed)
	status("GET", "/logs/", http.StatusNotFound)
	status("GET", "/logs/id:"+strings.Repeat("0", 12), http.StatusNotFound)
	status("HEAD", "/health", http.StatusOK)
	if _, body := p.ask("GET", "/health", ""); !strings.HasPrefix(body, "Healthy!\n") {
		t.Fatalf("/health says %q", body)
	}
	// A WebSocket handshake that fails leaves the agent alive.
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket"}
	status("GET", "/logs", http.StatusForbidden, append(upgrade, "Origin: http://evil.example")...)
	if response, _ := p.ask("GET", "/logs", "", upgrade...); response.StatusCode < 400 {
		t.Fatalf("a handshake without a key is answered with %d", response.StatusCode)
	}
	status("GET", "/health", http.StatusOK)
}

// TestViewersLeaveNothing opens and closes a thousand viewers: no goroutine and
// no descriptor is left. The containers of the engine come and go with other
// tests, so there is none; what a viewer has of a log is routes.TestManyStreams'.
func TestViewersLeaveNothing(t *testing.T) {
	p := withoutEngine(t, t.TempDir())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	goroutines := func() float64 {
		n, ok := p.metric("go_goroutines")
		if !ok {
			t.Fatal("go_goroutines is missing")
		}
		return n
	}
	descriptors := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	one := func(i int) {
		if i%2 == 0 {
			conn, _, err := websocket.Dial(t.Context(), "ws://"+p.listen+"/logs", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.CloseNow() // As a client that is killed does.
			return
		}
		response, err := client.Get("http://" + p.listen + "/logs?colors=off")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	gone := func() bool { n, _ := p.metric("tallyman_viewers"); return n == 0 }
	for i := range 20 {
		one(i)
	}
	p.eventually("the first viewers are gone", gone)
	wasGoroutines, wasDescriptors := goroutines(), descriptors()
	for i := range 1000 {
		one(i)
		if i%100 == 99 {
			p.eventually("the viewers are gone", gone)
		}
	}
	const slack = 10 // Connections of this test's own requests.
	p.eventually("goroutines and descriptors are as before", func() bool {
		return goroutines() <= wasGoroutines+slack && descriptors() <= wasDescriptors+slack
	})
}
