package all

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every listed adapter has a test that runs the conformance suite.
func TestEveryAdapterIsTested(t *testing.T) {
	for _, d := range List() {
		folder := filepath.Join("..", d.Name)
		if !runsSuite(t, folder) {
			t.Errorf("no test of %s calls adaptertest.Run or Posting.Run", d.Name)
		}
	}
}

func runsSuite(t *testing.T, folder string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "adaptertest.Run(") || strings.Contains(string(text), "adaptertest.Posting{") {
			return true
		}
	}
	return false
}

// Every description is complete, and no scheme means two things.
func TestDescriptions(t *testing.T) {
	schemes := map[string]string{}
	claim := func(scheme, name string) {
		if other, taken := schemes[scheme]; taken {
			t.Errorf("scheme %s is claimed by %s and %s", scheme, other, name)
		}
		schemes[scheme] = name
	}
	for _, d := range List() {
		claim(d.Name, d.Name)
		for alias, transport := range d.Aliases {
			claim(alias, d.Name)
			if _, err := d.Resolve(transport, "host:1", nil, nil); err != nil {
				t.Errorf("alias %s: %v", alias, err)
			}
		}
		if d.Summary == "" || d.New == nil {
			t.Errorf("the description of %s is not complete", d.Name)
		}
		names := map[string]bool{}
		for _, o := range d.Options {
			if o.Help == "" || names[o.Name] {
				t.Errorf("option %s of %s has no help or is there twice", o.Name, d.Name)
			}
			names[o.Name] = true
		}
		for _, transport := range d.Transports {
			address := "127.0.0.1:1"
			if d.TargetOf(transport).File {
				address = "/run/none"
			}
			c, err := d.Resolve(transport, address, nil, nil)
			if err != nil {
				t.Error(err)
			}
			if _, err := d.New(c); err != nil {
				t.Errorf("making %s over %s with its defaults: %v", d.Name, transport, err)
			}
		}
	}
}
