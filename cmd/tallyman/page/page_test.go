package page

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// maxBytes is how big the page may be, all three files together as they are sent.
const maxBytes = 80000

func get(t *testing.T, method, path string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(method, path, nil)
	for key, values := range header {
		request.Header[key] = values
	}
	recorder := httptest.NewRecorder()
	New().ServeHTTP(recorder, request)
	return recorder
}

func TestFiles(t *testing.T) {
	total := 0
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
	} {
		answer := get(t, http.MethodGet, path, nil)
		if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
			t.Errorf("%s: status %d, %d bytes", path, answer.Code, answer.Body.Len())
		}
		total += answer.Body.Len()
		for key, want := range map[string]string{
			"Content-Type": kind, "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
		} {
			if got := answer.Header().Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", path, key, got, want)
			}
		}
		tag := answer.Header().Get("ETag")
		if again := get(t, http.MethodGet, path, http.Header{"If-None-Match": {tag}}); again.Code != http.StatusNotModified {
			t.Errorf("%s: asking again for %s gives status %d", path, tag, again.Code)
		}
		if head := get(t, http.MethodHead, path, nil); head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("%s: HEAD gives status %d and %d bytes", path, head.Code, head.Body.Len())
		}
	}
	if total > maxBytes {
		t.Errorf("the page has %d bytes, more than %d", total, maxBytes)
	}
}

// What lean takes away changes nothing: comments stand on lines of their own, and no
// text spans lines.
func TestLean(t *testing.T) {
	for name, source := range map[string]string{"app.js": script, "style.css": style} {
		number := 0
		for line := range strings.Lines(source) {
			number++
			line = strings.TrimSpace(line)
			if strings.Count(line, "`")%2 != 0 {
				t.Errorf("%s:%d: a text begins here and does not end", name, number)
			}
			code, _, _ := strings.Cut(line, remark.FindString(line))
			for _, quote := range []string{"'", `"`, "`"} {
				if remark.MatchString(line) && strings.Count(code, quote)%2 != 0 {
					t.Errorf("%s:%d: what looks like a comment is in a text", name, number)
				}
			}
			if strings.HasPrefix(line, "/*") && !strings.HasSuffix(line, "*/") {
				t.Errorf("%s:%d: a comment begins here and does not end", name, number)
			}
		}
	}
	if got, want := lean("/* What. */\n\n\ta('x: // y'); // Why.\n\t\t// How.\nc = { /* No. */ };\n"), "a('x: // y');\nc = { };\n"; got != want {
		t.Errorf("lean leaves %q, want %q", got, want)
	}
}

func TestOtherRequests(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/app.js", http.StatusMethodNotAllowed},
		{http.MethodGet, "/index.html", http.StatusNotFound},
		{http.MethodGet, "/api/v1/nothing", http.StatusNotFound},
		{http.MethodGet, "/../page.go", http.StatusNotFound},
	} {
		if got := get(t, c.method, c.path, nil).Code; got != c.want {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

// The policy has to forbid what the page never does.
func TestPolicy(t *testing.T) {
	for _, word := range []string{"unsafe", "*", "http:", "https:"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy allows %q", word)
		}
	}
	for _, directive := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, directive) {
			t.Errorf("the policy lacks %q", directive)
		}
	}
}

// What comes from a container must never be parsed, and nothing be loaded from
// elsewhere.
func TestSource(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|\beval\(|new Function|srcdoc|import\(`)
	if found := forbidden.FindAllString(script, -1); found != nil {
		t.Errorf("the script uses %q", found)
	}
	inline := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<style|<script>`)
	if found := inline.FindAllString(document, -1); found != nil {
		t.Errorf("the document has %q, which the policy forbids", found)
	}
	elsewhere := regexp.MustCompile(`(?:src|href)="(?:https?:)?//|url\(|@import`)
	if found := elsewhere.FindAllString(document+style, -1); found != nil {
		t.Errorf("something is loaded from elsewhere: %q", found)
	}
}
