package cli

import "testing"

// TestRouteBody: a route that is added says all that its URI does.
func TestRouteBody(t *testing.T) {
	f := func(uri, want string) {
		t.Helper()
		if body, err := routeBody(uri); string(body) != want || (err == nil) != (want != "") {
			t.Errorf("%s is %s (%v), want %s", uri, body, err, want)
		}
	}
	f("syslog+tls://logs.example:6514?filter.name=web_*&filter.sources=stdout,stderr&structured_data=x",
		`{"id":"","filter_name":"web_*","filter_sources":["stdout","stderr"],"adapter":"syslog+tls","address":"logs.example:6514","options":{"structured_data":"x"}}`)
	f("raw://logs.example:514?name=one&filter.image=nginx&filter.exclude=%23&filter.labels=a,b&filter.id=12",
		`{"id":"one","filter_id":"12","filter_labels":["a","b"],"adapter":"raw","address":"logs.example:514","options":{"filter.exclude":"#","filter.image":"nginx"}}`)
	f("nats://user:pass@nats.example:4222/a%20b", `{"id":"","adapter":"nats","address":"user:pass@nats.example:4222/a%20b"}`)
	f("logs.example:6514", "")
	f("raw://logs.example:514#x", "")
	f("raw://logs.example:514?a=1;b=2", "")
	f("raw://logs.example:514?ansi=strip&ansi=strip", "")
}
