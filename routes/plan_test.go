package routes

import (
	"testing"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// TestPlainRoutePaysNothing: a route that does nothing with lines has no stages, so
// that what others do costs it nothing, and every option that does something gives
// it some.
func TestPlainRoutePaysNothing(t *testing.T) {
	c := Catalog{Adapters: []adapters.Description{{Name: "fake"}}}
	f := func(options string, labels map[string]string, want bool) {
		t.Helper()
		d, err := c.Parse("fake://h:1?" + options)
		if err != nil {
			t.Fatal(err)
		}
		own, err := newPlan(&d.Filter, &d.Lines).of(&record.Container{Labels: labels})
		if err != nil {
			t.Fatal(err)
		}
		if own.idle() == want {
			t.Errorf("%q with labels %v has stages: %v, want %v", options, labels, !want, want)
		}
	}
	f("", nil, false)
	f("filter.id=0a&filter.name=web*&filter.image=x&filter.project=p&filter.service=s&filter.swarm=w&filter.labels=a", nil, false)
	f("filter.sources=stdout,stderr&rate=off&sample=1&redact=&ansi=keep&tail=5&name=x", nil, false)
	f("multiline=java&multiline.optin=true", nil, false)
	f("", map[string]string{"tallyman.rate": "off", "tallyman.multiline": "false", "tallyman.route": "x"}, false)
	for _, options := range []string{
		"filter.sources=stdout", "filter.include=a", "filter.exclude=a", "filter.level=info", "rate=1/s", "sample=0.5", "redact=email",
		"redact.x=y", "ansi=strip", "multiline=java",
	} {
		f(options, nil, true)
	}
	f("", map[string]string{"tallyman.name": "x"}, true)
	f("", map[string]string{"tallyman.rate": "1/s"}, true)
	f("", map[string]string{"tallyman.multiline": "go"}, true)
}
