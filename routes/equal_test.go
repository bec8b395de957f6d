package routes

import (
	"testing"

	"tallyman/adapters"
)

// A route is left alone by a change that does not concern it, whatever it does
// with its lines.
func TestEqualDefinitions(t *testing.T) {
	c := Catalog{Adapters: []adapters.Description{{Name: "fake"}}}
	parse := func(uri string) *Definition {
		t.Helper()
		d, err := c.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		return &d
	}
	uris := []string{
		"fake://h:1", "fake://h:1?filter.include=a|b&filter.exclude=c", "fake://h:1?filter.level=error", "fake://h:1?redact=email,card&redact.pin=p(.)",
		"fake://h:1?multiline=java", "fake://h:1?multiline=%5Ex", "fake://h:1?rate=5/s&sample=1/2", "fake://h:1?since=1h", "fake://h:1?ansi=strip",
	}
	for i, one := range uris {
		for j, other := range uris {
			if got := parse(one).equal(parse(other)); got != (i == j) {
				t.Errorf("%s and %s are said to be equal: %v", one, other, got)
			}
		}
	}
}
