package gelf

import (
	"net/url"
	"strings"
	"testing"

	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

// What is malformed refuses the route, with words that name it.
func TestBadOptions(t *testing.T) {
	f := func(transportName string, o options, want ...string) {
		t.Helper()
		d := Description()
		c, err := d.Resolve(transportName, "127.0.0.1:12201", o, nil)
		if err == nil {
			_, err = d.New(c)
		}
		if err == nil {
			t.Errorf("%s %v is taken", transportName, o)
			return
		}
		for _, word := range want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s %v: %q does not say %q", transportName, o, err, word)
			}
		}
	}
	f("udp", options{"tag": "{{.Nmae}}"}, `"tag"`, "{{.Nmae}}", "Nmae")
	f("udp", options{"tag": "{{"}, `"tag"`, "{{")
	f("udp", options{"labels-regex": "("}, `"labels-regex"`, `"("`, "regular expression")
	f("udp", options{"env-regex": "["}, `"env-regex"`, `"["`, "regular expression")
	f("udp", options{"max_bytes": "1k"}, `"max_bytes"`, `"1k"`, "1024 to 8388608")
	f("tcp", options{"max_bytes": "1023"}, `"max_bytes"`, `"1023"`)
	f("udp", options{"chunk_size": "511"}, `"chunk_size"`, `"511"`, "512 to 65507")
	f("udp", options{"chunk_size": "65508"}, `"chunk_size"`)
	f("udp", options{"compression_level": "10"}, `"compression_level"`, `"10"`, "-1 to 9")
	f("http", options{"compression_level": ""}, `"compression_level"`)
	f("tcp", options{"compression": "gzip"}, `"compression"`, "tcp", "udp, http, https")
	f("tls", options{"compression": "none"}, `"compression"`)
	f("http", options{"chunk_size": "8192"}, `"chunk_size"`)
	f("udp", options{"bulk": "true"}, `"bulk"`)
	f("udp", options{"concurrency": "2"}, `"concurrency"`, "udp", "http, https")
	f("tcp", options{"token": "hidden"}, `"token"`, "tcp")
	f("tls", options{"linger": "1s"}, `"linger"`)
	f("http", options{"concurrency": "0"}, `"concurrency"`, `"0"`, "1 to 16")
	f("http", options{"linger": "2s"}, `"linger"`, `"bulk"`)
	f("http", options{"linger": "never", "bulk": "true"}, `"linger"`, `"never"`)
	f("http", options{"timeout": "never"}, `"timeout"`, `"never"`)
	f("udp", options{"header.A": "b"}, `"header.A"`)
	f("http", options{"header.A b": "c"}, `"header.A b"`)
	f("http", options{"header.content-length": "1"}, `"header.content-length"`)
	f("http", options{"header.A": "secret\n"}, `"header.A"`, "control character")
	f("udp", options{"field.site": "a", "field._site": "b"}, `the field "_site" is given twice`)
	for _, name := range []string{"a b", "id", "_id", "level", "ü", "*", strings.Repeat("x", 256)} {
		f("udp", options{"field." + name: "x"}, "field.")
	}
	f("https", options{"tls.ca": "/does/not/exist"}, "/does/not/exist")
	f("tls", options{"tls.cert": "/does/not/exist"}, "certificate")
}

// Secrets are in no error.
func TestErrorsHideSecrets(t *testing.T) {
	c := resolve(t, "http", "127.0.0.1:12201", options{"header.X": "hidden\x00"})
	if _, err := newAdapter(c, transport.Limits{}); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	refusing := startGraylog(t, adaptertest.Serves, nil, nil)
	c = resolve(t, "http", refusing.Address(), options{"header.X": "hidden"})
	c.User, c.Path = url.UserPassword("me", "hidden"), "/elsewhere"
	if err := sendOne(t, mustAdapter(t, c), []byte("x")); err == nil || strings.Contains(err.Error(), "hidden") ||
		!strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "/elsewhere") {
		t.Errorf("got %v", err)
	}
}

func TestTarget(t *testing.T) {
	d := Description()
	for _, transportName := range d.Transports {
		target := d.TargetOf(transportName)
		web := strings.HasPrefix(transportName, "http")
		if target.Port != "12201" || target.Path != web || target.User != web || target.File || target.Several {
			t.Errorf("%s: %+v", transportName, target)
		}
	}
}
