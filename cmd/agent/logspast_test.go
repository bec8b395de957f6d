package agent

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// TestLogsPast: /logs shows the past, searched and bounded, in every form that a
// client accepts, and goes on with what is to come.
func TestLogsPast(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	const lines = 1200
	id := d.create("logs-past", jsonFile(logOptions{"max-size": "100k", "max-file": "9"}), "-lines", "1200", "-rate", "600", "-stderr-every", "3")
	p := startReady(t, t.TempDir())
	p.eventually("the container is known", func() bool {
		code, _, err := p.get("/api/v1/containers/" + id)
		return err == nil && code == http.StatusOK
	})
	path := "/logs/id:" + id[:20]
	// It begins before the container does.
	events := openEvents(t, p, path+"?stream=stderr", "", "Accept: text/event-stream")
	_, text := p.open(path + "?tail=all")
	d.start(id)
	seen := make(map[string]bool)
	for range lines {
		line, err := text.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		seen[line] = true
	}
	live, last := events.lines(lines / 3)
	d.waitExit(id)
	all := d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	for _, l := range all {
		if !seen[l.text+"\n"] {
			t.Fatalf("the line %.60q was not followed", l.text)
		}
	}
	sameLines(t, "events", live, d.logs(id, container.LogsOptions{ShowStderr: true}))
	if again, _ := openEvents(t, p, path+"?tail=2&stream=stderr", "", "Accept: text/event-stream").lines(2); again[1].Cursor != live[len(live)-1].Cursor {
		t.Errorf("the last line is %+v, was %+v", again[1], live[len(live)-1])
	}
	if last == "" {
		t.Error("the events have no IDs")
	}

	until := "until=" + time.Now().UTC().Format(time.RFC3339Nano)
	ask := func(query string, headers ...string) []string {
		t.Helper()
		response, body := p.ask(http.MethodGet, path+"?"+query+"&"+until, "", headers...)
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s", query, response.Status, body)
		}
		return strings.SplitAfter(strings.TrimSuffix(body, "\n"), "\n")
	}
	texts := func(of []dockerLog) (list []string) {
		for _, l := range of {
			list = append(list, l.text+"\n")
		}
		list[len(list)-1] = strings.TrimSuffix(list[len(list)-1], "\n")
		return list
	}
	want := func(query string, got, want []string) {
		t.Helper()
		slices.Sort(got)
		slices.Sort(want)
		if strings.Join(got, "") == "" || strings.TrimSpace(strings.Join(got, "\n")) != strings.TrimSpace(strings.Join(want, "\n")) {
			t.Errorf("%s: %d lines, want %d: %.300q, %.300q", query, len(got), len(want), got, want)
		}
	}
	since := settled(t, all, 700)
	want("tail", ask("tail=7"), texts(all[len(all)-7:]))
	want("since", ask("since="+since.at.UTC().Format(time.RFC3339Nano)), texts(all[slices.Index(all, since):]))
	want("source", ask("tail=all&source=stderr"), texts(slices.DeleteFunc(slices.Clone(all), func(l dockerLog) bool { return l.stream != "stderr" })))
	if _, body := p.ask(http.MethodGet, path+"?tail=all&q=SEQ%3D12%20&"+until, ""); body != "" {
		t.Errorf("an expression in upper case finds %q", body)
	}
	var objects []string
	for _, text := range ask("q=seq%3D12%20", "Accept: application/x-ndjson") {
		var o struct{ Line, ID, Source string }
		if err := json.Unmarshal([]byte(text), &o); err != nil || o.ID != id {
			t.Fatalf("%q: %v", text, err)
		}
		objects = append(objects, o.Line+"\n")
	}
	want("q as NDJSON", objects, texts(slices.DeleteFunc(slices.Clone(all), func(l dockerLog) bool { return !strings.Contains(l.text, "seq=12 ") })))
	for query, headers := range map[string][]string{
		"tail=few": nil, "since=soon": nil, "q=(": nil, "stream=third": nil,
		"tail=3": {"Connection: Upgrade", "Upgrade: websocket"},
	} {
		if response, body := p.ask(http.MethodGet, path+"?"+query, "", headers...); response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s %s", query, response.Status, body)
		}
	}
}
