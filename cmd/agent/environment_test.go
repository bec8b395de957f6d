package agent

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestLogspoutVariables: what Logspout's variables make of the settings.
func TestLogspoutVariables(t *testing.T) {
	f := func(args, env string, want func(o *options) bool) {
		t.Helper()
		values := make(map[string]string)
		for pair := range strings.FieldsSeq(env) {
			name, value, _ := strings.Cut(pair, "=")
			values[name] = value
		}
		o, err := parseOptions(testBuild(), strings.Fields(args), func(name string) (string, bool) { v, ok := values[name]; return v, ok })
		if err != nil {
			t.Fatalf("%q %q: %v", args, env, err)
		}
		if !want(&o) {
			t.Errorf("%q %q make %+v", args, env, o)
		}
	}
	listens := func(want string) func(o *options) bool {
		return func(o *options) bool { return strings.Join(o.listen, ",") == want }
	}
	f("", "", listens("127.0.0.1:8000"))
	f("", "PORT=81", listens("0.0.0.0:81"))
	f("", "HTTP_PORT=82", listens("0.0.0.0:82"))
	f("", "PORT=81 HTTP_PORT=82", listens("0.0.0.0:81"))
	f("", "HTTP_BIND_ADDRESS=10.0.0.1", listens("10.0.0.1:80"))
	f("", "HTTP_BIND_ADDRESS=::1 PORT=81", listens("[::1]:81"))
	f("", "PORT=81 TALLYMAN_LISTEN=127.0.0.1:1,127.0.0.1:2", listens("127.0.0.1:1,127.0.0.1:2"))
	f("--listen 127.0.0.1:3 --listen 127.0.0.1:4", "PORT=81", listens("127.0.0.1:3,127.0.0.1:4"))
	f("", "DEBUG=1", func(o *options) bool { return o.logLevel.String() == "DEBUG" })
	f("", "DEBUG=1 TALLYMAN_LOG_LEVEL=warn", func(o *options) bool { return o.logLevel.String() == "WARN" })
	f("", "ALLOW_TTY=true BACKLOG=true", func(o *options) bool { return !o.selection.SkipTTY && o.backlog })
	f("", "ROUTESPATH=/r", func(o *options) bool { return o.routesDir == "/r" })
	f("--state-dir /s", "", func(o *options) bool { return o.routesDir == "/s/routes" || o.routesDir == mountedRoutes })
	f("", "EXCLUDE_LABEL=a", func(o *options) bool { return len(o.selection.ExcludeLabels) == 1 })
	f("", "EXCLUDE_LABEL=a EXCLUDE_LABELS=b;c", func(o *options) bool { return len(o.selection.ExcludeLabels) == 2 })
	f("", "ROUTE_URIS=raw://a:1,raw://b:1", func(o *options) bool { return len(o.routes) == 2 })
	f("raw://c:1", "ROUTE_URIS=raw://a:1,raw://b:1", func(o *options) bool { return len(o.routes) == 1 })
	f("", "RETRY_COUNT=x", func(o *options) bool { return len(o.remarks) == 1 })
	f("", "", func(o *options) bool { return o.maxDelay == 5*time.Millisecond })
	f("--max-delay 20ms", "", func(o *options) bool { return o.maxDelay == 20*time.Millisecond })
	f("", "INACTIVITY_TIMEOUT=1m", func(o *options) bool { return o.inactivity == time.Minute })
	f("", "TAIL=10 BACKLOG=true ROUTE_URIS=raw://a:1", func(o *options) bool {
		want, err := routes.ParseTail("10")
		return err == nil && o.routes[0].Tail == want && o.routes[0].Backlog
	})
}

// TestHostFile: the file with the host's name stands for SYSLOG_HOSTNAME.
func TestHostFile(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		e := environment{lookup: func(string) (string, bool) { return "from-variable", true }, hostFile: writeFile(t, "host_hostname", text)}
		if got := e.get("SYSLOG_HOSTNAME"); got != want {
			t.Errorf("with %q in the file the host name is %q, want %q", text, got, want)
		}
	}
	f("node1\n", "node1")
	f("{{.Container.Name}}\n", "{{.Container.Name}}")
	f("\r\n", "from-variable")
	// A template is for each line's container, and no name of the agent's host.
	for text, want := range map[string]string{"node1\n": "node1", "{{.Container.Name}}": ""} {
		if got := (environment{hostFile: writeFile(t, "host_hostname", text)}).agentHost(); got != want {
			t.Errorf("with %q in the file the agent's host is called %q, want %q", text, got, want)
		}
	}
}

// TestExclusion: which containers are left out.
func TestExclusion(t *testing.T) {
	f := func(labels string, allowTTY bool, c record.Container, want bool) {
		t.Helper()
		list, err := routes.ParseExcludeLabels(labels)
		if err != nil {
			t.Fatal(err)
		}
		e := routes.Selection{SkipTTY: !allowTTY, ExcludeLabels: list}
		if reason := e.Reason(&c); (reason != "") != want {
			t.Errorf("%q, %v, %+v: the reason is %q", labels, allowTTY, c, reason)
		}
	}
	f("", false, record.Container{}, false)
	f("", false, record.Container{TTY: true}, true)
	f("", true, record.Container{TTY: true}, false)
	f("", false, record.Container{Env: []string{"A=1", "LOGSPOUT=ignore"}}, true)
	f("", false, record.Container{Env: []string{"LOGSPOUT=IGNORE"}}, true)
	f("", false, record.Container{Env: []string{"LOGSPOUT=other"}}, false)
	label := func(key, value string) record.Container {
		return record.Container{Labels: map[string]string{key: value}}
	}
	f("exclude", false, label("exclude", "true"), true)
	f("exclude", false, label("exclude", "TRUE"), true)
	f("exclude", false, label("exclude", "false"), false)
	f("exclude", false, label("other", "true"), false)
	f("foo:bar", false, label("foo", "Bar"), true)
	f("foo:Bar; baz", false, label("baz", "true"), true)
	f("a:b;c", false, label("c", "true"), true)
	f("a:b;c", false, label("c", "b"), false)
	f("url:http://x:1", false, label("url", "http://x:1"), true)
	if _, err := routes.ParseExcludeLabels(":x"); err == nil {
		t.Error("a label without a name is no error")
	}
}

// TestEmptyVariables: a variable that is empty is as one that is not there, but
// for a template of nothing.
func TestEmptyVariables(t *testing.T) {
	names := []string{
		"ROUTE_URIS", "ROUTESPATH", "PORT", "HTTP_PORT", "HTTP_BIND_ADDRESS", "DEBUG", "BACKLOG", "TAIL", "INACTIVITY_TIMEOUT", "ALLOW_TTY",
		"EXCLUDE_LABELS", "EXCLUDE_LABEL", "RAW_FORMAT", "RETRY_COUNT", "SYSLOG_FORMAT", "SYSLOG_TCP_FRAMING", "SYSLOG_PRIORITY", "SYSLOG_TIMESTAMP",
		"SYSLOG_PID", "SYSLOG_DATA", "SYSLOG_HOSTNAME", "SYSLOG_TAG", "SYSLOG_STRUCTURED_DATA", "MULTILINE_ENABLE_DEFAULT", "MULTILINE_PATTERN",
		"MULTILINE_MATCH", "MULTILINE_SEPARATOR", "MULTILINE_FLUSH_AFTER", "LOGSPOUT_TLS_DISABLE_SYSTEM_ROOTS", "LOGSPOUT_TLS_CA_CERTS",
		"LOGSPOUT_TLS_CLIENT_CERT", "LOGSPOUT_TLS_CLIENT_KEY", "LOGSPOUT_TLS_HARDENING", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION",
	}
	args := []string{"multiline+syslog+tls://a:1", "raw://b:1", "--state-dir", t.TempDir(), ""}
	without, err := parseOptions(testBuild(), args, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		o, err := parseOptions(testBuild(), args, func(asked string) (string, bool) { return "", asked == name })
		if err != nil {
			t.Errorf("an empty %s: %v", name, err)
			continue
		}
		o.catalog, without.catalog = nil, nil
		o.build, without.build = Build{}, Build{}
		for i := range o.routes {
			if got, want := o.routes[i].String(), without.routes[i].String(); got != want {
				t.Errorf("an empty %s makes the route %s, want %s", name, got, want)
			}
		}
		o.routes = without.routes
		if !reflect.DeepEqual(o, without) {
			t.Errorf("an empty %s makes\n%+v, want\n%+v", name, o, without)
		}
	}
}

// TestVariablesOfAdapters: Logspout's variables set the options of routes, and an
// option of a route comes before its variable.
func TestVariablesOfAdapters(t *testing.T) {
	f := func(variable, value, uri, option, want string) {
		t.Helper()
		o, err := parseOptions(testBuild(), []string{uri}, func(name string) (string, bool) {
			if name != variable {
				return "", false
			}
			return value, true
		})
		if err != nil {
			t.Fatalf("%s=%s: %v", variable, value, err)
		}
		if got := o.routes[0].Config.Options[option]; got != want {
			t.Errorf("%s=%s makes the option %s of %s %q, want %q", variable, value, option, uri, got, want)
		}
	}
	f("RAW_FORMAT", "{{.Source}} {{.Data}}", "raw://a:1", "format", "{{.Source}} {{.Data}}")
	f("RAW_FORMAT", "{{.Source}}", "tcp://a:1?format=x", "format", "x")
	f("SYSLOG_FORMAT", "rfc3164", "syslog://a:1", "format", "rfc3164")
	f("SYSLOG_TCP_FRAMING", "octet-counted", "syslog+tcp://a:1", "framing", "octet-counted")
	f("SYSLOG_TCP_FRAMING", "traditional", "syslog+tls://a:1", "framing", "traditional")
	for _, part := range []string{"PRIORITY", "TIMESTAMP", "PID", "DATA", "HOSTNAME", "TAG"} {
		f("SYSLOG_"+part, "{{.Source}}", "syslog://a:1", strings.ToLower(part), "{{.Source}}")
	}
	f("SYSLOG_STRUCTURED_DATA", `a@1 b="c"`, "syslog://a:1", "structured_data", `a@1 b="c"`)
	f("SYSLOG_STRUCTURED_DATA", `a@1 b="c"`, "syslog://a:1?structured_data=d", "structured_data", "d")
	for _, scheme := range []string{"syslog+tls", "raw+tls", "tls"} {
		f("LOGSPOUT_TLS_DISABLE_SYSTEM_ROOTS", "false", scheme+"://a:1", "tls.disable_system_roots", "false")
		f("LOGSPOUT_TLS_HARDENING", "true", scheme+"://a:1", "tls.hardening", "true")
	}
}

// TestDockerVariables: the engine is found as Docker's own client finds it.
func TestDockerVariables(t *testing.T) {
	f := func(env string, want engine.Options) {
		t.Helper()
		values := make(map[string]string)
		for pair := range strings.FieldsSeq(env) {
			name, value, _ := strings.Cut(pair, "=")
			values[name] = value
		}
		e := environment{lookup: func(name string) (string, bool) { v, ok := values[name]; return v, ok }}
		if got := e.engine(); got != want {
			t.Errorf("%q makes %+v, want %+v", env, got, want)
		}
	}
	f("DOCKER_HOST=tcp://d:2375", engine.Options{Host: "tcp://d:2375"})
	f("DOCKER_HOST=tcp://d:2376 DOCKER_TLS_VERIFY=1 HOME=/h", engine.Options{Host: "tcp://d:2376", TLSVerify: true, CertPath: "/h/.docker"})
	f("DOCKER_HOST=tcp://d:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=/c HOME=/h", engine.Options{Host: "tcp://d:2376", TLSVerify: true, CertPath: "/c"})
	f("DOCKER_HOST=unix:///s DOCKER_API_VERSION=1.41", engine.Options{Host: "unix:///s", APIVersion: "1.41"})
}
