package cli

import (
	"bytes"
	"testing"
)

func TestRouteBody(t *testing.T) {
	body, err := routeBody("syslog+tls://logs.example:6514?filter.name=web_*&filter.sources=stdout,stderr&structured_data=x")
	want := `{"adapter":"syslog+tls","address":"logs.example:6514","filter_name":"web_*","filter_sources":["stdout","stderr"],"options":{"structured_data":"x"}}`
	if err != nil || !bytes.Equal(body, []byte(want)) {
		t.Errorf("the body is %s (%v), want %s", body, err, want)
	}
	if _, err := routeBody("logs.example:6514"); err == nil {
		t.Error("an address without an adapter is a route")
	}
}
