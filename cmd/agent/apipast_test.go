package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"tallyman/cmd/agent/api"
)

// TestPastWithoutAFile compares the past and the present of logs that are in no
// file with docker logs: of another driver, of the engine's cache beside a driver
// that keeps nothing, and of a terminal.
func TestPastWithoutAFile(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	listener, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := startReady(t, t.TempDir())
	for _, log := range []container.LogConfig{
		// While it follows a log that is rotated, an engine repeats lines.
		{Type: "local"},
		{Type: "syslog", Config: map[string]string{"syslog-address": "udp://" + listener.LocalAddr().String()}},
	} {
		t.Run(log.Type, func(t *testing.T) {
			const lines = 3000
			id := d.create("past-"+log.Type, &container.HostConfig{LogConfig: log}, "-lines", fmt.Sprint(lines), "-rate", "1500", "-stderr-every", "3", "-quotes")
			p.eventually("the container is known", func() bool {
				code, _, err := p.get("/api/v1/containers/" + id)
				return err == nil && code == http.StatusOK
			})
			first := openEvents(t, p, "/api/v1/logs/stream?container="+id, "")
			d.start(id)
			streamed, last := first.lines(1000)
			_ = first.body.Close()
			d.waitExit(id)
			rest, _ := openEvents(t, p, "/api/v1/logs/stream?container="+id, last).lines(lines - len(streamed))
			streamed = append(streamed, rest...)
			slices.SortStableFunc(streamed, func(a, b api.Line) int { return a.Time.Compare(b.Time) })
			all := d.logs(id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
			sameLines(t, "streamed", streamed, all)
			at := func(i int) string { return settled(t, all, i).at.UTC().Format(time.RFC3339Nano) }
			for _, c := range []struct {
				query  url.Values
				docker container.LogsOptions
			}{
				{url.Values{}, container.LogsOptions{ShowStdout: true, ShowStderr: true}},
				{url.Values{"tail": {"17"}}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "17"}},
				{url.Values{"since": {at(1000)}}, container.LogsOptions{ShowStdout: true, ShowStderr: true, Since: at(1000)}},
				{url.Values{"until": {at(2000)}, "stream": {"stderr"}}, container.LogsOptions{ShowStderr: true, Until: at(2000)}},
			} {
				c.query.Set("container", id)
				c.query.Set("limit", "5000")
				page := fetch[api.Page](p, "/api/v1/logs?"+c.query.Encode())
				sameLines(t, c.query.Encode(), page.Lines, d.logs(id, c.docker))
			}
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
			cursors := make(map[string]bool)
			for _, l := range paged {
				cursors[l.Cursor] = true
			}
			for _, l := range streamed {
				if !cursors[l.Cursor] {
					t.Fatalf("the line %.50q has another cursor in the history than in the stream", l.Line)
				}
			}
		})
	}
}
