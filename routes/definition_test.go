package routes_test

import (
	"slices"
	"strings"
	"testing"

	"tallyman/adapters"
	"tallyman/routes"
)

// testCatalog has two adapters like the real ones, one with a secret.
func testCatalog() *routes.Catalog {
	build := func(adapters.Config) (adapters.Adapter, error) { return &syncAdapter{}, nil }
	env := map[string]string{"HOST": "logs.example", "QUERY": "filter.name=web*&name=x", "TOKEN": "from-env", "EMPTY": ""}
	return &routes.Catalog{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Adapters: []adapters.Description{
			{
				Name: "syslog", Transports: []string{"udp", "tcp", "tls"}, New: build,
				Options: []adapters.Option{
					{Name: "format", Default: "rfc5424", Values: []string{"rfc5424", "rfc3164"}},
					{Name: "data", Default: "-"},
				},
			},
			{
				Name: "raw", Transports: []string{"udp", "tcp", "tls"}, New: build,
				Aliases: map[string]string{"tcp": "tcp", "udp": "udp", "tls": "tls"},
				Options: []adapters.Option{{Name: "format"}, {Name: "token", Secret: true, Env: "TOKEN"}},
			},
			{Name: "plain", New: build},
			{
				Name: "web", New: build,
				Target:  func(string) adapters.Target { return adapters.Target{Port: "80", Path: true, User: true} },
				Options: []adapters.Option{{Name: "header.*", Secret: true}},
			},
			{Name: "many", New: build, Target: func(string) adapters.Target { return adapters.Target{Port: "4222", Several: true} }},
			{Name: "file", New: build, Target: func(string) adapters.Target { return adapters.Target{File: true} }},
		},
	}
}

// TestParse: good URIs, what they mean as a URI, and under what name their
// positions are kept.
func TestParse(t *testing.T) {
	f := func(uri, text, identity string) routes.Definition {
		t.Helper()
		d, err := testCatalog().Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Validate(); err != nil {
			t.Fatal(err)
		}
		if d.String() != text {
			t.Errorf("%q is shown as %q, want %q", uri, d.String(), text)
		}
		if d.Identity() != identity {
			t.Errorf("%q has the identity %q, want %q", uri, d.Identity(), identity)
		}
		return d
	}
	same := func(uri, want string) { t.Helper(); f(uri, want, want) }
	same("syslog://h:514", "syslog+udp://h:514")
	same("syslog+tls://h:514/", "syslog+tls://h:514")
	same("SYSLOG+TCP://h:514", "syslog+tcp://h:514")
	same("plain://h:1", "plain://h:1")
	same("web://h", "web://h:80")
	same("web://h:8/in/put", "web://h:8/in/put")
	f("web://h:8/in/", "web://h:8/in/", "web://h:8/in")
	same("many://a,b:1", "many://a:4222,b:1")
	same("file:///var/log/a.log", "file:///var/log/a.log")
	d := f("web://me:secret@h?header.X-Key=k", "web://xxxxx@h:80?header.X-Key=xxxxx", "web://h:80")
	if password, _ := d.Config.User.Password(); password != "secret" || d.Config.Options["header.X-Key"] != "k" {
		t.Errorf("the adapter gets the user %q and the options %q", d.Config.User, d.Config.Options)
	}
	same("syslog://[::1]:514", "syslog+udp://[::1]:514")
	f("syslog://[fe80::1%25eth0]:514", "syslog+udp://[fe80::1%25eth0]:514", "syslog+udp://[fe80::1%eth0]:514")
	same("syslog://$HOST:514", "syslog+udp://logs.example:514")
	same("syslog://${HOST}:514?filter.name=a$NONE", "syslog+udp://logs.example:514?filter.name=a")
	f("syslog://h:1?$QUERY", "syslog+udp://h:1?filter.name=web%2A&name=x", "x")
	f("syslog://h:1?format=rfc3164&name=mine&data=a%23b%26c", "syslog+udp://h:1?data=a%23b%26c&format=rfc3164&name=mine", "mine")
	f("syslog://h:1?format=rfc3164", "syslog+udp://h:1?format=rfc3164", "syslog+udp://h:1")
	same("syslog://h:1?format=rfc5424&data=-", "syslog+udp://h:1")
	same("syslog://h:1?filter.labels=a:b*,%20c%20&filter.id=0a", "syslog+udp://h:1?filter.id=0a&filter.labels=a%3Ab%2A%2Cc")
	same("syslog://h:1?filter.name=a,%20!%20b*&filter.image=x&filter.project=p&filter.service=s&filter.swarm=!w",
		"syslog+udp://h:1?filter.image=x&filter.name=a%2C%21b%2A&filter.project=p&filter.service=s&filter.swarm=%21w")
	same("syslog://h:1?filter.labels=a:b%20|%20!c,d", "syslog+udp://h:1?filter.labels=a%3Ab%7C%21c%2Cd")
	same("syslog://h:1?filter.sources=stdout,stderr", "syslog+udp://h:1?filter.sources=stdout%2Cstderr")
	// Filters of lines belong to the identity, what else is done with lines does
	// not.
	same("syslog://h:1?filter.exclude=%5EGET%20/health&filter.include=a|b&filter.level=warn",
		"syslog+udp://h:1?filter.exclude=%5EGET+%2Fhealth&filter.include=a%7Cb&filter.level=warning")
	f("syslog://h:1?rate=100&sample=1/10&ansi=strip&redact=email,%20card&redact.pin=pin=(%5Cd%2B)&multiline=java",
		"syslog+udp://h:1?ansi=strip&multiline=java&rate=100%2Fs&redact=email%2Ccard&redact.pin=pin%3D%28%5Cd%2B%29&sample=1%2F10",
		"syslog+udp://h:1")
	f("syslog://h:1?rate=off&sample=1&ansi=keep&redact=", "syslog+udp://h:1", "syslog+udp://h:1")
	f("multiline+syslog+tcp://h:1", `syslog+tcp://h:1?multiline=%5E%5Cs&multiline.mode=nonfirst`, "syslog+tcp://h:1")
	f("multiline+tcp://h:1?multiline.flush=2s", `raw+tcp://h:1?multiline=%5E%5Cs&multiline.flush=2s&multiline.mode=nonfirst&token=xxxxx`, "raw+tcp://h:1")
	f("multiline+plain://h:1?multiline=go", "plain://h:1?multiline=go", "plain://h:1")
	// The aliases of raw, whose secret comes from the environment.
	for _, transport := range []string{"tcp", "udp", "tls"} {
		f(transport+"://h:1", "raw+"+transport+"://h:1?token=xxxxx", "raw+"+transport+"://h:1")
	}
	if d := f("raw://h:1?token=hunter2", "raw+udp://h:1?token=xxxxx", "raw+udp://h:1"); d.Config.Options["token"] != "hunter2" {
		t.Errorf("the secret is %q", d.Config.Options["token"])
	}
	if d := f("plain://h:1?backlog=true", "plain://h:1", "plain://h:1"); !d.Backlog {
		t.Error("the backlog is not asked for")
	}
	c := testCatalog()
	c.Backlog = true
	if d, err := c.Parse("plain://h:1"); err != nil || !d.Backlog {
		t.Errorf("the backlog is not the default: %v", err)
	}
	if d, err := c.Parse("plain://h:1?backlog=0"); err != nil || d.Backlog {
		t.Errorf("the backlog cannot be declined: %v", err)
	}
}

// TestParseErrors: an error names the word that is wrong and those that are
// known.
func TestParseErrors(t *testing.T) {
	const schemes = "file, many, plain, raw, raw+tcp, raw+tls, raw+udp, syslog, syslog+tcp, syslog+tls, syslog+udp, tcp, tls, udp, web"
	f := func(uri, want string) {
		t.Helper()
		_, err := testCatalog().Parse(uri)
		if err == nil {
			t.Errorf("%q is taken", uri)
			return
		}
		if want = `route "` + want; err.Error() != want {
			t.Errorf("%q says\n%s, want\n%s", uri, err, want)
		}
	}
	f("kafka://h:1", `kafka://h:1": unknown scheme "kafka"; known are `+schemes)
	f("syslog+carrier://h:1", `syslog+carrier://h:1": unknown transport "carrier" of adapter "syslog"; known are udp, tcp, tls`)
	f("plain+tcp://h:1", `plain+tcp://h:1": unknown transport "tcp" of adapter "plain"; known are none`)
	f("syslog+://h:1", `syslog+://h:1": unknown scheme "syslog+"; known are `+schemes)
	f("syslog://h:1?colour=red", `syslog://h:1?colour=xxxxx": unknown option "colour" of adapter "syslog"; known are format, data`)
	f("syslog://h:1?format=rfc1", `syslog://h:1?format=xxxxx": bad value "rfc1" of option "format" of adapter "syslog"; known are rfc5424, rfc3164`)
	f("syslog://h:1?filter.nam=x", `syslog://h:1?filter.nam=x": unknown filter "filter.nam"; known are filter.id, filter.name, filter.image, filter.project, filter.service, filter.swarm, filter.labels, filter.sources, filter.include, filter.exclude, filter.level`)
	f("syslog://h:1?filter.sources=stdin", `syslog://h:1?filter.sources=stdin": "filter.sources": unknown source "stdin"; known are stdout, stderr`)
	f("syslog://h:1?filter.id=xyz", `syslog://h:1?filter.id=xyz": bad value "xyz" of "filter.id": a container's ID is up to 64 digits of 0-9a-f`)
	f("syslog://h:1?filter.name=[a", `syslog://h:1?filter.name=[a": bad pattern "[a" of "filter.name": syntax error in pattern`)
	f("syslog://h:1?filter.name=a[", `syslog://h:1?filter.name=a[": bad pattern "a[" of "filter.name": syntax error in pattern`)
	f("syslog://h:1?filter.name=a,!", `syslog://h:1?filter.name=a,!": bad pattern "!" of "filter.name": nothing is behind the exclamation mark`)
	f("syslog://h:1?filter.image=!a,b[", `syslog://h:1?filter.image=!a,b[": bad pattern "b[" of "filter.image": syntax error in pattern`)
	f("syslog://h:1?filter.labels=a|:b", `syslog://h:1?filter.labels=a|:b": bad item "a|:b" of "filter.labels": it is written label:pattern`)
	f("syslog://h:1?filter.labels=a:[b", `syslog://h:1?filter.labels=a:[b": bad pattern "[b" of label "a" in "filter.labels": syntax error in pattern`)
	f("syslog://h:1?filter.labels=:b", `syslog://h:1?filter.labels=:b": bad item ":b" of "filter.labels": it is written label:pattern`)
	f("syslog://h:1?name=a&name=b", `syslog://h:1?name=xxxxx&name=xxxxx": option "name" is given 2 times`)
	f("syslog://h:1?backlog=perhaps", `syslog://h:1?backlog=xxxxx": bad value "perhaps" of option "backlog"; known are true, false`)
	f("syslog://h:1?filter.include=(", "syslog://h:1?filter.include=(\": bad value \"(\" of \"filter.include\": error parsing regexp: missing closing ): `(`")
	f("syslog://h:1?filter.level=loud", `syslog://h:1?filter.level=loud": bad value "loud" of "filter.level"; known are trace, debug, info, notice, warning, error, critical, alert, emergency`)
	f("syslog://h:1?rate=1/d", `syslog://h:1?rate=xxxxx": bad value "1/d" of option "rate": it is a number of lines with a period, such as 100/s, 6000/m or 10/h, or off`)
	f("syslog://h:1?sample=2", `syslog://h:1?sample=xxxxx": bad value "2" of option "sample": it is a part of all lines, such as 0.1 or 1/10`)
	f("syslog://h:1?ansi=on", `syslog://h:1?ansi=xxxxx": bad value "on" of option "ansi": known are strip, keep`)
	f("syslog://h:1?redact=phone,email", `syslog://h:1?redact=xxxxx": bad value "phone,email" of option "redact": unknown kind "phone"; known are bearer, card, email`)
	f("syslog://h:1?redact.a%20b=x", `syslog://h:1?redact.a%20b=xxxxx": bad value "x" of option "redact.a b": bad name "a b": it is up to 32 letters, digits, _ and -`)
	f("syslog://h:1?multiline.colour=x", `syslog://h:1?multiline.colour=xxxxx": unknown option "multiline.colour" of adapter "syslog"; known are format, data`)
	f("syslog://h:1?name=none", `syslog://h:1?name=xxxxx": bad value "none" of option "name": the label tallyman.route has that for no route`)
	f("multiline+kafka://h:1", `multiline+kafka://h:1": unknown scheme "multiline+kafka"; known are `+schemes)
	f("syslog://h", `syslog://h": the port is missing behind "h"; a route URI is written syslog://host:port`)
	f("syslog://h:", `syslog://h:": the port is missing behind "h:"; a route URI is written syslog://host:port`)
	f("syslog://:1", `syslog://:1": the host is missing; a route URI is written syslog://host:port`)
	f("syslog://$EMPTY:1", `syslog://$EMPTY:1": the host is missing; a route URI is written syslog://host:port`)
	f("syslog://h:1/path", `syslog://h:1/path": the path "/path" means nothing to this adapter`)
	f("syslog://u:p@h:1", `syslog://xxxxx@h:1": a user name means nothing to this adapter`)
	f("syslog://h:1?data=a#b", `syslog://h:1?data=xxxxx#xxxxx": what is behind the # would be left out; a # in an option is written %23`)
	f("syslog://h:1?data=%zz", `syslog://h:1?data=xxxxx": the options after the question mark: invalid URL escape "%zz"`)
	f("file://h/x", `file://h/x": the host "h" means nothing to this adapter; the URI is written file:///path`)
	f("file:///", `file:///": the path is missing; the URI is written file:///path`)
	f("many://a,,b", `many://a,,b": the host is missing; a route URI is written many://host:port`)
	f("plain://a,b:1,c:2", `plain://a,b:1,c:2": not one host and port: "a,b:1,c:2"`)
	f("syslog:h:1", `syslog:h:1": not a route URI; it is written adapter[+transport]://host:port[?option=value]`)
	f("", `": not a route URI; it is written adapter[+transport]://host:port[?option=value]`)
	f("syslog://h:x", `syslog://h:x": not a URI: invalid port ":x" after host`)
	f("syslog://u:p/w@h:1", `syslog://xxxxx@h:1": not a URI`)
}

// TestLogspoutMultiline: the variables of Logspout's scheme multiline+….
func TestLogspoutMultiline(t *testing.T) {
	f := func(want, wantErr string, env ...string) {
		t.Helper()
		c := testCatalog()
		c.LookupEnv = func(name string) (string, bool) {
			for i := 0; i < len(env); i += 2 {
				if env[i] == name {
					return env[i+1], true
				}
			}
			return "", false
		}
		d, err := c.Parse("multiline+plain://h:1")
		switch {
		case err != nil && err.Error() != `route "multiline+plain://h:1": `+wantErr:
			t.Errorf("%q says\n%v, want\n%s", env, err, wantErr)
		case err == nil && d.String() != "plain://h:1?"+want:
			t.Errorf("%q is shown as\n%q, want\n%q", env, d.String(), want)
		}
	}
	f("multiline=%5E%5Cs&multiline.mode=nonfirst", "")
	f("multiline=%28%3F%3ASTART%29&multiline.flush=2s&multiline.optin=true&multiline.separator=+", "", "MULTILINE_PATTERN", "START", "MULTILINE_MATCH", "first",
		"MULTILINE_SEPARATOR", " ", "MULTILINE_FLUSH_AFTER", "2000", "MULTILINE_ENABLE_DEFAULT", "false")
	f("", `bad value "x" of MULTILINE_MATCH: unknown mode "x"; known are first, nonfirst, last, nonlast`, "MULTILINE_MATCH", "x")
	f("", "bad value \"(\" of MULTILINE_PATTERN: error parsing regexp: missing closing ): `(`", "MULTILINE_PATTERN", "(")
	f("", `bad value "0" of MULTILINE_FLUSH_AFTER: it is a number of milliseconds from 1 to 60000`, "MULTILINE_FLUSH_AFTER", "0")
	f("", `bad value "x" of MULTILINE_ENABLE_DEFAULT: known are true, false`, "MULTILINE_ENABLE_DEFAULT", "x")
}

// TestRedact: nothing that may be secret is shown.
func TestRedact(t *testing.T) {
	f := func(uri, want string) {
		t.Helper()
		if got := routes.Redact(uri); got != want {
			t.Errorf("%q is shown as %q, want %q", uri, got, want)
		}
		if _, err := testCatalog().Parse(uri); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	f("raw://h:1?token=hunter2", "raw://h:1?token=xxxxx")
	f("raw://h:1?token=hunter2&filter.name=web*&colour=red", "raw://h:1?token=xxxxx&filter.name=web*&colour=xxxxx")
	f("raw://h:1?token=a&b&c=d", "raw://h:1?token=xxxxx&xxxxx&c=xxxxx")
	f("raw://h:1?token=hunter2=&filter.id=zz", "raw://h:1?token=xxxxx&filter.id=zz")
	f("raw://h:1?token=hunter2#x", "raw://h:1?token=xxxxx#xxxxx")
	f("raw://h:1#token=hunter2", "raw://h:1#xxxxx")
	f("raw://me:hunter2@h:1", "raw://xxxxx@h:1")
	f("raw://me:hunter2@x@h:1/x", "raw://xxxxx@h:1/x")
	f("raw://me:hunter2/@h:x", "raw://xxxxx@h:x")
	f("raw://me:hunter2#@h:1", "raw://xxxxx@h:1")
	f("me:hunter2@h:1", "xxxxx@h:1")
	f("%zz:hunter2@h", "xxxxx@h")
	f("raw://h:1", "raw://h:1")
}

// TestSplitURIs: a list is split only before a scheme.
func TestSplitURIs(t *testing.T) {
	f := func(list string, want ...string) {
		t.Helper()
		if got := routes.SplitURIs(list); !slices.Equal(got, want) {
			t.Errorf("%q is split into %q, want %q", list, got, want)
		}
	}
	f("")
	f(" , ", ",")
	f("syslog://h:1", "syslog://h:1")
	f("syslog://h:1,raw+tcp://h:2", "syslog://h:1", "raw+tcp://h:2")
	f(" syslog://h:1 ,\n tcp://h:2 ", "syslog://h:1", "tcp://h:2")
	f("syslog://h:1?filter.labels=a:b,c:d,udp://h:2?filter.sources=stdout,stderr",
		"syslog://h:1?filter.labels=a:b,c:d", "udp://h:2?filter.sources=stdout,stderr")
	f("syslog://h:1?filter.labels=a:http://x,b", "syslog://h:1?filter.labels=a:http://x,b")
	f("syslog://h:1\nraw://h:2", "syslog://h:1", "raw://h:2")
}

// FuzzParse: nothing makes Parse panic, no error shows a secret option, and
// what is shown of a route names the same route again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"syslog://h:514", "raw+tls://[fe80::1%25eth0]:1?token=x", "tcp://h:1?filter.labels=a:b*,c&filter.sources=stdout",
		"multiline+udp://h:1?rate=5/m&sample=1/3&redact.x=(a)&redact=card&filter.include=a&filter.level=err", "udp://h:1?filter.name=a,!b*&filter.labels=a:[|]|!b%5c|c:&filter.image=!x", "udp://h:1?name=%24x&filter.name=[a-z]%5c*", "syslog://$HOST:1?$QUERY", "raw://h:1?format=%7B%7B.Data%7D%7D%0A",
		"plain://h%c3%bc:1?filter.id=0123456789ab", "syslog+://h:1#x", "a:b@c", "syslog://u:p@h:1/x?y",
	} {
		f.Add(seed)
	}
	catalog := testCatalog()
	f.Fuzz(func(t *testing.T, uri string) {
		for _, part := range routes.SplitURIs(uri) {
			_ = routes.Redact(part)
		}
		d, err := catalog.Parse(uri)
		if err != nil {
			return
		}
		text := d.String()
		again, err := catalog.Parse(text)
		if err != nil {
			t.Fatalf("%q is shown as %q: %v", uri, text, err)
		}
		if again.Identity() != d.Identity() {
			t.Fatalf("%q has the identity %q and as %q %q", uri, d.Identity(), text, again.Identity())
		}
		if again.String() != text {
			t.Fatalf("%q is shown as %q and then as %q", uri, text, again.String())
		}
		if secret := d.Config.Options["token"]; len(secret) > 5 && secret != "xxxxx" && strings.Contains(text, "token="+secret) {
			t.Fatalf("%q is shown as %q", uri, text)
		}
	})
}
