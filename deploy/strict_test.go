package deploy

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write the list of the engine's endpoints anew")

const (
	engineSocket = "/var/run/docker.sock"
	strictFile   = "compose/strict.yaml"
	securityPage = "../docs/security.md"
)

var (
	versionPart = regexp.MustCompile(`^/v1\.[0-9]+/`)
	idPart      = regexp.MustCompile(`/[0-9a-f]{12,64}\b`)
)

// endpoint makes one of a request's method and path: without what differs from
// engine to engine and from container to container.
func endpoint(method, path string) string {
	path = idPart.ReplaceAllString(versionPart.ReplaceAllString(path, "/"), "/{id}")
	return method + " " + path
}

// recorder is a proxy before the engine's socket that lets everything through
// and remembers what was asked for.
type recorder struct {
	socket string
	mu     sync.Mutex
	asked  map[string]bool
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{socket: filepath.Join(t.TempDir(), "s"), asked: make(map[string]bool)}
	listener, err := net.Listen("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.FlushInterval = -1
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", engineSocket)
	}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.asked[endpoint(request.Method, request.URL.Path)] = true
		r.mu.Unlock()
		proxy.ServeHTTP(w, request)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return r
}

func (r *recorder) list() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make(map[string]bool)
	for e := range r.asked {
		found[e] = true
	}
	return found
}

// strictPatterns returns what strict.yaml allows, by method.
func strictPatterns(t *testing.T) map[string]*regexp.Regexp {
	t.Helper()
	text, err := os.ReadFile(strictFile)
	if err != nil {
		t.Fatal(err)
	}
	patterns := make(map[string]*regexp.Regexp)
	for _, m := range regexp.MustCompile(`(?m)^ +- -allow([A-Z]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		patterns[m[1]] = regexp.MustCompile("^" + m[2] + "$")
	}
	return patterns
}

// getPattern returns the pattern that allows the GET endpoints of a list, and
// nothing else.
func getPattern(endpoints []string) string {
	var alternatives []string
	for _, e := range endpoints {
		if path, ok := strings.CutPrefix(e, "GET /"); ok {
			alternatives = append(alternatives, strings.ReplaceAll(path, "{id}", "[0-9a-f]+"))
		}
	}
	return `/v1\.[0-9]+/(` + strings.Join(alternatives, "|") + ")"
}

// replaceBetween replaces what is between two texts of a file, and returns the
// file as it was and as it is to be.
func replaceBetween(t *testing.T, name, from, to, content string) (old, want []byte) {
	t.Helper()
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(old, []byte(from))
	_, after, ended := bytes.Cut(rest, []byte(to))
	if !found || !ended {
		t.Fatalf("%s has no %q before a %q", name, from, to)
	}
	return old, slices.Concat(before, []byte(from+content+to), after)
}

// TestStrict runs the profile without root and without the engine's socket, with
// a proxy that refuses what strict.yaml does not allow: the logs of a real
// container arrive all the same, and its resource use is shown. What is asked for there and by an agent on the
// host, taken together, is the list in docs/security.md and what strict.yaml
// allows.
func TestStrict(t *testing.T) {
	t.Parallel()
	loadImage(t)
	image := generator(t)
	info, err := os.Stat(engineSocket)
	need(t, err == nil, engineSocket)
	writeImage(t, proxyImage, build(t, "./testdata/socketproxy"), "/socketproxy")
	p := newProject(t, "strict.yaml",
		"SOCKET_PROXY_IMAGE="+proxyImage, fmt.Sprint("DOCKER_GROUP=", info.Sys().(*syscall.Stat_t).Gid),
		"ROUTE_URIS=file:///var/lib/tallyman/out/{name}.log?filter.name=tallyman-deploy-test-strict-*")
	p.compose("up", "--detach")
	waitHealthy(t, p.address)
	name := runContainer(t, "strict", nil, image, "gen", "-name", "strict", "-lines", "5000", "-hold", "2m")
	agent := p.container("tallyman")
	wantHardened(t, agent, "65532:65532")
	wantHardened(t, p.container("socket-proxy"), fmt.Sprint("65534:", info.Sys().(*syscall.Stat_t).Gid))
	waitForLines(t, agent, "/var/lib/tallyman/out/"+name+".log", 5000)
	eventually(t, "the container's resource use is shown", func() (bool, string) {
		code, body, err := get(p.address, "/metrics")
		for _, family := range []string{"container_memory_working_set_bytes", "container_cpu_usage_seconds_total", "container_network_receive_bytes_total"} {
			if !hasSeries(body, family, `name="`+name+`"`) {
				return false, fmt.Sprint("no ", family, " ", code, err)
			}
		}
		return strings.Contains(body, "tallyman_engine_up 1"), "the engine is down"
	})

	// None of the host's cgroups can be seen there.
	eventually(t, "the container's use is shown", func() (bool, string) {
		_, body, err := get(p.address, "/metrics")
		return err == nil && regexp.MustCompile(`(?m)^container_memory_usage_bytes\{.*name="`+name+`".*\} [1-9]`).MatchString(body) && !strings.Contains(body, `id="/"`), body
	})

	asked := askedOnHost(t)
	for line := range strings.Lines(run(t, "docker", "logs", p.container("socket-proxy"))) {
		words := strings.Fields(line)
		if len(words) != 3 {
			t.Fatalf("the proxy said %q", line)
		}
		asked[endpoint(words[1], words[2])] = true
		if words[0] != "allowed" && !*update {
			t.Errorf("the proxy has refused %s %s", words[1], words[2])
		}
	}
	var list []string
	for e := range asked {
		list = append(list, e)
	}
	slices.Sort(list)
	for _, file := range []struct{ name, from, to, content string }{
		{securityPage, "<!-- endpoints -->\n\n", "\n<!-- /endpoints -->", "    " + strings.Join(list, "\n    ") + "\n"},
		{strictFile, "- -allowGET=", "\n", getPattern(list)},
	} {
		old, want := replaceBetween(t, file.name, file.from, file.to, file.content)
		if bytes.Equal(old, want) {
			continue
		}
		if !*update {
			t.Errorf("%s does not tell what the agent asks for; go test ./deploy -run TestStrict -update writes it:\n%s", file.name, file.content)
		} else if err := os.WriteFile(file.name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// askedOnHost returns what an agent on the host asks the engine for while it
// reads a log that is a file, and one that it can only get by the API.
func askedOnHost(t *testing.T) map[string]bool {
	t.Helper()
	r := newRecorder(t)
	address := freeAddress(t)
	start(t, []string{"DOCKER_HOST=unix://" + r.socket}, build(t, "tallyman/cmd/tallyman"), "--listen", address, "--state-dir", t.TempDir(),
		"--docker-root", t.TempDir(), "--backlog", "file://"+t.TempDir()+"/{name}.log?filter.name=tallyman-deploy-test-*")
	waitHealthy(t, address)
	eventually(t, "a log is asked for", func() (bool, string) {
		_, _, err := get(address, "/metrics")
		list := r.list()
		return err == nil && list["GET /containers/{id}/logs"], fmt.Sprint(list)
	})
	return r.list()
}

// TestStrictRefuses: nothing that changes anything passes the proxy, and nothing
// that tells of more than containers and their logs.
func TestStrictRefuses(t *testing.T) {
	patterns := strictPatterns(t)
	if len(patterns) != 2 {
		t.Fatalf("%d methods are allowed", len(patterns))
	}
	const id = "0123456789ab"
	f := func(method, path string, want bool) {
		t.Helper()
		pattern := patterns[method]
		if got := pattern != nil && pattern.MatchString(path); got != want {
			t.Errorf("%s %s: allowed is %v, want %v", method, path, got, want)
		}
	}
	f("HEAD", "/_ping", true)
	f("GET", "/v1.41/containers/json", true)
	f("GET", "/v1.41/containers/"+id+"/json", true)
	f("GET", "/v1.41/containers/"+id+"/logs", true)
	f("GET", "/v1.41/containers/"+id+"/stats", true)
	f("GET", "/v1.41/containers/"+id+"/archive", false)
	f("GET", "/v1.41/containers/"+id+"/export", false)
	f("GET", "/v1.41/containers/"+id+"/attach/ws", false)
	f("GET", "/v1.41/containers/../images/json", false)
	f("GET", "/v1.41/containers/"+id+"/../../images/json", false)
	f("GET", "/v1.41/images/json", false)
	f("GET", "/v1.41/secrets", false)
	f("GET", "/v1.41/configs", false)
	f("GET", "/v1.41/volumes", false)
	f("HEAD", "/v1.41/containers/"+id+"/archive", false)
	f("POST", "/v1.41/containers/create", false)
	f("POST", "/v1.41/containers/"+id+"/exec", false)
	f("POST", "/v1.41/build", false)
	f("PUT", "/v1.41/containers/"+id+"/archive", false)
	f("DELETE", "/v1.41/containers/"+id, false)
}
