package all

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every listed adapter has a README that names each of its options, and a test
// that runs the conformance suite.
func TestEveryAdapterIsDocumentedAndTested(t *testing.T) {
	for _, d := range List() {
		folder := filepath.Join("..", d.Name)
		readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
		if err != nil {
			t.Error(err)
		}
		for _, o := range d.Options {
			if !strings.Contains(string(readme), "`"+o.Name+"`") {
				t.Errorf("the README of %s does not name option %s", d.Name, o.Name)
			}
			if o.Env != "" && !strings.Contains(string(readme), "`"+o.Env+"`") {
				t.Errorf("the README of %s does not name variable %s", d.Name, o.Env)
			}
		}
		if !runsSuite(t, folder) {
			t.Errorf("no test of %s calls adaptertest.Run", d.Name)
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
		if strings.Contains(string(text), "adaptertest.Run(") {
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
			c, err := d.Resolve(transport, "127.0.0.1:1", nil, nil)
			if err != nil {
				t.Error(err)
			}
			if _, err := d.New(c); err != nil {
				t.Errorf("making %s over %s with its defaults: %v", d.Name, transport, err)
			}
		}
	}
}
