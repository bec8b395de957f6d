package routes_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
	"tallyman/routes"
)

// TestSelection: which containers no route takes.
func TestSelection(t *testing.T) {
	labels, err := routes.ParseExcludeLabels(" noisy ; team:Ops;; a:b:c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := routes.ParseExcludeLabels("a;:b"); err == nil || err.Error() != `bad item ":b": it is written label or label:value` {
		t.Errorf("the error is %v", err)
	}
	f := func(s routes.Selection, c record.Container, want bool) {
		t.Helper()
		if got := s.Wants(&c); got != want {
			t.Errorf("%+v is wanted by %+v: %v", c, s, got)
		}
	}
	label := func(kv ...string) record.Container {
		return record.Container{Labels: map[string]string{kv[0]: kv[1]}}
	}
	zero, strict := routes.Selection{}, routes.Selection{SkipTTY: true, ExcludeLabels: labels}
	f(zero, record.Container{}, true)
	f(zero, record.Container{TTY: true}, true)
	f(strict, record.Container{TTY: true}, false)
	f(strict, record.Container{}, true)
	f(zero, record.Container{Env: []string{"LOGSPOUT=Ignore"}}, false)
	f(zero, record.Container{Env: []string{"LOGSPOUT=no"}}, true)
	f(zero, label("tallyman.exclude", "True"), false)
	f(zero, label("tallyman.exclude", "false"), true)
	f(zero, label("noisy", "true"), true)
	f(strict, label("noisy", "TRUE"), false)
	f(strict, label("noisy", "no"), true)
	f(strict, label("team", "ops"), false)
	f(strict, label("a", "b:c"), false)
}

// TestContainerLabels: what containers say of themselves holds for routes, and
// not for those who watch.
func TestContainerLabels(t *testing.T) {
	f := func(options string, labels map[string]string, env, want string, viewed bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			a, seen, j := &catcher{}, &catcher{}, &journal{}
			table := newTable(t, routes.TableConfig{Logger: j.logger()}, map[string]adapters.Adapter{uri + options: a})
			c := newContainer("c")
			c.Labels, c.Env = labels, []string{env}
			l := newLog(t, c)
			l.block = 100
			table.Found(l)
			stop := run(t, table)
			viewing := make(chan struct{})
			go func() {
				defer close(viewing)
				table.Stream(t.Context(), "viewer", routes.Filter{}, seen)
			}()
			synctest.Wait()
			l.add(entry{text: "A"}, entry{text: " b"}, entry{text: "C"})
			time.Sleep(time.Minute)
			stop()
			if got := strings.Join(a.got, "|"); got != want {
				t.Errorf("%s %v %s: there came %q, want %q", options, labels, env, got, want)
			}
			plain := []string{"name-c stdout A", "name-c stdout  b", "name-c stdout C"}
			if !viewed {
				plain = nil
			}
			told := 0
			for _, value := range labels {
				if slices.Contains([]string{"../etc", "fast", "jaba"}, value) {
					told = 1
				}
			}
			if n := j.count("a container's label cannot be understood"); n != told {
				t.Errorf("%v: it was told %d times", labels, n)
			}
			t.Cleanup(func() {
				<-viewing
				if !slices.Equal(seen.got, plain) {
					t.Errorf("%v: a viewer has seen %q", labels, seen.got)
				}
			})
		})
	}
	const all = "name-c stdout A|name-c stdout  b|name-c stdout C"
	const joined = "name-c stdout A\n b|name-c stdout C"
	label := func(kv ...string) map[string]string { return map[string]string{kv[0]: kv[1]} }
	f("", nil, "", all, true)
	f("", label("tallyman.exclude", "true"), "", "", false)
	f("", nil, "LOGSPOUT=ignore", "", false)
	f("", label("tallyman.route", "audit"), "", "", true)
	f("?name=audit", label("tallyman.route", "main, audit"), "", all, true)
	f("?name=other", label("tallyman.route", "main, audit"), "", "", true)
	f("?name=audit", label("tallyman.route", "none"), "", "", true)
	f("", label("tallyman.name", "shop-web"), "", strings.ReplaceAll(all, "name-c", "shop-web"), true)
	f("", label("tallyman.name", "../etc"), "", all, true)
	f("", label("tallyman.rate", "1/h"), "", "name-c stdout A|name-c stdout tallyman: 2 lines held back, since there were more than 1/h", true)
	f("?rate=1/h", label("tallyman.rate", "off"), "", all, true)
	f("", label("tallyman.rate", "fast"), "", all, true)
	f("", label("tallyman.multiline", "java"), "", joined, true)
	f("", label("tallyman.multiline", "^[A-Z]"), "", joined, true)
	f("", label("tallyman.multiline", "jaba"), "", all, true)
	f("?multiline=java", nil, "", joined, true)
	f("?multiline=java", label("tallyman.multiline", "false"), "", all, true)
	f("?multiline=java", nil, "LOGSPOUT_MULTILINE=False", all, true)
	f("?multiline=java", label("tallyman.multiline", "true"), "LOGSPOUT_MULTILINE=false", joined, true)
	f("?multiline=java&multiline.optin=true", nil, "", all, true)
	f("?multiline=java&multiline.optin=true", nil, "LOGSPOUT_MULTILINE=true", joined, true)
}
