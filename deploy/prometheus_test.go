package deploy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestRules lets promtool check the configuration and run the rules' tests.
func TestRules(t *testing.T) {
	t.Parallel()
	needCommands(t, "promtool")
	run(t, "promtool", "check", "config", "prometheus/prometheus.yml")
	tests, err := filepath.Glob("prometheus/tests/*.yml")
	if err != nil || len(tests) == 0 {
		t.Fatalf("%d files of tests, %v", len(tests), err)
	}
	run(t, "promtool", append([]string{"test", "rules"}, tests...)...)

	alerts, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var tested strings.Builder
	for _, name := range tests {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tested.Write(text)
	}
	names := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(string(alerts), -1)
	if len(names) < 10 {
		t.Fatalf("%d alerts were found", len(names))
	}
	for _, m := range names {
		fires := regexp.MustCompile(`alertname: ` + m[1] + `\n +exp_alerts:`)
		if !fires.MatchString(tested.String()) {
			t.Errorf("no test shows that %s fires", m[1])
		}
	}
}

// TestMetricsAreKnown: the rules and dashboards ask for nothing that the agent
// does not have, as promtool's tests, which make up their series, would not see.
func TestMetricsAreKnown(t *testing.T) {
	known := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(readPage(t, "../docs/metrics.md"), -1) {
		known[m[1]] = true
	}
	var asked strings.Builder
	for _, name := range []string{"recording.yml", "alerts.yml"} {
		asked.WriteString(readPage(t, filepath.Join("prometheus", name)))
	}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				asked.WriteString(target.Expr + "\n")
			}
		}
	}
	names := regexp.MustCompile(`(?:^|[^:\w])((?:container|machine|tallyman)_[a-z0-9_]+)\b[^:]`).FindAllStringSubmatch(asked.String(), -1)
	if len(names) < 50 {
		t.Fatalf("only %d names were found", len(names))
	}
	for _, m := range names {
		if !known[m[1]] && !strings.HasPrefix(m[1], "container_label_") {
			t.Errorf("no metric is named %s", m[1])
		}
	}
}

// TestDashboards runs every query of every dashboard against a Prometheus that
// scrapes an agent with routes that work, fail, drop and alter.
func TestDashboards(t *testing.T) {
	t.Parallel()
	needEngine(t)
	needCommands(t, "prometheus")
	image := generator(t)
	sink := newSink(t)
	name := runContainer(t, "graphed", []string{"--memory", "64m", "--cpus", "0.5"}, image,
		"gen", "-name", "graphed", "-lines", "0", "-rate", "200", "-size", "1000")
	agent, down := freeAddress(t), freeAddress(t)
	const filter = "filter.name=tallyman-deploy-test-graphed-*"
	start(t, nil, build(t, "tallyman/cmd/tallyman"), "--listen", agent, "--state-dir", t.TempDir(), "--container-tally",
		"syslog+tcp://"+sink+"?"+filter,
		"syslog+tcp://"+down+"?"+filter,
		"raw+tcp://"+sink+"?format={{index .Data 9999}}&"+filter,
		"syslog+udp://127.0.0.1:9?udp.max_bytes=480&"+filter)
	prometheus := startPrometheus(t, agent)
	waitForResult(t, prometheus, fmt.Sprintf(`changes(container_cpu_usage_seconds_total{name=%q}[20s]) > 2`, name))

	variables := strings.NewReplacer("$__rate_interval", "10s", "$__range", "1m", "$instance", ".*", "$route", ".*", "$name", name)
	var queries []string
	for _, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if m := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Definition); m != nil {
				queries = append(queries, variables.Replace(fmt.Sprintf(`count by (%s) (%s)`, m[2], m[1])))
			} else if v.Type == "query" {
				t.Errorf("%s: the variable %s is not understood: %q", d.Title, v.Name, v.Definition)
			}
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				queries = append(queries, variables.Replace(target.Expr))
			}
		}
	}
	waitForResult(t, prometheus, queries...)
}

// startPrometheus starts a Prometheus with the rules of this folder that scrapes
// an agent every second, and returns its address.
func startPrometheus(t *testing.T, agent string) string {
	t.Helper()
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("tallyman:80", agent, "interval: 15s", "interval: 1s").Replace(string(text))
	dir := t.TempDir()
	for _, name := range []string{"recording.yml", "alerts.yml"} {
		rules, err := os.ReadFile(filepath.Join("prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), rules, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	start(t, nil, "prometheus", "--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	return address
}

// waitForResult waits until each of the queries has had a result with a number
// in it.
func waitForResult(t *testing.T, prometheus string, queries ...string) {
	t.Helper()
	eventually(t, "each query has data", func() (bool, string) {
		queries = slices.DeleteFunc(queries, func(query string) bool { return hasResult(t, prometheus, query) })
		return len(queries) == 0, "nothing for " + strings.Join(queries, "\n")
	})
}

// hasResult reports whether a query has a result with a number in it. The test
// fails for a query that Prometheus does not understand.
func hasResult(t *testing.T, prometheus, query string) bool {
	t.Helper()
	code, body, err := get(prometheus, "/api/v1/query?query="+url.QueryEscape(query))
	if code == http.StatusBadRequest || code == http.StatusUnprocessableEntity {
		t.Fatalf("the query %s: %s", query, body)
	}
	if err != nil || code != http.StatusOK {
		return false // It is starting.
	}
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("reading the answer to %s: %v", query, err)
	}
	return slices.ContainsFunc(answer.Data.Result, func(r struct{ Value [2]any }) bool { return r.Value[1] != "NaN" })
}

// newSink returns the address of a server that takes everything over TCP.
func newSink(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			readers.Go(func() {
				_, _ = io.Copy(io.Discard, conn) // It ends with the agent.
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		readers.Wait()
	})
	return listener.Addr().String()
}
