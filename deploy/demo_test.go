package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo runs the demonstration, without Grafana, in images made of this
// machine's programs: a container's lines arrive at rsyslog and NATS, and
// Prometheus has the agent's metrics and the rules.
func TestDemo(t *testing.T) {
	t.Parallel()
	loadImage(t)
	needCommands(t, "prometheus", "rsyslogd")
	help := run(t, build(t, "tallyman/cmd/tallyman"), "help")
	need(t, strings.Contains(help, "\nnats: "), "an agent with the adapter nats")
	image := generator(t)
	writeImage(t, prometheusImage, "/usr/bin/prometheus", "/usr/bin/prometheus")
	modules, err := filepath.Glob("/usr/lib/*/rsyslog/*.so")
	if err != nil || len(modules) == 0 {
		t.Fatalf("rsyslog has %d modules, %v", len(modules), err)
	}
	var wanted []string
	for _, m := range modules {
		switch filepath.Base(m) {
		case "imtcp.so", "lmnet.so", "lmnetstrms.so", "lmnsd_ptcp.so", "lmtcpsrv.so":
			wanted = append(wanted, m)
		}
	}
	writeImage(t, rsyslogImage, "/usr/sbin/rsyslogd", "/usr/sbin/rsyslogd", wanted...)
	writeImage(t, natsImage, build(t, natsServer), "/nats-server")

	prometheus := freeAddress(t)
	p := newProject(t, "demo.yaml", "PROMETHEUS_IMAGE="+prometheusImage, "RSYSLOG_IMAGE="+rsyslogImage, "NATS_IMAGE="+natsImage,
		"PROMETHEUS_PORT="+prometheus)
	p.compose("up", "--detach", "tallyman", "prometheus", "rsyslog", "nats")
	waitHealthy(t, p.address)
	wantHardened(t, p.container("tallyman"), "")
	const lines = 5000
	name := runContainer(t, "demo", nil, image, "gen", "-name", "demo", "-lines", fmt.Sprint(lines), "-hold", "3m")
	// Tags are cut at 48 characters.
	waitForLines(t, p.container("rsyslog"), "/logs/"+name[:min(len(name), 48)]+".log", lines)
	for _, query := range []string{
		fmt.Sprintf(`sum(tallyman_container_lines_total{name=%q,route=~"nats.*",outcome="delivered"}) >= %d`, name, lines),
		`up{job="tallyman"} == 1`,
		fmt.Sprintf(`service:container_age_seconds:max{service=%q}`, name),
	} {
		waitForResult(t, prometheus, query)
	}
}
