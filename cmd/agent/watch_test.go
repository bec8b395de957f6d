package agent

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"tallyman/adapters/httpstream"
)

// TestWatch: what a request to /logs asks for.
func TestWatch(t *testing.T) {
	f := func(path, header, filter string, want httpstream.Format, socket bool) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if selector, ok := strings.CutPrefix(r.URL.Path, "/logs/"); ok {
			r.SetPathValue("selector", selector)
		}
		if name, value, ok := strings.Cut(header, ": "); ok {
			r.Header.Set(name, value)
		}
		v, err := parseWatch(r)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		text, err := url.QueryUnescape(v.filter.String())
		if err != nil || text != filter || v.socket != socket || !reflect.DeepEqual(v.format, want) {
			t.Errorf("%s %s asks for %q as %#v, socket %v; want %q as %#v", path, header, text, v.format, v.socket, filter, want)
		}
	}
	names := func(colours bool) httpstream.Format {
		return httpstream.Text(httpstream.TextOptions{Names: true, Colours: colours})
	}
	bare := httpstream.Text(httpstream.TextOptions{Colours: true})
	f("/logs", "", "", names(true), false)
	f("/logs?colors=off", "", "", names(false), false)
	f("/logs?colors=on", "", "", names(true), false)
	f("/logs/name:web", "", "filter.name=web", bare, false)
	f("/logs/name:web*", "", "filter.name=web*", names(true), false)
	f("/logs/name:*?colors=off", "", "filter.name=*", names(false), false)
	f("/logs/name:web_%3F", "", "filter.name=web_?", names(true), false)
	f("/logs/id:0123456789ab", "", "filter.id=0123456789ab", bare, false)
	f("/logs/name:web,db", "", "filter.name=web,db", names(true), false)
	f("/logs/name:!web", "", "filter.name=!web", names(true), false)
	f("/logs?sources=stderr", "", "filter.sources=stderr", names(true), false)
	f("/logs?source=stdout", "", "filter.sources=stdout", names(true), false)
	f("/logs?sources=stdout,stderr", "", "filter.sources=stdout,stderr", names(true), false)
	f("/logs", "Accept: application/json", "", httpstream.JSONObjects(), false)
	f("/logs", "Accept: */*", "", names(true), false)
	f("/logs", "Accept: application/x-ndjson", "", httpstream.JSONLines(), false)
	f("/logs/name:web", "Upgrade: websocket", "filter.name=web", httpstream.JSONObjects(), true)
	f("/logs", "Upgrade: WebSocket", "", httpstream.JSONObjects(), true)
}
