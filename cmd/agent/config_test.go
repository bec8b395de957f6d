package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tallyman/routes"
)

// TestConfigurationErrors: what is wrong in a file is told with its line, its
// column and the words that are known.
func TestConfigurationErrors(t *testing.T) {
	catalog := &routes.Catalog{Adapters: testBuild().Adapters, LookupEnv: func(string) (string, bool) { return "", false }}
	f := func(text string, want ...string) {
		t.Helper()
		c, err := parseConfiguration("t.yaml", []byte(text))
		if err == nil {
			_, err = c.define(catalog)
		}
		if err == nil {
			t.Errorf("%q is no error", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q says %q, which does not hold %q", text, err, w)
			}
		}
	}
	f("listn: x\n", "t.yaml:1:1", `"listn"`, "listen")
	f("state_dir: /a\nroutes:\n  - adapter: syslog\n    adress: a:1\n", "t.yaml:4:5", `"adress"`)
	f("state_dir: /a\nroutes:\n  - adapter: syslog\n    address: a:1\n    options:\n      colour: red\n", "t.yaml:3:5", `"colour"`)
	f("routes:\n  - adapter: kafka\n    address: a:1\n  - adapter: syslog\n    address: a\n    filter_id: X\n", "t.yaml:2:5", `"kafka"`, "t.yaml:4:5")
	f("routes: 5\n", "t.yaml:1:9", "list")
	f("routes:\n  - 5\n", "t.yaml:2:5")
	f("backlog: [a]\n", "t.yaml:1:", "no list")
	f("backlog: true\nbacklog: false\n", "t.yaml:2:1", "backlog")
	f("- a\n", "t.yaml:1:1")
	f("a: [\n", "t.yaml:1:")
	f("backlog: true\n---\nbacklog: true\n", "more than one")
	f("routes:\n  - adapter: syslog\n    address: a:1\n    options: {tag: x}\n    option_files: {tag: /x}\n", "option_files")
	f("routes:\n  - adapter: syslog\n    address: a:1\n    option_files: {tag: /nonexistent}\n", "nonexistent")
	f("routes:\n  - adapter: [a]\n", "t.yaml:2:14", "adapter is a single value")
	f("routes:\n  - options: {a: {b: c}}\n", "t.yaml:2:18", "options.a is a single value")
	f("routes:\n  - filter_sources: stderr\n", "t.yaml:2:21", "filter_sources is a list")
	f("routes:\n  - {adapter: raw, adapter: syslog}\n", "t.yaml:2:20", `"adapter"`, "second time")
	f("routes:\n  - &a\n    <<: *a\n", "t.yaml:")
	// What is around a mistake may be secret.
	if _, err := parseConfiguration("t.yaml", []byte("routes:\n  - options: {token: s3cret\n    x: 1\n")); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a secret is told: %v", err)
	}
}

// TestConfigurationAnchors: routes may have parts in common.
func TestConfigurationAnchors(t *testing.T) {
	c, err := parseConfiguration("t.yaml", []byte(`
routes:
  - &first {id: a, adapter: syslog+tcp, address: "a:1", options: &common {tag: x}, filter_sources: [stderr]}
  - {<<: *first, id: b, address: "b:1"}
  - {id: c, adapter: raw, address: "c:1", options: {<<: *common, format: y}}
`))
	if err != nil || len(c.routes) != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	if b := c.routes[1].Spec; b.ID != "b" || b.Adapter != "syslog+tcp" || b.Address != "b:1" || b.Options["tag"] != "x" || len(b.FilterSources) != 1 {
		t.Errorf("the second route is %+v", b)
	}
	if o := c.routes[2].Spec.Options; o["tag"] != "x" || o["format"] != "y" {
		t.Errorf("the third route's options are %v", o)
	}
}

// TestConfiguration: flags come before the environment, that before the file, and
// the file before the default.
func TestConfiguration(t *testing.T) {
	secret := writeFile(t, "tag", "from-file\n")
	path := writeFile(t, "tallyman.yaml", `
# A comment.
listen: [127.0.0.1:1, 127.0.0.1:2]
state_dir: /file
log_level: warn
backlog: true
routes:
  - id: audit
    adapter: syslog+tcp
    address: ${HOST}:514
    filter_name: web*
    filter_sources: [stderr]
    option_files:
      tag: `+secret+`
    options:
      facility: $FACILITY
  - adapter: tcp
    address: b:1
`)
	env := map[string]string{"TALLYMAN_CONFIG": path, "TALLYMAN_STATE_DIR": "/env", "HOST": "logs", "FACILITY": "local3", "ROUTE_URIS": "udp://c:1"}
	o, err := parseOptions(testBuild(), []string{"--log-level", "error"}, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(o.listen, " ") != "127.0.0.1:1 127.0.0.1:2" || o.stateDir != "/env" || o.logLevel.String() != "ERROR" || o.logFormat != "text" || !o.backlog {
		t.Fatalf("the settings are %+v", o)
	}
	var got []string
	for i := range o.routes {
		got = append(got, o.routes[i].String())
	}
	want := "raw+udp://c:1\nsyslog+tcp://logs:514?filter.name=web%2A&filter.sources=stderr&facility=local3&name=audit&tag=from-file\nraw+tcp://b:1"
	if strings.Join(got, "\n") != want {
		t.Fatalf("the routes are\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if !o.routes[2].Backlog {
		t.Fatal("the file's default of backlog does not hold for its routes")
	}
}

// TestCheck says what would run, and all that is wrong.
func TestCheck(t *testing.T) {
	state := t.TempDir()
	if err := os.MkdirAll(filepath.Join(state, "routes"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "routes", "kept.json"), []byte(`{"adapter":"raw","address":"k:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(code int, args string, want ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		got := run(context.Background(), testBuild(), strings.Fields("check --state-dir "+state+" "+args),
			func(string) (string, bool) { return "", false }, &stdout, &stderr)
		if got != code {
			t.Fatalf("check %s exits with %d: %s", args, got, stderr.String())
		}
		for _, w := range want {
			if !strings.Contains(stdout.String()+stderr.String(), w) {
				t.Fatalf("check %s says %q and %q, which do not hold %q", args, stdout.String(), stderr.String(), w)
			}
		}
	}
	f(exitOK, "raw://a:1", "raw+udp://a:1", "configured", "kept", "raw+udp://k:1", "stored", "127.0.0.1:8000")
	f(exitUsage, "raw://a kafka://b:1", "port", `"kafka"`)
	f(exitUsage, "raw://a:1 raw+udp://a:1", "same")
	f(exitUsage, "--config "+writeFile(t, "c.yaml", "x: 1\n"), "c.yaml:1:1", `"x"`)
	if err := os.WriteFile(filepath.Join(state, "routes", "bad.json"), []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	f(exitUsage, "", "bad.json")
}

// TestReload: SIGHUP reads the routes of the file anew, and a file that is wrong
// changes nothing.
func TestReload(t *testing.T) {
	path := writeFile(t, "tallyman.yaml", "routes:\n  - {adapter: raw, address: 'a:1'}\n")
	p := startAgent(t, t.TempDir(), []string{"DOCKER_HOST=unix:///nonexistent.sock"}, "--config", path, "raw://fixed:1")
	reload := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before := strings.Count(p.output.String(), want)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.eventually("the new file is read", func() bool { return strings.Count(p.output.String(), want) > before })
	}
	shows := func(addresses ...string) {
		t.Helper()
		_, body, err := p.get("/routes")
		if err != nil || strings.Count(body, `"address"`) != len(addresses) {
			t.Fatalf("/routes is %s, %v", body, err)
		}
		for _, a := range addresses {
			if !strings.Contains(body, `"address": "`+a+`"`) {
				t.Fatalf("/routes is %s, without %s", body, a)
			}
		}
	}
	p.eventually("it takes signals", func() bool { return strings.Contains(p.output.String(), "not reached") })
	shows("fixed:1", "a:1")
	reload("routes:\n  - {adapter: raw, address: 'b:1'}\n", "read anew")
	shows("fixed:1", "b:1")
	reload("routes:\n  - {adapter: raw, address: 'c:1'}\n  - {adapter: raw}\n", "all stays as it was")
	shows("fixed:1", "b:1")
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
}

// FuzzConfiguration: no text of a file makes the reading of it fail otherwise
// than with an error that names the file.
func FuzzConfiguration(f *testing.F) {
	f.Add("listen: [a]\nroutes:\n  - adapter: raw\n    address: a:1\n")
	f.Add("routes: [{adapter: raw, options: {a: b}}]")
	f.Add("a: &x [*x]\n<<: {}\n")
	f.Add("? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseConfiguration("t.yaml", []byte(text)); err != nil && !strings.HasPrefix(err.Error(), "t.yaml:") {
			t.Fatalf("%q says %v", text, err)
		}
	})
}
