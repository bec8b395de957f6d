// Package page is the web page of the agent: one document, one style sheet and
// one script, kept in the binary. The page asks the agent's API and nobody else.
package page

import (
	"crypto/sha256"
	_ "embed" // for the page's files
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// The files of the page.
var (
	//go:embed index.html
	document string
	//go:embed style.css
	style string
	//go:embed app.js
	script string
)

// policy is the Content-Security-Policy (CSP Level 3). Nothing is loaded from
// elsewhere, nothing runs that is not in app.js, and with Trusted Types the
// browser refuses each assignment that would parse text as HTML. The only image
// is the icon, which is in the document.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// asset is one file of the page, ready to be served.
type asset struct{ body, contentType, etag string }

func newAsset(body, contentType string) asset {
	sum := sha256.Sum256([]byte(body))
	return asset{body, contentType, `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// remark is a comment behind code: none of the page's texts looks like one.
var remark = regexp.MustCompile(`([;,{]) (?://.*|/\*.*?\*/)`)

// lean leaves out what only people read: indentation, empty lines, and comments.
// No text of the page's spans lines.
func lean(source string) string {
	var out strings.Builder
	for line := range strings.Lines(source) {
		line = strings.TrimLeft(line, "\t")
		if line != "\n" && !strings.HasPrefix(line, "//") && !strings.HasPrefix(line, "/*") {
			out.WriteString(remark.ReplaceAllString(line, "$1"))
		}
	}
	return out.String()
}

// New returns the handler of the page. It answers GET and HEAD of / and of the
// page's own files and knows nothing else. The page's links hold their state behind
// the #, and all its addresses are relative, so that it also works below a
// prefix that a proxy strips.
func New() http.Handler {
	// Most agents' pages are hardly ever looked at.
	files := sync.OnceValue(func() map[string]asset {
		return map[string]asset{
			"/":          newAsset(document, "text/html; charset=utf-8"),
			"/style.css": newAsset(lean(style), "text/css; charset=utf-8"),
			"/app.js":    newAsset(lean(script), "text/javascript; charset=utf-8"),
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, ok := files()[r.URL.Path]
		if !ok {
			http.Error(w, "there is nothing at "+r.URL.Path+"; the page is at /, the API at /api/v1/", http.StatusNotFound)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", strings.Join([]string{http.MethodGet, http.MethodHead}, ", "))
			http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
			return
		}
		header := w.Header()
		header.Set("Content-Type", file.contentType)
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		// The browser asks each time, so that a new agent's page is seen at once.
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", file.etag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(file.body))
	})
}
