package agent

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ask sends a request and returns the answer with its body.
func (p *process) ask(method, path, body string, headers ...string) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequest(method, "http://"+p.listen+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response, string(text)
}

// withoutEngine starts an agent that needs no engine.
func withoutEngine(t *testing.T, state string, args ...string) *process {
	t.Helper()
	return startAgent(t, state, []string{"DOCKER_HOST=unix:///nonexistent.sock"}, args...)
}

// TestRoutesContract is Logspout's /routes to the byte, asked by curl.
func TestRoutesContract(t *testing.T) {
	curl, err := exec.LookPath("curl")
	need(t, err == nil, "curl")
	p := withoutEngine(t, t.TempDir())
	ids := regexp.MustCompile(`[0-9a-f]{12}`)
	f := func(want, path string, args ...string) string {
		t.Helper()
		args = append([]string{"-sS", "-w", "%{http_code} %{content_type}", "http://" + p.listen + path}, args...)
		out, err := exec.Command(curl, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %q: %v\n%s", args, err, out)
		}
		if got := ids.ReplaceAllString(string(out), "ID"); got != want {
			t.Fatalf("curl %q answers\n%s\nwant\n%s", args, got, want)
		}
		return ids.FindString(string(out))
	}
	f("[]\n200 application/json", "/routes")
	id := f(`{
  "id": "ID",
  "filter_name": "*_db",
  "filter_sources": [
    "stdout"
  ],
  "filter_labels": [
    "com.example.foo:bar*"
  ],
  "adapter": "syslog",
  "address": "logs.example.com:514",
  "options": {
    "append_tag": ".db"
  }
}
201 application/json`, "/routes", "-d", `{"adapter":"syslog","address":"logs.example.com:514","filter_name":"*_db",
		"filter_sources":["stdout"],"filter_labels":["com.example.foo:bar*"],"options":{"append_tag":".db"}}`)
	f(`[
  {
    "id": "ID",
    "filter_name": "*_db",
    "filter_sources": [
      "stdout"
    ],
    "filter_labels": [
      "com.example.foo:bar*"
    ],
    "adapter": "syslog",
    "address": "logs.example.com:514",
    "options": {
      "append_tag": ".db"
    }
  }
]
200 application/json`, "/routes")
	// An ID that is there already replaces the route.
	f("{\n  \"id\": \"ID\",\n  \"adapter\": \"raw+tcp\",\n  \"address\": \"a:1\"\n}\n201 application/json",
		"/routes", "-d", `{"id":"`+id+`","adapter":"tcp","address":"a:1"}`)
	f("{\n  \"id\": \"ID\",\n  \"adapter\": \"raw+tcp\",\n  \"address\": \"a:1\"\n}\n200 application/json", "/routes/"+id)
	f("404 page not found\n404 text/plain; charset=utf-8", "/routes/none")
	f("404 page not found\n404 text/plain; charset=utf-8", "/routes/none", "-X", "DELETE")
	f("Bad request: unexpected EOF\n400 text/plain; charset=utf-8", "/routes", "-d", "{")
	f("Bad request: the body is empty\n400 text/plain; charset=utf-8", "/routes", "-X", "POST")
	f("Method Not Allowed\n405 text/plain; charset=utf-8", "/routes", "-X", "PATCH")
	f("Method Not Allowed\n405 text/plain; charset=utf-8", "/routes/"+id, "-X", "POST")
	f("200 ", "/routes/"+id, "-X", "DELETE")
	f("[]\n200 application/json", "/routes")
	// The example of Logspout's first versions never made a route either.
	response, body := p.ask("POST", "/routes", `{"source":{"filter":"db"},"target":{"type":"syslog","addr":"a:1"}}`)
	if response.StatusCode != http.StatusBadRequest || !strings.HasPrefix(body, "Bad route: ") || !strings.Contains(body, "bad adapter") {
		t.Fatalf("it is answered with %d %q", response.StatusCode, body)
	}
	response, body = p.ask("POST", "/routes", `{"adapter":"`+strings.Repeat("x", maxRouteBody)+`"}`)
	if response.StatusCode != http.StatusBadRequest || !strings.Contains(body, "too large") {
		t.Fatalf("a long body is answered with %d %q", response.StatusCode, body)
	}
}

// TestRoutesVersions: PUT and DELETE with If-Match change only what the client
// has seen.
func TestRoutesVersions(t *testing.T) {
	p := withoutEngine(t, t.TempDir())
	f := func(method, path, body string, want int, headers ...string) string {
		t.Helper()
		response, text := p.ask(method, path, body, headers...)
		if response.StatusCode != want {
			t.Fatalf("%s %s with %q answers %d %s, want %d", method, path, headers, response.StatusCode, text, want)
		}
		return response.Header.Get("ETag")
	}
	first := f("PUT", "/routes/web", `{"adapter":"raw","address":"a:1"}`, http.StatusCreated)
	if got := f("GET", "/routes/web", "", http.StatusOK); got != first || first == "" {
		t.Fatalf("the version is %s, then %s", first, got)
	}
	second := f("PUT", "/routes/web", `{"adapter":"raw","address":"a:2"}`, http.StatusOK, "If-Match: "+first)
	f("PUT", "/routes/web", `{"adapter":"raw","address":"a:3"}`, http.StatusPreconditionFailed, "If-Match: "+first)
	f("PUT", "/routes/web", `{"adapter":"raw","address":"a:3"}`, http.StatusPreconditionFailed, "If-Match: W/"+second)
	f("PUT", "/routes/new", `{"adapter":"raw","address":"a:3"}`, http.StatusPreconditionFailed, "If-Match: *")
	f("PUT", "/routes/web", `{"id":"other","adapter":"raw","address":"a:3"}`, http.StatusBadRequest)
	f("PUT", "/routes/..%2Fweb", `{"adapter":"raw","address":"a:3"}`, http.StatusBadRequest)
	f("DELETE", "/routes/web", "", http.StatusPreconditionFailed, "If-Match: "+first)
	f("DELETE", "/routes/web", "", http.StatusOK, "If-Match: "+second)
	f("GET", "/routes/web", "", http.StatusNotFound)
}

// TestRoutesFolder: routes are stored where Logspout stores them, come back after
// a restart, and one that is bad keeps nothing from starting.
func TestRoutesFolder(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte(`{"adapter":"kafka","address":"a:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0123456789ab.json"), []byte("{\n  \"id\": \"0123456789ab\",\n  \"adapter\": \"syslog\",\n  \"address\": \"a:1\"\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := withoutEngine(t, state, "--routes-dir", dir, "raw://fixed:1")
	for i := range 3 {
		if response, body := p.ask("POST", "/routes", fmt.Sprintf(`{"id":"r.%d","adapter":"raw","address":"a:1%d"}`, i, i)); response.StatusCode != http.StatusCreated {
			t.Fatalf("it is answered with %d %s", response.StatusCode, body)
		}
	}
	// To the byte what Logspout writes, for its owner only.
	stored, err := os.ReadFile(filepath.Join(dir, "r.0.json"))
	if want := "{\n  \"id\": \"r.0\",\n  \"adapter\": \"raw\",\n  \"address\": \"a:10\"\n}"; err != nil || string(stored) != want {
		t.Fatalf("the file is %q, %v, want %q", stored, err, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "r.0.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file's mode: %v, %v", info, err)
	}
	_, health := p.ask("GET", "/health", "")
	if !strings.Contains(health, "bad.json") {
		t.Fatalf("/health does not name the bad route: %s", health)
	}
	p.kill()
	p = withoutEngine(t, state, "--routes-dir", dir, "raw://fixed:1")
	if _, body := p.ask("GET", "/routes", ""); strings.Count(body, `"id"`) != 5 || !strings.Contains(body, "0123456789ab") {
		t.Fatalf("after a restart the routes are %s", body)
	}
	p.ask("DELETE", "/routes/r.1", "")
	if _, err := os.Stat(filepath.Join(dir, "r.1.json")); !os.IsNotExist(err) {
		t.Fatalf("the file of a deleted route: %v", err)
	}
}
