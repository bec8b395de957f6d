package agent

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// access says who may use the HTTP server from elsewhere. On addresses of the
// loopback interface everybody may.
type access struct {
	// open says that everybody may from elsewhere too.
	open bool
	// token is what a client sends to show that it may; empty for none.
	token string
	// webConfig is the file with certificates and passwords; empty for none.
	webConfig string
	// hosts are the names by which those who need not show who they are may ask,
	// besides those that are the agent's own.
	hosts []string
}

// newAccess reads the settings. A token comes from a file or as it is.
func newAccess(auth, tokenFile, token, webConfig string) (access, error) {
	a := access{token: token, webConfig: webConfig}
	switch auth {
	case "":
	case "none":
		a.open = true
	default:
		return a, fmt.Errorf("bad value %q of --auth; known is none", auth)
	}
	if tokenFile != "" {
		text, err := os.ReadFile(tokenFile)
		if err != nil {
			return a, fmt.Errorf("reading the token of --auth-token-file: %w", err)
		}
		if a.token = strings.TrimSpace(string(text)); a.token == "" {
			return a, fmt.Errorf("the file %q of --auth-token-file is empty", tokenFile)
		}
	}
	if a.open && a.token != "" {
		return a, errors.New("--auth=none says that no token is wanted, and there is one")
	}
	if webConfig == "" {
		return a, nil
	}
	if err := web.Validate(webConfig); err != nil {
		return a, fmt.Errorf("the file of --web-config: %w", err)
	}
	if a.token != "" && a.guarded() {
		return a, errors.New("clients cannot send a token and a password: choose one")
	}
	return a, nil
}

// guarded reports whether the web configuration lets only those through that it
// knows. It is read at each request, as the library that checks them does.
func (a *access) guarded() bool {
	text, err := os.ReadFile(a.webConfig)
	if err != nil {
		return false
	}
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return false
	}
	return len(c.Users) > 0 || c.TLS.ClientAuth == "RequireAndVerifyClientCert"
}

// howTo is what a client that may not is told.
const howTo = `This address shows only /health and /metrics to clients that it does not know.
Who runs the agent can choose how clients show who they are:
  --auth-token-file FILE   they send the file's token: curl -H "Authorization: Bearer TOKEN" …,
                           or curl -u :TOKEN …; a browser asks for it as a password
  --web-config FILE        they send a password: curl -u USER:PASSWORD …
  --auth=none              whoever reaches this address reads all logs and changes routes
On the agent's own machine everything is open at an address such as 127.0.0.1:8000 (--listen).
`

// protect lets through to next who may use what is asked for. loopback says that
// the requests come to an address of the loopback interface.
func (a *access) protect(next http.Handler, loopback bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known, byItself := a.hasToken(r)
		public := r.URL.Path == "/health" || r.URL.Path == "/healthz" || r.URL.Path == "/metrics"
		// A page of another site reaches this address under that site's name (DNS
		// rebinding), also where the address is published on loopback alone.
		if trusted := loopback || a.open && !public; trusted && !a.isOwnHost(r.Host, !loopback) {
			http.Error(w, fmt.Sprintf("The host %q is no name of this agent: ask for localhost or an IP address, or start the agent with --hosts.", r.Host), http.StatusForbidden)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && (!known || byItself) && !isOwnOrigin(origin, r.Host) {
			http.Error(w, fmt.Sprintf("Pages of %q may not use this agent.", origin), http.StatusForbidden)
			return
		}
		if !public && !known && !loopback && !a.open && !(a.webConfig != "" && a.guarded()) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="tallyman"`)
			if a.token != "" {
				w.Header().Add("WWW-Authenticate", `Basic realm="tallyman: the token is the password", charset="UTF-8"`)
			}
			http.Error(w, howTo, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hasToken reports whether a request shows the token: as it is (RFC 6750, section
// 2.1), or as the password of any user (RFC 7617), which is what a browser can ask
// a person for. byItself says that it is such a password: a browser sends it for
// pages of other sites too.
func (a *access) hasToken(r *http.Request) (known, byItself bool) {
	_, shown, byItself := r.BasicAuth()
	if !byItself {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return false, false
		}
		shown = strings.TrimSpace(token)
	}
	got, want := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(a.token))
	return a.token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1, byItself
}

// isLoopback reports whether a host is one of the loopback interface.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isOwnHost reports whether a Host header is one that a page of another site
// cannot have: an address, a name that only means this machine, one of hosts or,
// with short, a name without a dot, which is of a network such as Docker's.
func (a *access) isOwnHost(host string, short bool) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil {
		return true
	}
	return short && !strings.Contains(host, ".") || slices.ContainsFunc(a.hosts, func(own string) bool {
		return own == "*" || strings.EqualFold(own, host)
	})
}

// isOwnOrigin reports whether an Origin header names the host that was asked.
func isOwnOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}
