package nats

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

func TestSubject(t *testing.T) {
	f := func(text string, c *record.Container, want, pattern string) {
		t.Helper()
		p, err := parseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.subject(c, scope{host: "node7.example.com", stream: record.Stderr}); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		if got := p.pattern(); got != pattern {
			t.Errorf("%s: the pattern is %q, want %q", text, got, pattern)
		}
	}
	f("logs.{host}.{project}.{service}.{container}", web(), "logs.node7_example_com.shop.web.shop-web-1", "logs.*.*.*.*")
	f("logs.{stream}.{image}.{id}", web(), "logs.stderr.example/web:1.0123456789ab", "logs.*.*.*")
	f("{label:tier}-{label:none}.x", web(), "front-_.x", "*.x")
	f("plain", web(), "plain", "plain")
	bare := &record.Container{Name: "a b.c*d>e\tf\"g'h\\i{j}k$l\xffm\u00a0n\x7f"}
	f("logs.{project}.{service}.{container}", bare, "logs._._.a_b_c_d_e_f_g_h_i_j_k_l_m_n_", "logs.*.*.*")
	stack := &record.Container{Labels: map[string]string{
		"com.docker.stack.namespace": "shop", "com.docker.swarm.service.name": "shop_web",
	}}
	f("{project}.{service}", stack, "shop.shop_web", "*.*")
	hostile := &record.Container{Labels: map[string]string{"a": "$JS.API.STREAM.DELETE.LOGS", "b": strings.Repeat("ü", 500)}}
	f("{label:a}", hostile, "_JS_API_STREAM_DELETE_LOGS", "*")
	f("{label:b}", hostile, strings.Repeat("ü", longestToken/2), "*")
}

func TestTemplateErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parseTemplate(text)
		contains(t, err, want)
	}
	f("logs.{hots}", "unknown placeholder {hots}; known are {host}, {project}")
	f("logs.{label:}", "unknown placeholder")
	f("logs.{host", "not closed")
	f("logs.host}", "no place in it")
	f("logs..x", "some text")
	f(".logs", "some text")
	f("", "some text")
	f("logs.*.{host}", "no place in it")
	f("logs.>", "no place in it")
	f("a b", "no place in it")
	f("$SYS.{host}", "server's own")
	f(strings.Repeat("{host}", 17), "longer than")
}

// What a template makes is always a subject that fits its pattern.
func FuzzTemplate(f *testing.F) {
	f.Add("logs.{host}.{container}", "a.b c")
	f.Add("{label:x}", "$SYS.*")
	f.Fuzz(func(t *testing.T, text, value string) {
		p, err := parseTemplate(text)
		if err != nil {
			return
		}
		c := &record.Container{Name: value, Image: value, ID: value, Labels: map[string]string{"x": value}}
		subject := p.subject(c, scope{host: value})
		if !server.IsValidLiteralSubject(subject) || strings.ContainsAny(subject, " \r\n\t") || len(subject) > longestSubject {
			t.Fatalf("%q with %q makes %q", text, value, subject)
		}
		if !server.SubjectsCollide(subject, p.pattern()) {
			t.Fatalf("%q does not fit %q", subject, p.pattern())
		}
	})
}

// A value that means nothing refuses the route, with a message that says which
// and what would be allowed.
func TestOptionErrors(t *testing.T) {
	d := Description()
	f := func(want string, options map[string]string) {
		t.Helper()
		c := resolve(t, "tls", "a:4222,b:4222", options)
		_, err := d.New(c)
		contains(t, err, want)
		for _, secret := range []string{"hunter2", "s3cret"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("a secret is shown: %v", err)
			}
		}
	}
	type o = map[string]string
	f(`bad value "{x}" of option "subject"`, o{"subject": "{x}"})
	f(`bad value "0" of option "window"; it is a number from 1 to 65536`, o{"window": "0"})
	f(`bad value "5" of option "ack_timeout"; it is a duration from 100ms to 10m0s`, o{"ack_timeout": "5"})
	f(`option "stream.max_age" is for a new stream, which option "stream" has to name`, o{"stream.max_age": "1h"})
	f(`option "stream" needs option "jetstream"`, o{"stream": "LOGS"})
	stream := func(name, value string) o {
		return o{"jetstream": "true", "stream": "LOGS", name: value}
	}
	f(`bad value "a.b" of option "stream"`, stream("stream", "a.b"))
	f(`bad value "6" of option "stream.replicas"; it is a number from 1 to 5`, stream("stream.replicas", "6"))
	f(`bad value "0" of option "stream.max_bytes"; it is a number above 0, or -1`, stream("stream.max_bytes", "0"))
	f(`bad value "-2" of option "stream.max_msgs"`, stream("stream.max_msgs", "-2"))
	f(`bad value "a..b" of option "stream.subjects"`, stream("stream.subjects", "a..b"))
	f(`bad value "1ms" of option "stream.duplicates"`, stream("stream.duplicates", "1ms"))
	f(`bad value "x.>" of option "inbox_prefix"`, o{"inbox_prefix": "x.>"})
	f(`more than one of user, token, nkey and creds`, o{"user": "a", "token": "s3cret"})
	f(`option "password" needs a user`, o{"password": "hunter2"})

	if _, err := d.New(adapters.Config{Transport: "tcp", Address: "nowhere", Options: resolve(t, "tcp", "", nil).Options}); err == nil {
		t.Error("an address without a port is taken")
	}
	s, err := newSettings(resolve(t, "tcp", "a:1", o{"jetstream": "true", "stream": "LOGS", "stream.max_age": "1m"}), transport.Limits{})
	if err != nil || s.stream.Duplicates != s.stream.MaxAge || s.stream.Subjects[0] != "logs.*.*.*.*" {
		t.Errorf("the stream is to be %+v, %v", s.stream, err)
	}
}
