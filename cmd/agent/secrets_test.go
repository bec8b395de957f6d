package agent

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"tallyman/adapters/all"
)

// TestSecretsStayHidden: no secret of any adapter is in what the agent answers,
// in what it writes, or in what `check` says, be the route good or not.
func TestSecretsStayHidden(t *testing.T) {
	const secret = "hunter2"
	var good, bad []string
	for _, d := range all.List() {
		for _, transport := range d.Transports {
			add := func(user string, query url.Values) {
				query.Set("name", fmt.Sprintf("r%d", len(good)))
				uri := d.Name + "+" + transport + "://" + user + "127.0.0.1:1?"
				good = append(good, uri+query.Encode())
				query.Set("no_such", secret)
				bad = append(bad, uri+query.Encode())
			}
			for _, o := range d.Options {
				if !o.Secret || len(o.Transports) > 0 && !slices.Contains(o.Transports, transport) {
					continue
				}
				query := url.Values{strings.ReplaceAll(o.Name, "*", "X-Key"): {secret}}
				switch o.Name {
				case "proxy":
					query.Set(o.Name, "http://me:"+secret+"@127.0.0.1:1")
				case "password":
					query.Set("user", "me")
				}
				add("", query)
			}
			if d.TargetOf(transport).User {
				add("me:"+secret+"@", url.Values{})
				add(secret+"@", url.Values{})
			}
		}
	}
	if len(good) < 20 {
		t.Fatalf("only %d routes have secrets", len(good))
	}
	hides := func(what, text string) {
		t.Helper()
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s shows a secret: …%s…", what, text[max(i-100, 0):min(i+100, len(text))])
		}
	}
	p := withoutEngine(t, t.TempDir(), good...)
	for i := range good {
		response, text := p.ask(http.MethodGet, fmt.Sprintf("/routes/r%d", i), "")
		if response.StatusCode != http.StatusOK || !strings.Contains(text, "xxxxx") {
			t.Errorf("route %s is answered by %s\n%s", good[i], response.Status, text)
		}
		hides(good[i]+" asked for", text)
	}
	for _, path := range []string{"/routes", "/api/v1/routes", "/metrics", "/health"} {
		_, text := p.ask(http.MethodGet, path, "")
		hides(path, text)
	}
	for i, uri := range bad {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		options := []string{`"no_such": "` + secret + `"`}
		for name, values := range u.Query() {
			if name != "name" && name != "no_such" {
				options = append(options, fmt.Sprintf("%q: %q", name, values[0]))
			}
		}
		address := u.Host
		if u.User != nil {
			address = u.User.String() + "@" + address
		}
		response, text := p.ask(http.MethodPut, fmt.Sprintf("/routes/r%d", i),
			fmt.Sprintf(`{"adapter":%q,"address":%q,"options":{%s}}`, u.Scheme, address, strings.Join(options, ",")))
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s is answered by %s\n%s", uri, response.Status, text)
		}
		hides(uri+" refused", text)
	}
	hides("the agent's log", p.output.String())

	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, append([]string{"check", "--state-dir", t.TempDir()}, good...)...).CombinedOutput()
	if err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	hides("check of good routes", string(out))
	if out, err = exec.Command(binary, append([]string{"check", "--state-dir", t.TempDir()}, bad...)...).CombinedOutput(); err == nil {
		t.Errorf("check takes routes that are wrong:\n%s", out)
	}
	hides("check of wrong routes", string(out))
}
