package engine_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/collector/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine answers the API on a Unix socket, for what a real engine cannot be
// made to do. Handlers are registered without the version in the path.
type fakeEngine struct {
	*http.ServeMux
	host string
	// release ends handlers that hang.
	release chan struct{}

	mu sync.Mutex
	// version and oldest are what the engine says it speaks; guarded by mu.
	version, oldest string
	// seen are the paths asked for, with their version; guarded by mu.
	seen []string
}

func newFake(t *testing.T) *fakeEngine {
	t.Helper()
	f := &fakeEngine{
		ServeMux: http.NewServeMux(), release: make(chan struct{}),
		version: "1.51", oldest: "1.24",
	}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f.host = "unix://" + socket
	server := httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	_ = server.Listener.Close() // The one on a TCP port, which is not wanted.
	server.Listener = listener
	server.Start()
	t.Cleanup(func() {
		close(f.release)
		server.CloseClientConnections()
		server.Close()
	})
	return f
}

// serve checks the version as dockerd does, and hands on without it.
func (f *fakeEngine) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	version, oldest := f.version, f.oldest
	f.seen = append(f.seen, r.URL.Path)
	f.mu.Unlock()
	w.Header().Set("Api-Version", version)
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v"); ok {
		asked, path, _ := strings.Cut(rest, "/")
		switch {
		case minor(asked) < minor(oldest):
			refuse(w, http.StatusBadRequest, "client version "+asked+" is too old. Minimum supported API version is "+oldest)
			return
		case minor(asked) > minor(version):
			refuse(w, http.StatusBadRequest, "client version "+asked+" is too new. Maximum supported API version is "+version)
			return
		}
		r.URL.Path = "/" + path
	}
	f.ServeHTTP(w, r)
}

func (f *fakeEngine) speak(version, oldest string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version, f.oldest = version, oldest
}

func (f *fakeEngine) paths() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// minor orders versions of the form 1.NN by their text.
func minor(version string) string { return strings.TrimPrefix(version, "1.") }

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

// hang holds a request until its client gives up or the test ends.
func (f *fakeEngine) hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-f.release:
	}
}

func (f *fakeEngine) ping() { f.HandleFunc("/_ping", answer("OK")) }

func newClient(t *testing.T, o engine.Options) *engine.Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	c, err := engine.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
