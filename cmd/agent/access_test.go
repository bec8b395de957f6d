package agent

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyman/adapters/adaptertest"
)

// passwords is a web configuration with the user "user" and the password "pw".
const passwords = "basic_auth_users:\n  user: $2a$04$dLIfS6LtyXKiwEosRH3cFOHmyXsnRf/smsTmmURAaa.WXG/3rfDdi\n"

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestProtect: who may use what, at which address.
func TestProtect(t *testing.T) {
	f := func(what string, a access, loopback bool, request string, want int) {
		t.Helper()
		lines := strings.Split(request, "; ")
		method, path, _ := strings.Cut(lines[0], " ")
		r := httptest.NewRequest(method, path, nil)
		r.Host = "10.0.0.7:8000"
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			if name == "Host" {
				r.Host = value
			}
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		a.protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}), loopback).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %q is answered with %d, want %d", what, request, w.Code, want)
		}
		if w.Code == http.StatusUnauthorized && (!strings.Contains(w.Body.String(), "--auth-token-file") || w.Header().Get("WWW-Authenticate") == "") {
			t.Errorf("%s: the 401 does not say how: %q", what, w.Body)
		}
	}
	const ok, unauthorized, forbidden = http.StatusOK, http.StatusUnauthorized, http.StatusForbidden
	var none access
	for _, path := range []string{"/", "/logs", "/logs/name:x", "/routes", "/routes/x", "/api/v1/tally", "/health/", "/healthz/x", "/metrics/x", "//health", "/logs/../health", "/debug/pprof/"} {
		f("nothing is set", none, false, "GET "+path, unauthorized)
		f("nothing is set", none, false, "DELETE "+path, unauthorized)
		f("on loopback", none, true, "GET "+path+"; Host: 127.0.0.1:8000", ok)
		f("open", access{open: true}, false, "GET "+path, ok)
		f("with a token", access{token: "s3cret"}, false, "GET "+path+"; Authorization: Bearer s3cret", ok)
	}
	f("nothing is set", none, false, "GET /health", ok)
	f("nothing is set", none, false, "GET /healthz", ok)
	f("nothing is set", none, false, "GET /metrics", ok)

	token := access{token: "s3cret"}
	f("no token", token, false, "GET /logs", unauthorized)
	f("another token", token, false, "GET /logs; Authorization: Bearer s3cre", unauthorized)
	f("another scheme", token, false, "GET /logs; Authorization: Basic s3cret", unauthorized)
	f("an empty token", none, false, "GET /logs; Authorization: Bearer ", unauthorized)
	basic := func(password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("anyone:"+password))
	}
	f("the token as a password", token, false, "GET /logs; "+basic("s3cret"), ok)
	f("a wrong password", token, false, "GET /logs; "+basic("s3cre"), unauthorized)
	f("an empty password", none, false, "GET /logs; "+basic(""), unauthorized)
	f("another site's page with what the browser sends by itself", token, false,
		"POST /routes; Origin: http://evil.example; "+basic("s3cret"), forbidden)
	f("the agent's page with what the browser sends by itself", token, false,
		"POST /routes; Origin: http://10.0.0.7:8000; "+basic("s3cret"), ok)

	f("another site's name", none, true, "GET /logs; Host: evil.example", forbidden)
	f("another site's name", none, true, "GET /health; Host: evil.example:8000", forbidden)
	f("localhost", none, true, "GET /logs; Host: localhost:8000", ok)
	f("IPv6", none, true, "GET /logs; Host: [::1]:8000", ok)
	f("an address", none, true, "GET /logs; Host: 127.0.0.1", ok)

	open := access{open: true}
	f("another site's name, open", open, false, "GET /logs; Host: evil.example", forbidden)
	f("another site's name, open", open, false, "POST /routes; Host: evil.example; Origin: http://evil.example", forbidden)
	f("another site's name, open", open, false, "GET /metrics; Host: tallyman.monitoring.svc:80", ok)
	f("a service's name, open", open, false, "GET /logs; Host: tallyman:80", ok)
	f("localhost, open", open, false, "GET /logs; Host: localhost:8000", ok)
	f("a service's name", none, true, "GET /logs; Host: tallyman:80", forbidden)
	named := access{open: true, hosts: []string{"Logs.example.com"}}
	f("a name of hosts", named, false, "GET /logs; Host: logs.example.com:8000", ok)
	f("a name of hosts", named, true, "GET /logs; Host: logs.example.com", ok)
	f("no name of hosts", named, false, "GET /logs; Host: evil.example", forbidden)
	f("any name", access{open: true, hosts: []string{"*"}}, false, "GET /logs; Host: a.example", ok)
	f("a token's host", token, false, "GET /logs; Host: logs.example.com; Authorization: Bearer s3cret", ok)

	f("another site's page", none, true, "POST /routes; Host: localhost:8000; Origin: http://evil.example", forbidden)
	f("another site's page", access{open: true}, false, "GET /logs; Origin: http://evil.example", forbidden)
	f("another port", none, true, "GET /logs; Host: localhost:8000; Origin: http://localhost:9000", forbidden)
	f("a page without an origin of its own", none, true, "GET /logs; Host: localhost:8000; Origin: null", forbidden)
	f("the agent's page", none, true, "GET /logs; Host: localhost:8000; Origin: http://localhost:8000", ok)
	f("another site's page with the token", token, false, "GET /logs; Origin: http://evil.example; Authorization: Bearer s3cret", ok)

	f("certificates without passwords", access{webConfig: writeFile(t, "web.yml", "http_server_config:\n  http2: true\n")}, false, "GET /logs", unauthorized)
	f("passwords, which the library has checked", access{webConfig: writeFile(t, "web.yml", passwords)}, false, "GET /logs", ok)
	f("a file that has gone", access{webConfig: "/nonexistent"}, false, "GET /logs", unauthorized)
}

// TestAccessOptions: settings that contradict each other, or of which files are
// missing, are refused.
func TestAccessOptions(t *testing.T) {
	f := func(auth, tokenFile, token, web, want string) {
		t.Helper()
		_, err := newAccess(auth, tokenFile, token, web)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q %q %q %q says %v, want %q", auth, tokenFile, token, web, err, want)
		}
	}
	f("", "", "", "", "")
	f("none", "", "", "", "")
	f("all", "", "", "", `"all"`)
	f("", "/nonexistent", "", "", "nonexistent")
	f("", writeFile(t, "token", "\n"), "", "", "is empty")
	f("none", "", "x", "", "--auth=none")
	f("", "", "", writeFile(t, "web.yml", "unknown: 1\n"), "--web-config")
	f("", "", "", writeFile(t, "web.yml", passwords), "")
	f("", "", "x", writeFile(t, "web.yml", passwords), "choose one")
}

// TestAccessOverNetwork asks a running agent at an address that is not loopback.
func TestAccessOverNetwork(t *testing.T) {
	f := func(what string, wantLogs int, user, password string, args ...string) {
		t.Helper()
		outside := "0.0.0.0:" + portOf(freeAddress(t))
		p := startAgent(t, t.TempDir(), []string{"DOCKER_HOST=unix:///nonexistent.sock"}, append(args, "--listen", outside)...)
		if code, _, err := p.get("/routes"); err != nil || code != http.StatusOK {
			t.Fatalf("%s: on loopback /routes answers %d, %v", what, code, err)
		}
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+portOf(outside)+"/routes", nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != wantLogs {
			t.Fatalf("%s: /routes answers %d, want %d", what, response.StatusCode, wantLogs)
		}
		if code := p.terminate(); code != 0 {
			t.Fatalf("%s: the agent exits with %d", what, code)
		}
	}
	web := writeFile(t, "web.yml", passwords)
	f("nothing is chosen", http.StatusUnauthorized, "", "")
	f("everybody may", http.StatusOK, "", "", "--auth=none")
	token := writeFile(t, "token", "s3cret\n")
	f("no token", http.StatusUnauthorized, "", "", "--auth-token-file", token)
	f("the token as a password", http.StatusOK, "anyone", "s3cret", "--auth-token-file", token)
	f("no password", http.StatusUnauthorized, "", "", "--web-config", web)
	f("a wrong password", http.StatusUnauthorized, "user", "no", "--web-config", web)
	f("the password", http.StatusOK, "user", "pw", "--web-config", web)
}

// TestWebConfigTLS: the web configuration's certificate and passwords hold at the
// address that is not loopback, for what everybody may see too.
func TestWebConfigTLS(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	file := writeFile(t, "web.yml", fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n", certificates.CertFile, certificates.KeyFile)+passwords)
	outside := "0.0.0.0:" + portOf(freeAddress(t))
	p := withoutEngine(t, t.TempDir(), "--web-config", file, "--listen", outside)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificates.Authority}}}
	f := func(path, user, password string, want int) {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "https://127.0.0.1:"+portOf(outside)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		var response *http.Response
		p.eventually(path+" answers over TLS", func() bool { response, err = client.Do(r); return err == nil })
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s answers %d to %q, want %d", path, response.StatusCode, user, want)
		}
	}
	for _, path := range []string{"/routes", "/", "/api/v1/tally", "/metrics"} {
		f(path, "", "", http.StatusUnauthorized)
		f(path, "user", "no", http.StatusUnauthorized)
		f(path, "user", "pw", http.StatusOK)
	}
	if code, _, err := p.get("/routes"); err != nil || code != http.StatusOK {
		t.Errorf("on loopback, without TLS, /routes answers %d, %v", code, err)
	}
}

// TestCommandsOverTLS: the commands ask at an address of HTTPS, trust the
// authority that --ca names, and say what is wrong where they cannot.
func TestCommandsOverTLS(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	file := writeFile(t, "web.yml", fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n", certificates.CertFile, certificates.KeyFile)+passwords)
	outside := "0.0.0.0:" + portOf(freeAddress(t))
	p := withoutEngine(t, t.TempDir(), "--web-config", file, "--listen", outside, "raw+tcp://127.0.0.1:9?name=here")
	addr := "127.0.0.1:" + portOf(outside)
	with := "https://user:pw@" + addr
	f := func(code int, stdout, stderr string, env map[string]string, args ...string) {
		t.Helper()
		got, out, problems := tallyman(t.Context(), env, args...)
		if got != code || !strings.Contains(out, stdout) || !strings.Contains(problems, stderr) || strings.Contains(problems, "pw") {
			t.Errorf("%q ends with %d, prints %q and says %q", args, got, out, problems)
		}
	}
	p.eventually("it answers over TLS", func() bool {
		code, _, _ := tallyman(t.Context(), nil, "tally", "--addr", with, "--ca", certificates.CAFile)
		return code == exitOK
	})
	f(exitOK, "here", "", nil, "tally", "--addr", with, "--ca", certificates.CAFile)
	f(exitOK, "here", "", nil, "routes", "--addr", with+"/", "--ca", certificates.CAFile)
	f(exitOK, "here", "", map[string]string{"TALLYMAN_ADDR": with, "TALLYMAN_CA": certificates.CAFile}, "tally")
	f(exitFailed, "", "401", nil, "tally", "--addr", "https://"+addr, "--ca", certificates.CAFile)
	f(exitUnreachable, "", "--ca names a file", nil, "tally", "--addr", with)
	f(exitFailed, "", "HTTP request to an HTTPS server", nil, "tally", "--addr", "http://user:pw@"+addr)
	f(exitUnreachable, "", "HTTP response to HTTPS client", nil, "tally", "--addr", "https://user:pw@"+p.listen)
	f(exitUsage, "", "no such file", nil, "tally", "--addr", with, "--ca", "/nonexistent")
	f(exitUsage, "", "holds no certificate", nil, "tally", "--addr", with, "--ca", file)
	f(exitUsage, "", "https://host:port", nil, "tally", "--addr", addr, "--ca", certificates.CAFile)
	f(exitUsage, "", "https://host:port", nil, "tally", "--ca", certificates.CAFile)
	f(exitOK, "", "", map[string]string{"TALLYMAN_CA": certificates.CAFile}, "tally", "--addr", p.listen)
	f(exitUsage, "", "https://host:port", nil, "tally", "--addr", "ftp://user:pw@"+addr)
	f(exitUsage, "", "https://host:port", nil, "tally", "--addr", "https://user:pw%@"+addr)
	// Behind such a character a password is none any more.
	for _, c := range []string{"#", "/", "?"} {
		f(exitUsage, "", "https://host:port", nil, "tally", "--addr", "https://user:12"+c+"pw@"+addr)
	}
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
