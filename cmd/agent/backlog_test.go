package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// catcher is a TCP server that keeps lines, and counts connections that are open.
type catcher struct {
	listener net.Listener
	mu       sync.Mutex
	lines    []string
	open     int
}

func newCatcher(t *testing.T) *catcher {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &catcher{listener: l}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { c.take(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	return c
}

func (c *catcher) take(conn net.Conn) {
	defer conn.Close()
	c.count(1)
	defer c.count(-1)
	var rest string
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		text := rest + string(buf[:n])
		end := strings.LastIndexByte(text, '\n') + 1
		c.mu.Lock()
		c.lines = append(c.lines, slices.Collect(strings.Lines(text[:end]))...)
		c.mu.Unlock()
		rest = text[end:]
		if err != nil {
			return
		}
	}
}

func (c *catcher) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += n
}

func (c *catcher) state() (lines []string, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines), c.open
}

// TestBacklogAndTail: with BACKLOG=true and TAIL, the last lines of a container
// that is older than the agent are sent once, with the engine's own times, in the
// engine's order, whether they come from a file or through the API; a restart of
// the agent or of the container sends none again. A route that is made later has
// what was written before it. What is deleted leaves no connection open.
func TestBacklogAndTail(t *testing.T) {
	const lines, tail = 40, 15
	d := newDocker(t)
	var ids []string
	for _, driver := range []string{"json-file", "local"} {
		host := &container.HostConfig{LogConfig: container.LogConfig{Type: driver}}
		id := d.create("past-"+driver, host, "-lines", strconv.Itoa(lines), "-stderr-every", "3", "-hold", "10m")
		d.start(id)
		ids = append(ids, id)
	}
	want := make(map[string][]string)
	for _, id := range ids {
		waitForLines(t, d, id, lines)
		want[id] = timedLines(t, d, id)
	}
	first := newCatcher(t)
	format := "&format=" + url.QueryEscape(`{{.Container.ID}} {{.Time.UTC.Format "2006-01-02T15:04:05.000000000Z"}} {{.Data}}`+"\n")
	state := t.TempDir()
	env := []string{"BACKLOG=true", "TAIL=" + strconv.Itoa(tail)}
	uri := "raw+tcp://" + first.listener.Addr().String() + "?" + filterLabel("past-") + format
	check := func(what string, c *catcher, n int) {
		t.Helper()
		got := make(map[string][]string)
		all, _ := c.state()
		for _, line := range all {
			id, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			got[id] = append(got[id], text)
		}
		for _, id := range ids {
			if !slices.Equal(got[id], want[id][len(want[id])-n:]) {
				t.Fatalf("%s: of %.12s came %d lines\n%s\nwant %d\n%s", what, id, len(got[id]), strings.Join(got[id], "\n"), n, strings.Join(want[id][len(want[id])-n:], "\n"))
			}
		}
	}
	have := func(c *catcher, n int) func() bool {
		return func() bool { all, _ := c.state(); return len(all) >= n }
	}
	p := startAgent(t, state, env, uri)
	p.eventually("the last lines come", have(first, len(ids)*tail))
	check("at first", first, tail)
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
	// A restarted container writes all its lines again.
	timeout := 0
	for _, id := range ids {
		if err := d.client.ContainerRestart(context.Background(), id, container.StopOptions{Timeout: &timeout}); err != nil {
			t.Fatal(err)
		}
		waitForLines(t, d, id, 2*lines)
		want[id] = timedLines(t, d, id)
	}
	p = startAgent(t, state, env, uri)
	p.eventually("the new lines come", have(first, len(ids)*(tail+lines)))
	check("after a restart", first, tail+lines)

	later := newCatcher(t)
	spec := fmt.Sprintf(`{"id":"later","adapter":"raw+tcp","address":%q,"filter_labels":[%q],"options":{"since":"1h","tail":"all","format":%q}}`,
		later.listener.Addr(), testLabel+":past-*", `{{.Container.ID}} {{.Time.UTC.Format "2006-01-02T15:04:05.000000000Z"}} {{.Data}}{{"\n"}}`)
	if response, body := p.ask(http.MethodPost, "/routes", spec); response.StatusCode != http.StatusCreated {
		t.Fatalf("making a route answers %d %s", response.StatusCode, body)
	}
	p.eventually("what was written before the route comes", func() bool {
		all, _ := later.state()
		n := 0
		for _, line := range all {
			if strings.HasPrefix(line, ids[0]) {
				n++
			}
		}
		return n >= 2*lines
	})
	if response, _ := p.ask(http.MethodDelete, "/routes/later", ""); response.StatusCode != http.StatusOK {
		t.Fatalf("deleting the route answers %d", response.StatusCode)
	}
	p.eventually("its connection is closed", func() bool { _, open := later.state(); return open == 0 })
	if _, open := first.state(); open == 0 {
		t.Error("the other route's connection is closed too")
	}
}

// timedLines returns a container's lines as the engine tells them, each behind its
// time.
func timedLines(t *testing.T, d *docker, id string) []string {
	t.Helper()
	body, err := d.client.ContainerLogs(t.Context(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for frame := range strings.Lines(string(text)) {
		const header = 8 // Of a frame.
		if len(frame) > header {
			lines = append(lines, strings.TrimSuffix(frame[header:], "\n"))
		}
	}
	return lines
}

// waitForLines waits until the engine has so many lines of a container.
func waitForLines(t *testing.T, d *docker, id string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(timedLines(t, d, id)) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("container %.12s has not written %d lines", id, n)
		}
	}
}
