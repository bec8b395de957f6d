package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"tallyman/cmd/agent/api"
)

// fetch asks the agent for JSON.
func fetch[T any](p *process, path string) T {
	p.t.Helper()
	var answer T
	code, body, err := p.get(path)
	if err != nil || code != http.StatusOK {
		p.t.Fatalf("GET %s: %d %v %.300s", path, code, err, body)
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		p.t.Fatalf("GET %s: %v in %.300s", path, err, body)
	}
	return answer
}

// dockerLog is one line as the engine tells it.
type dockerLog struct {
	stream string
	at     time.Time
	text   string
}

// logs returns what docker logs prints, in its order.
func (d *docker) logs(id string, o container.LogsOptions) []dockerLog {
	d.t.Helper()
	o.Timestamps = true
	stream, err := d.client.ContainerLogs(context.Background(), id, o)
	if err != nil {
		d.t.Fatal(err)
	}
	defer stream.Close()
	var all []dockerLog
	into := func(name string) io.Writer {
		return lineWriter(func(line string) {
			stamp, text, _ := strings.Cut(line, " ")
			at, err := time.Parse(time.RFC3339Nano, stamp)
			if err != nil {
				d.t.Fatal(err)
			}
			all = append(all, dockerLog{name, at, text})
		})
	}
	if _, err := stdcopy.StdCopy(into("stdout"), into("stderr"), stream); err != nil {
		d.t.Fatal(err)
	}
	return all
}

// lineWriter is called with each line, of which one comes in each write: the
// engine's stream has a frame a line.
type lineWriter func(line string)

func (f lineWriter) Write(p []byte) (int, error) {
	f(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// settled returns the first line from i on whose time is after those of all lines
// before it and before those of all behind it. The engine takes the time of a line
// before its turn to be written, so that two streams' lines can lie the wrong way
// round, and docker logs stops at the first that is too new.
func settled(t *testing.T, all []dockerLog, i int) dockerLog {
	t.Helper()
	for ; i < len(all); i++ {
		at := all[i].at
		if !slices.ContainsFunc(all[:i], func(l dockerLog) bool { return !l.at.Before(at) }) &&
			!slices.ContainsFunc(all[i+1:], func(l dockerLog) bool { return !l.at.After(at) }) {
			return all[i]
		}
	}
	t.Fatal("no line of the log has its place by its time")
	return dockerLog{}
}

func (d *docker) waitExit(id string) {
	d.t.Helper()
	done, failed := d.client.ContainerWait(context.Background(), id, container.WaitConditionNotRunning)
	select {
	case <-done:
	case err := <-failed:
		d.t.Fatal(err)
	case <-time.After(patience):
		d.t.Fatal("the container does not end")
	}
}

// sameLines compares each stream by itself: docker logs tells nothing of how they
// lie in each other.
func sameLines(t *testing.T, what string, got []api.Line, want []dockerLog) {
	t.Helper()
	for _, stream := range []string{"stdout", "stderr"} {
		g := slices.DeleteFunc(slices.Clone(got), func(l api.Line) bool { return l.Stream != stream })
		w := slices.DeleteFunc(slices.Clone(want), func(l dockerLog) bool { return l.stream != stream })
		for i := range min(len(g), len(w)) {
			if g[i].Line != w[i].text || !g[i].Time.Equal(w[i].at) {
				t.Fatalf("%s: line %d of %s is %v %.60q, want %v %.60q", what, i, stream, g[i].Time, g[i].Line, w[i].at, w[i].text)
			}
		}
		if len(g) != len(w) {
			t.Fatalf("%s: %d lines of %s, docker logs has %d", what, len(g), stream, len(w))
		}
	}
}

// sameCursors compares lines with others that the API has told.
func sameCursors(t *testing.T, what string, got, want []api.Line) {
	t.Helper()
	same := func(a, b api.Line) bool { return a.Cursor == b.Cursor && a.Line == b.Line }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("%s: %d lines, want %d others", what, len(got), len(want))
	}
}

// TestLogsAgreeWithDockerLogs compares the same questions to both.
func TestLogsAgreeWithDockerLogs(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.run("api-logs", logOptions{"max-size": "300k", "max-file": "9"}, "-lines", "3000", "-stderr-every", "3", "-quotes")
	d.waitExit(id)
	p := startReady(t, t.TempDir())
	all := d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if len(all) != 3000 {
		t.Fatalf("docker logs has %d lines, want 3000", len(all))
	}
	at := func(i int) string { return settled(t, all, i).at.UTC().Format(time.RFC3339Nano) }
	for _, c := range []struct {
		query  url.Values
		docker container.LogsOptions
	}{
		{url.Values{}, container.LogsOptions{ShowStdout: true, ShowStderr: true}},
		{url.Values{"tail": {"17"}}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "17"}},
		{url.Values{"tail": {"0"}}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "0"}},
		{url.Values{"since": {at(1000)}}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Since: at(1000)}},
		{url.Values{"until": {at(2000)}}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Until: at(2000)}},
		{url.Values{"since": {at(50)}, "until": {at(2500)}, "stream": {"stderr"}}, container.LogsOptions{ShowStderr: true, Since: at(50), Until: at(2500)}},
		{url.Values{"stream": {"stdout"}}, container.LogsOptions{ShowStdout: true}},
	} {
		c.query.Set("container", id)
		c.query.Set("limit", "5000")
		page := fetch[api.Page](p, "/api/v1/logs?"+c.query.Encode())
		sameLines(t, c.query.Encode(), page.Lines, d.logs(id, c.docker))
	}
	// Page by page into the past.
	var paged []api.Line
	query := url.Values{"container": {id}, "limit": {"700"}}
	for {
		page := fetch[api.Page](p, "/api/v1/logs?"+query.Encode())
		paged = append(slices.Clone(page.Lines), paged...)
		if page.Before == nil {
			break
		}
		query.Set("before", *page.Before)
	}
	sameLines(t, "page by page", paged, all)
	// A line by its cursor, and what is near one that is found.
	query = url.Values{"container": {id}, "limit": {"3"}, "before": {paged[100].Cursor}}
	sameCursors(t, "before a line", fetch[api.Page](p, "/api/v1/logs?"+query.Encode()).Lines, paged[97:100])
	mark, _, _ := strings.Cut(paged[1500].Line, "{")
	query = url.Values{"container": {id}, "q": {regexp.QuoteMeta(mark)}, "context": {"2"}}
	near := fetch[api.Page](p, "/api/v1/logs?"+query.Encode())
	sameCursors(t, "around a line", near.Lines, paged[1498:1503])
	if near.Lines[2].Context || !near.Lines[1].Context {
		t.Errorf("the line that was found is told as context, or its neighbour not")
	}
	_, text, err := p.get("/api/v1/logs/download?container=" + id)
	if err != nil || strings.Count(text, "\n") != len(all) || !strings.Contains(text, " "+all[len(all)-1].stream+" "+all[len(all)-1].text+"\n") {
		t.Errorf("the download has %d lines, want %d: %v %.200s", strings.Count(text, "\n"), len(all), err, text)
	}
}

// sse reads server-sent events.
type sse struct {
	t    *testing.T
	body io.ReadCloser
	scan *bufio.Scanner
}

type sseEvent struct{ id, name, data string }

func openEvents(t *testing.T, p *process, path, lastID string, headers ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", path, response.Status)
	}
	s := &sse{t, response.Body, bufio.NewScanner(response.Body)}
	s.scan.Buffer(nil, 16<<20)
	return s
}

// next returns the next event, and false at the end of the stream.
func (s *sse) next() (e sseEvent, ok bool) {
	s.t.Helper()
	for s.scan.Scan() {
		key, value, _ := strings.Cut(s.scan.Text(), ": ")
		switch key {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			return e, true
		}
	}
	return e, false
}

// lines returns n lines, and the ID of the event that the last came with.
func (s *sse) lines(n int) (lines []api.Line, id string) {
	s.t.Helper()
	for len(lines) < n {
		e, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream ends after %d of %d lines: %v", len(lines), n, s.scan.Err())
		}
		if e.name != "batch" {
			continue
		}
		var batch struct{ Lines []api.Line }
		if err := json.Unmarshal([]byte(e.data), &batch); err != nil {
			s.t.Fatal(err)
		}
		if len(batch.Lines) > api.BatchLines {
			s.t.Errorf("a batch of %d lines", len(batch.Lines))
		}
		lines, id = append(lines, batch.Lines...), e.id
	}
	return lines, id
}

// TestLogStreamBeforeTheFirstLine: a client that is cut off before the first line goes
// on where it had begun.
func TestLogStreamBeforeTheFirstLine(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	p := startReady(t, t.TempDir())
	// Longer than it takes to begin and end one stream.
	id := d.run("api-stream-early", nil, "-lines", "6000", "-rate", "1000")
	path := "/api/v1/logs/stream?container=" + id
	p.eventually("there are lines", func() bool {
		code, text, err := p.get("/api/v1/logs?limit=1&container=" + id)
		return err == nil && code == http.StatusOK && strings.Contains(text, `"line":"`)
	})
	first := openEvents(t, p, path, "")
	e, _ := first.next()
	if e.name != "ping" || e.id == "" {
		t.Fatalf("the stream begins with %+v", e)
	}
	_ = first.body.Close()
	d.waitExit(id)
	all := d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	var got []api.Line
	for again := openEvents(t, p, path, e.id); len(got) == 0 || got[len(got)-1].Line != all[len(all)-1].text; {
		lines, _ := again.lines(1)
		got = append(got, lines...)
	}
	sameLines(t, "streamed", got, all[len(all)-len(got):])
}

// TestLogStream follows a container, is cut off and goes on behind the last event.
func TestLogStream(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.create("api-stream", jsonFile(logOptions{"max-size": "200k", "max-file": "9"}), "-lines", "4000", "-rate", "2000", "-stderr-every", "5")
	p := startReady(t, t.TempDir())
	p.eventually("the container is known", func() bool {
		code, _, err := p.get("/api/v1/containers/" + id)
		return err == nil && code == http.StatusOK
	})
	first := openEvents(t, p, "/api/v1/logs/stream?container="+id, "")
	d.start(id)
	got, last := first.lines(1000)
	_ = first.body.Close()
	second := openEvents(t, p, "/api/v1/logs/stream?container="+id, last)
	rest, _ := second.lines(4000 - len(got))
	d.waitExit(id)
	got = append(got, rest...)
	slices.SortStableFunc(got, func(a, b api.Line) int { return a.Time.Compare(b.Time) })
	sameLines(t, "streamed", got, d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true}))
	cursors := make(map[string]bool)
	for _, l := range got {
		cursors[l.Cursor] = true
	}
	if len(cursors) != len(got) {
		t.Errorf("%d lines have %d cursors", len(got), len(cursors))
	}
	page := fetch[api.Page](p, "/api/v1/logs?limit=5000&container="+id)
	for _, l := range page.Lines {
		if !cursors[l.Cursor] {
			t.Fatalf("the line %.50q has another cursor in the history than in the stream", l.Line)
		}
	}
	tail := openEvents(t, p, "/api/v1/logs/stream?tail=10&stream=stderr&container="+id, "")
	lines, _ := tail.lines(10)
	for i, l := range lines {
		if l.Stream != "stderr" || i > 0 && l.Time.Before(lines[i-1].Time) {
			t.Errorf("line %d of the tail is %v of %s", i, l.Time, l.Stream)
		}
	}
	if err := d.client.ContainerRemove(context.Background(), id, container.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for e, ok := tail.next(); ; e, ok = tail.next() {
		if !ok {
			t.Fatal("the stream ends without saying so")
		}
		if e.name == "end" {
			break
		}
	}
}

func TestSearch(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.run("api-search", nil, "-lines", "2000", "-stderr-every", "2")
	d.waitExit(id)
	p := startReady(t, t.TempDir())
	all := d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	for _, order := range []string{"newest", "oldest"} {
		_, body, err := p.get("/api/v1/search?stream=stderr&q=mozilla&order=" + order + "&container=" + id)
		if err != nil {
			t.Fatal(err)
		}
		var lines []api.Line
		var done *api.Done
		for text := range strings.Lines(body) {
			var f api.Found
			if err := json.Unmarshal([]byte(text), &f); err != nil {
				t.Fatal(err)
			}
			if f.Line != nil {
				lines = append(lines, *f.Line)
			}
			done = f.Done
		}
		var want []dockerLog
		for _, l := range all {
			if l.stream == "stderr" && strings.Contains(l.text, "Mozilla") {
				want = append(want, l)
			}
		}
		if order == "newest" {
			slices.Reverse(want)
		}
		sameLines(t, order, lines, want)
		if done == nil || done.Scanned == 0 || done.Scanned != done.Total {
			t.Errorf("the search ends with %+v", done)
		}
	}
}

// TestContainers holds what is told of containers, their events and their use.
func TestContainers(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	p := startReady(t, t.TempDir())
	events := openEvents(t, p, "/api/v1/events", "")
	id := d.run("api-containers", nil, "-lines", "0", "-rate", "100")
	var report api.Container
	p.eventually("its use is told", func() bool {
		report = api.Container{}
		code, body, err := p.get("/api/v1/containers/" + id)
		return err == nil && code == http.StatusOK && json.Unmarshal([]byte(body), &report) == nil && report.Now != nil && report.LinesPerSecond > 0
	})
	if report.State != "running" || report.Reader != "file" || !strings.HasPrefix(report.Status, "Up ") || report.Now.MemoryBytes == 0 || report.Now.Pids == 0 {
		t.Errorf("the container is told as %+v, its use as %+v", report, report.Now)
	}
	if len(report.EnvNames) == 0 || slices.ContainsFunc(report.EnvNames, func(name string) bool { return strings.Contains(name, "=") }) {
		t.Errorf("the names of its environment are %q", report.EnvNames)
	}
	p.eventually("there is a history of its use", func() bool {
		return len(fetch[api.Stats](p, "/api/v1/containers/"+id+"/stats?window=5m").Points) >= 2
	})
	host := fetch[api.Host](p, "/api/v1/host")
	if host.CPUs == 0 || host.MemoryBytes == 0 || host.MemoryUsed == 0 || !host.Healthy || host.Engine.Version == "" {
		t.Errorf("the host is %+v", host)
	}
	if err := d.client.ContainerKill(context.Background(), id, "KILL"); err != nil {
		t.Fatal(err)
	}
	var told []string
	for len(told) < 3 {
		e, ok := events.next()
		if !ok {
			t.Fatal("the stream of events ends")
		}
		var event api.Event
		if err := json.Unmarshal([]byte(e.data), &event); err != nil {
			t.Fatal(err)
		}
		if event.Container != id {
			continue
		}
		word := event.What
		if event.ExitCode != nil {
			word += fmt.Sprint(" ", *event.ExitCode)
		}
		told = append(told, word)
	}
	if want := []string{"create", "start", "die 137"}; !slices.Equal(told, want) {
		t.Errorf("the events are %q, want %q", told, want)
	}
	p.eventually("it is told as ended", func() bool {
		report = fetch[api.Container](p, "/api/v1/containers/"+id)
		return report.State == "exited"
	})
	if report.ExitCode != 137 || report.Now != nil || !strings.HasPrefix(report.Status, "Exited (137) ") {
		t.Errorf("the ended container is told as %+v", report)
	}
}

func TestAPIRefusals(t *testing.T) {
	p := startReady(t, t.TempDir())
	for path, want := range map[string]int{
		"/api/v1/logs?q=(":                 http.StatusBadRequest,
		"/api/v1/logs?since=yesterday":     http.StatusBadRequest,
		"/api/v1/logs?level=loud":          http.StatusBadRequest,
		"/api/v1/logs?stream=third":        http.StatusBadRequest,
		"/api/v1/logs?before=nonsense":     http.StatusBadRequest,
		"/api/v1/logs?limit=-1":            http.StatusBadRequest,
		"/api/v1/logs?name=[":              http.StatusBadRequest,
		"/api/v1/logs?container=nobody":    http.StatusNotFound,
		"/api/v1/containers/nobody/stats":  http.StatusNotFound,
		"/api/v1/logs/stream?q=(":          http.StatusBadRequest,
		"/api/v1/search?q=(":               http.StatusBadRequest,
		"/api/v1/search?container=nobody":  http.StatusNotFound,
		"/api/v1/logs/download?since=soon": http.StatusBadRequest,
		"/api/v1/logs/download?format=xml": http.StatusBadRequest,
		"/api/v1/events?recent=many":       http.StatusBadRequest,
		"/api/v1/logs?q=100%":              http.StatusBadRequest,
		"/api/v1/search?q=a;b":             http.StatusBadRequest,
		"/api/v1/search?order=backwards":   http.StatusBadRequest,
		"/api/v1/logs?since=2999-01-01":    http.StatusBadRequest,
	} {
		code, body, err := p.get(path)
		var answer struct{ Error string }
		if err != nil || code != want || json.Unmarshal([]byte(body), &answer) != nil || answer.Error == "" {
			t.Errorf("GET %s: %d %s (%v), want %d and an error", path, code, body, err, want)
		}
	}
}
