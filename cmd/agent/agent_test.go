package agent

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestUsage: what is written wrongly ends with code 2, the offending word, and
// the known ones.
func TestUsage(t *testing.T) {
	f := func(args string, env map[string]string, want ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), testBuild(), strings.Fields(args), func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		}, &stdout, &stderr)
		if code != exitUsage {
			t.Fatalf("%q exits with %d: %s", args, code, stderr.String())
		}
		for _, word := range want {
			if !strings.Contains(stderr.String(), word) {
				t.Fatalf("%q says %q, which does not hold %q", args, stderr.String(), word)
			}
		}
	}
	f("--nonsense", nil, "--nonsense", "--listen")
	f("nonsense", nil, `"nonsense"`, "version")
	f("--listen 8000", nil, `"8000"`, "host:port")
	f("--log-level loud", nil, `"loud"`, "debug")
	f("--log-format xml", nil, `"xml"`, "json")
	f("kafka://a:1", nil, `"kafka"`, "syslog+tcp")
	f("syslog+carrier://a:1", nil, `"carrier"`, "tls")
	f("syslog://a:1?colour=red", nil, `"colour"`, "structured_data")
	f("syslog://a:1?format=rfc1", nil, `"rfc1"`, "rfc5424")
	f("syslog://a:1?filter.nam=x", nil, `"filter.nam"`, "filter.name")
	f("syslog://a:1?filter.sources=stdin", nil, `"stdin"`, "stdout")
	f("raw://a", nil, "port")
	f("", map[string]string{"ROUTE_URIS": "syslog://a:1,kafka://b:2"}, `"kafka"`)
	f("", map[string]string{"TALLYMAN_LISTEN": "nowhere"}, `"nowhere"`)
	f("", map[string]string{"BACKLOG": "perhaps"}, `"perhaps"`)
	f("", map[string]string{"TAIL": "some"}, `"some"`, "TAIL", "all")
	f("", map[string]string{"INACTIVITY_TIMEOUT": "5"}, `"5"`, "INACTIVITY_TIMEOUT", "1m30s")
}

func TestVersionAndHelp(t *testing.T) {
	f := func(arg, want string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), testBuild(), []string{arg}, func(string) (string, bool) { return "", false }, &stdout, &stderr)
		if code != exitOK || !strings.Contains(stdout.String(), want) || stderr.Len() > 0 {
			t.Fatalf("%s exits with %d and says %q, %q", arg, code, stdout.String(), stderr.String())
		}
	}
	f("version", "tallyman unreleased")
	f("help", "TALLYMAN_STATE_DIR")
	f("help", "filter.sources")
	f("help", "RAW_FORMAT")
}

// TestWithoutEngine: the agent says what is missing, serves, and stops cleanly.
func TestWithoutEngine(t *testing.T) {
	missing := "unix://" + t.TempDir() + "/no.sock"
	p := startAgent(t, t.TempDir(), []string{"DOCKER_HOST=" + missing})
	p.eventually("/health says what is missing", func() bool {
		code, body, err := p.get("/health")
		return err == nil && code == http.StatusServiceUnavailable &&
			strings.Contains(body, "container engine") && strings.Contains(body, "no.sock")
	})
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	health := exec.Command(binary, "health", "--listen", p.listen)
	if out, err := health.CombinedOutput(); health.ProcessState.ExitCode() != exitFailed {
		t.Fatalf("tallyman health: %v\n%s", err, out)
	}
	if up, ok := p.metric("tallyman_engine_up"); !ok || up != 0 {
		t.Fatalf("tallyman_engine_up is %v, %v", up, ok)
	}
	p.eventually("the banner comes all the same", func() bool {
		return strings.Contains(p.output.String(), "not reached")
	})
	if n := strings.Count(p.output.String(), "the container engine cannot be reached"); n != 1 {
		t.Fatalf("the missing engine was said %d times:\n%s", n, p.output)
	}
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
}

// TestUnreadableContainer: a container whose driver leaves no file is named with
// the reason, and the agent is healthy.
func TestUnreadableContainer(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	host := jsonFile(nil)
	host.LogConfig.Type = "none"
	id := d.create("unreadable", host, "-lines", "1", "-hold", "1m")
	d.start(id)
	p := startReady(t, t.TempDir())
	code, body, err := p.get("/health")
	if err != nil || code != http.StatusOK || !strings.Contains(body, `"none"`) {
		t.Fatalf("/health says %d %q, %v", code, body, err)
	}
	if !strings.Contains(p.output.String(), "log cannot be read") {
		t.Fatalf("the log does not say it:\n%s", p.output)
	}
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "health", "--listen", p.listen).CombinedOutput(); err != nil {
		t.Fatalf("tallyman health: %v\n%s", err, out)
	}
}

// TestMetricsOfARealContainer scrapes the agent and lets promtool read it.
func TestMetricsOfARealContainer(t *testing.T) {
	besideOthers(t)
	promtool, err := exec.LookPath("promtool")
	need(t, err == nil, "promtool")
	d := newDocker(t)
	host := jsonFile(nil)
	host.Memory = 128 << 20
	host.NanoCPUs = 5e8
	id := d.create("scraped", host, "-lines", "1000", "-hold", "2m")
	d.start(id)
	p := startReady(t, t.TempDir(), "--backlog", "--log-levels", "file://"+t.TempDir()+"/{name}.log?"+filterLabel("scraped"))
	inspect, err := d.client.ContainerInspect(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(inspect.Name, "/")
	var body string
	sum := func(family string) (total int) {
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, family+"{") && strings.Contains(line, fmt.Sprintf("name=%q", name)) {
				n := 0
				if _, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &n); err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
		return total
	}
	p.eventually("the container and its lines are in a scrape", func() bool {
		_, body, err = p.get("/metrics")
		return err == nil && sum("tallyman_container_log_lines_total") == 1000
	})
	if levels := sum("tallyman_container_log_level_lines_total"); levels != 1000 {
		t.Errorf("%d lines are counted by level", levels)
	}
	want := func(family string, value float64) {
		t.Helper()
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, family+"{") && strings.Contains(line, fmt.Sprintf("name=%q", name)) {
				var got float64
				if _, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &got); err != nil {
					t.Fatal(err)
				}
				if got != value {
					t.Fatalf("%s is %v, want %v", family, got, value)
				}
				return
			}
		}
		t.Fatalf("there is no %s of the container", family)
	}
	want("container_spec_memory_limit_bytes", 128<<20)
	want("container_spec_cpu_period", 100000)
	want("container_spec_cpu_quota", 50000)
	started, err := time.Parse(time.RFC3339Nano, inspect.State.StartedAt)
	if err != nil {
		t.Fatal(err)
	}
	want("container_start_time_seconds", float64(started.Unix()))

	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = strings.NewReader(body)
	out, err := check.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// cAdvisor's and node_exporter's own names break the rules; ours do not.
		if !strings.HasPrefix(line, "container_") && !strings.HasPrefix(line, "machine_") && !strings.HasPrefix(line, "cadvisor_") && !strings.HasPrefix(line, "node_memory_") {
			t.Errorf("promtool says: %s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
}

// TestLogsSelectors: /logs/name: and /logs/id: show bare lines of one container.
func TestLogsSelectors(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	id := d.create("selected", jsonFile(nil), "-lines", "20", "-wait", "1500ms", "-rate", "50", "-stderr-every", "2")
	p := startReady(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	byID := view(ctx, t, p, "/logs/id:"+id[:12])
	errs := view(ctx, t, p, "/logs/id:"+id+"?sources=stderr")
	d.start(id)
	p.eventually("the last line has come", func() bool { return byID.has("seq=20 ") && errs.has("seq=20 ") })
	if errs.has("seq=19 ") {
		t.Fatal("stdout is shown though stderr was asked for")
	}
	if !byID.has("seq=19 ") || byID.has("|") {
		t.Fatal("the view of one container is not its bare lines")
	}
	for _, path := range []string{"/logs/label:x", "/logs/id:XYZ", "/logs?sources=stdin"} {
		if code, body, err := p.get(path); err != nil || code != http.StatusBadRequest {
			t.Fatalf("%s answers %d %q, %v", path, code, body, err)
		}
	}
}
