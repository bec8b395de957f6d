package post

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/adapters/adaptertest"
)

// Requests of different lanes are under way at the same time, those of one lane
// and so of one container one after the other.
func TestLanes(t *testing.T) {
	gate := make(chan struct{})
	var mu sync.Mutex
	var underWay []string
	handler := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name, _, _ := strings.Cut(string(body), "[")
		mu.Lock()
		underWay = append(underWay, name)
		mu.Unlock()
		<-gate
	}))
	t.Cleanup(handler.Close)
	a := mustNew(t, config(t, handler.URL, map[string]string{"concurrency": "2", "linger": "0s", "max_lines": "2"}))
	other := 2
	for a.laneOf(batch(other).Container) == a.laneOf(batch(1).Container) {
		other++
	}
	first := send(t, a, batch(1, "a", "b", "c", "d"))
	second := send(t, a, batch(other, "e"))
	adaptertest.Eventually(t, adaptertest.Patience, "two requests are under way", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(underWay) == 2
	})
	mu.Lock()
	slices.Sort(underWay)
	if want := []string{"web.10", fmt.Sprintf("web.%d0", other)}; !slices.Equal(underWay, want) {
		t.Errorf("under way are %q, want %q", underWay, want)
	}
	mu.Unlock()
	close(gate)
	mustClose(t, a)
	if err := errors.Join(first.wait(t), second.wait(t)); err != nil {
		t.Fatal(err)
	}
}

// Requests go over one connection, also after an answer with a text.
func TestKeepAlive(t *testing.T) {
	peers := map[string]bool{}
	s := startServer(t, func(_ int, _ string, w http.ResponseWriter, r *http.Request) bool {
		peers[r.RemoteAddr] = true
		_, _ = io.WriteString(w, strings.Repeat("thank you ", 500))
		return true
	})
	a := mustNew(t, config(t, s.URL, map[string]string{"linger": "0s"}))
	for range 10 {
		if err := send(t, a, batch(1, "a")).wait(t); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, a)
	if len(peers) != 1 || s.count() != 10 {
		t.Fatalf("%d requests over %d connections", s.count(), len(peers))
	}
}

// A proxy is used where one is named, and no password of it is shown.
func TestProxy(t *testing.T) {
	s := startServer(t, func(_ int, _ string, _ http.ResponseWriter, r *http.Request) bool {
		return r.URL.String() == "http://far.example:80/default" && r.Header.Get("Proxy-Authorization") != ""
	})
	proxy := strings.Replace(s.URL, "http://", "http://u:s3cret@", 1)
	a := mustNew(t, config(t, "http://far.example:80", map[string]string{"proxy": proxy}))
	o := send(t, a, batch(1, "a"))
	mustClose(t, a)
	if err := o.wait(t); err != nil || len(s.taken()) != 1 {
		t.Fatalf("%d requests came through the proxy: %v", len(s.taken()), err)
	}
	s.Close()
	a = mustNew(t, config(t, "http://far.example:80", map[string]string{"proxy": proxy}))
	o = send(t, a, batch(1, "a"))
	if err := a.Close(t.Context()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Fatalf("closing: %v", err)
	}
	if err := o.wait(t); err == nil {
		t.Fatal("delivered through a proxy that is gone")
	}
}

// A server is left alone for a minute at most, also when the clock is put back an
// hour meanwhile.
func TestLongestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := mustNew(t, config(t, "http://127.0.0.1:1", nil))
		a.leaveAlone(maxPause)
		a.leaveAlone(time.Second)
		begun := time.Now()
		if err := a.pause(); err != nil || time.Since(begun) != maxPause {
			t.Errorf("it waits %v: %v", time.Since(begun), err)
		}
	})
}

// A new connection presents the certificate that is in the files by then, also
// when none has failed.
func TestRenewedCertificate(t *testing.T) {
	shown := make(chan string, 9)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown <- string(r.TLS.PeerCertificates[0].Raw)
		w.Header().Set("Connection", "close")
	}))
	old, renewed := adaptertest.NewCertificates(t), adaptertest.NewCertificates(t)
	s.TLS = old.Server.Clone()
	s.TLS.ClientAuth = tls.RequireAnyClientCert
	s.StartTLS()
	t.Cleanup(s.Close)
	a := mustNew(t, config(t, s.URL, map[string]string{
		"linger": "0s", "tls.ca": old.CAFile, "tls.cert": old.CertFile, "tls.key": old.KeyFile,
	}))
	f := func() string {
		t.Helper()
		if err := send(t, a, batch(1, "a")).wait(t); err != nil {
			t.Fatal(err)
		}
		return <-shown
	}
	first := f()
	if err := errors.Join(os.Rename(renewed.CertFile, old.CertFile), os.Rename(renewed.KeyFile, old.KeyFile)); err != nil {
		t.Fatal(err)
	}
	if f() == first {
		t.Error("the old certificate is presented")
	}
}

// A proxy that is spoken to over TLS has to bear its own name, and the server
// behind it the server's.
func TestSecureProxy(t *testing.T) {
	target := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(target.Close)
	authority := filepath.Join(t.TempDir(), "target.pem") // It vouches for example.com.
	block := &pem.Block{Type: "CERTIFICATE", Bytes: target.Certificate().Raw}
	if err := os.WriteFile(authority, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Value
	certificates := adaptertest.NewCertificates(t) // Those of localhost.
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		server, err := net.Dial("tcp", target.Listener.Addr().String())
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(conn, server) }()
		_, _ = io.Copy(server, conn)
	}))
	proxy.TLS = certificates.Server.Clone()
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	_, port, _ := net.SplitHostPort(proxy.Listener.Addr().String())
	f := func(ca string, delivered bool) {
		t.Helper()
		a := mustNew(t, config(t, "https://example.com:443", map[string]string{
			"proxy": "https://localhost:" + port, "tls.ca": ca, "tls.disable_system_roots": "true", "linger": "0s",
		}))
		if err := send(t, a, batch(1, "a")).wait(t); (err == nil) != delivered {
			t.Errorf("delivered: %v", err)
		}
	}
	f(certificates.CAFile+","+authority, true)
	if got := asked.Load(); got != "CONNECT example.com:443" {
		t.Errorf("the proxy was asked to %v", got)
	}
	f(certificates.CAFile, false)
	f(authority, false)
}

// The answer may come, and the connection end, before the body was read.
func TestEarlyAnswer(t *testing.T) {
	early := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(early.Close)
	a := mustNew(t, config(t, early.URL, map[string]string{"max_bytes": "8000000", "linger": "0s"}))
	texts := slices.Repeat([]string{strings.Repeat("x", 1000)}, 7000)
	if err := send(t, a, batch(1, texts...)).wait(t); err == nil {
		t.Fatal("delivered")
	}
}
