package agent

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tallyman/adapters/all"
	"tallyman/collector"
	"tallyman/collector/apilog"
	"tallyman/collector/checkpoint"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/collector/spool"
	"tallyman/metrics"
	"tallyman/routes"
)

var update = flag.Bool("update", false, "write the generated pages anew")

// moduleRoot is where this module lies from here.
const moduleRoot = "../.."

// TestDocsConfiguration compares the page about all settings with the code.
func TestDocsConfiguration(t *testing.T) {
	wantPage(t, "configuration.md", configuration(t))
}

// TestDocsMetrics compares the page about all metrics with the code.
func TestDocsMetrics(t *testing.T) {
	var p page
	writeMetrics(t, &p)
	wantPage(t, "metrics.md", p.Bytes())
}

// wantPage compares a page in docs with what the code says, or writes it.
func wantPage(t *testing.T, name string, want []byte) {
	t.Helper()
	name = filepath.Join(moduleRoot, "docs", name)
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says: run 'make docs'", name)
	}
}

// routeOption is an option of every route. Values holds one that is good, by
// which the test knows that the option exists.
type routeOption struct{ name, value, help string }

// routeOptions are what routes read of a URI themselves.
func routeOptions() []routeOption {
	return []routeOption{
		{"name", "audit", "Name by which containers choose the route, and under which the route's positions are kept, in place of its adapter, address and filters."},
		{"backlog", "true", "`true` or `false`: whether logs of containers that were there before the route are read from their oldest line. The default is that of `--backlog`."},
		{"tail", "100", "How many lines at most the route begins with of each log that was there before it, or `all`. It asks for these lines, as `backlog=true` does, unless `backlog=false`. The default is that of `--tail`, which only bounds what `backlog` and `since` ask for. Of logs that are read through the engine's API it counts lines, but the engine is asked for as many of its own records, of which a line longer than 16 KiB has several."},
		{"since", "1h", "Where in the past the route begins: so long before it was first met, such as `1h30m`, or a time, such as `2006-01-02T15:04:05Z`. Older lines count as filtered."},
		{"filter.id", "0242ac11", "Beginning of the container's ID, up to all 64 digits."},
		{"filter.name", "web_*,!*_test", "Patterns of the container's name, separated by commas, one of which must fit: `*` is any text, `?` one character, `[a-z]` one of a set. One behind a `!` must not fit."},
		{"filter.image", "nginx:*,!*-debug", "The same for the image, as it was named when the container was made."},
		{"filter.project", "shop", "The same for the project of Docker Compose."},
		{"filter.service", "web,api", "The same for the service of Docker Compose."},
		{"filter.swarm", "shop_*", "The same for the service of a swarm."},
		{"filter.labels", "app:web*|app:api,!internal", "Conditions separated by commas, all of which must hold: `label:pattern`, or `label` alone for a container that has it. Behind a `!` a condition holds where it would not; of several separated by `|` one must hold."},
		{"filter.sources", "stderr", "`stdout` or `stderr`: the only stream to deliver."},
		{"filter.include", "order|payment", "Expression of [RE2](https://github.com/google/re2/wiki/Syntax): only lines of which some part matches. The filters for lines see them without escape sequences if `ansi=strip`, and joined."},
		{"filter.exclude", "^GET%20/health", "The same: lines of which no part matches."},
		{"filter.level", "warning", "Least level of a line: `trace`, `debug`, `info`, `notice`, `warning`, `error`, `critical`, `alert` or `emergency`, as the line names it in JSON, logfmt, klog's way or a word. A line that names none counts as an error on stderr and as info on stdout."},
		{"ansi", "strip", "`strip` takes off colours and other escape sequences of terminals; `keep` is the default."},
		{"multiline", "java", "Joins the lines of a message: `java`, `python`, `go`, `ruby` or `dotnet` for that language's stack traces, or an expression that the first line of a message matches. Each container's streams are joined by themselves, up to 1000 lines or 256 KiB. The scheme `multiline+…` stands for Logspout's defaults and variables."},
		{"multiline.mode", "nonfirst&multiline=%5E%5Cs", "What it means that a line matches the expression: it is the `first` of a message (the default), a `nonfirst` one, the `last`, or a `nonlast` one."},
		{"multiline.separator", "%20", "Text between two lines that are joined; a newline by default."},
		{"multiline.flush", "2s", "How long a message waits for its next line, 500ms by default."},
		{"multiline.optin", "true", "`true`: lines are joined only for containers with the label `tallyman.multiline=true` or the variable `LOGSPOUT_MULTILINE=true`."},
		{"sample", "1/10", "Part of the lines to deliver, such as `0.1` or `1/10`. The others count as dropped for the reason `sampled`."},
		{"rate", "100/s", "How many lines of each container are delivered in a second, minute or hour: `100/s`, `6000/m`, `10/h`. The others count as dropped for the reason `rate`, and every 10 s at most a line says how many they were."},
		{"redact", "email,card", "Secrets to be replaced by `[redacted:…]`: `bearer` for tokens behind that word, `card` for card numbers with a right check digit, `email` for addresses."},
		{"redact.pin", "pin=(%5Cd%2B)", "Under a name of one's own, such as `pin`, an expression of what is to be replaced: its first group, or all that matches."},
	}
}

// engineVariables are the variables of Docker's own client.
var engineVariables = []struct{ name, help string }{
	{"DOCKER_HOST", "Address of the engine, such as `unix:///var/run/docker.sock` (the default) or `tcp://host:2376`."},
	{"DOCKER_TLS_VERIFY", "Any text: use TLS and verify the engine's certificate."},
	{"DOCKER_CERT_PATH", "Folder of `ca.pem`, `cert.pem` and `key.pem`; `~/.docker` by default."},
	{"DOCKER_API_VERSION", "Version of the API to speak, in place of the newest that both sides know."},
}

// page writes Markdown.
type page struct{ bytes.Buffer }

func (p *page) say(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) row(cells ...string) {
	for _, cell := range cells {
		fmt.Fprintf(p, "| %s ", strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell))
	}
	p.say("|")
}

func (p *page) head(cells ...string) {
	p.row(cells...)
	p.say("|%s", strings.Repeat("---|", len(cells)))
}

// code writes a word as code, and nothing for an empty one.
func code(word string) string {
	if word == "" {
		return ""
	}
	return "`" + strings.NewReplacer("\n", `\n`).Replace(word) + "`"
}

func configuration(t *testing.T) []byte {
	t.Helper()
	var p page
	p.say("# Configuration\n")
	p.say("This page is made from the code by `make docs`; `make check` fails when it is stale.\n")
	writeCommandLine(&p)
	writeRoutes(t, &p)
	writeAdapters(&p)
	return p.Bytes()
}

func writeCommandLine(p *page) {
	_, usage, _ := strings.Cut(helpText, "Usage:\n")
	usage, _, _ = strings.Cut(usage, "\n\n")
	p.say("## Command line\n")
	p.say("```text\n%s\n```\n", strings.ReplaceAll("\n"+usage, "\n  ", "\n")[1:])
	p.say("What cannot be understood ends the program with exit code 2 and a message that names the word and those that are")
	p.say("known. Every flag has a variable; a flag on the command line comes first.\n")
	p.head("flag", "variable", "default", "meaning")
	for _, s := range settings() {
		p.row(code("--"+s.flag), code(s.env), code(s.value), s.help)
	}
	p.say("\nAn empty variable counts for nothing. `EXCLUDE_LABEL` is read where `EXCLUDE_LABELS` is not set. `TALLYMAN_AUTH_TOKEN`")
	p.say("holds a token as `--auth-token-file` does. `HTTP_BIND_ADDRESS` (`0.0.0.0`) with `PORT` or `HTTP_PORT` (`80`), where")
	p.say("one of them is set and `TALLYMAN_LISTEN` is not, are Logspout's way to say `--listen`, and any text in `DEBUG` its way to say `--log-level debug`.")
	p.say("\n`ROUTE_URIS` holds routes, separated by commas, and is read when the command line has none.\n")
	p.say("The engine is found as Docker's own client finds it:\n")
	p.head("variable", "meaning")
	for _, v := range engineVariables {
		p.row(code(v.name), v.help)
	}
	p.say("")
}

func writeRoutes(t *testing.T, p *page) {
	t.Helper()
	catalog := routes.Catalog{Adapters: all.List()}
	p.say("## Routes\n")
	p.say("    adapter[+transport]://host:port[?option=value&…]\n")
	p.say("`$NAME` and `${NAME}` stand for variables of the environment. Commas separate routes only before the next")
	p.say("`scheme://`, so that values may hold them. Known schemes: %s.\n", code(strings.Join(catalog.Schemes(), "`, `")))
	p.say("Options of every route; a route wants what all of its filters want:\n")
	p.head("option", "meaning")
	for _, o := range routeOptions() {
		if _, err := catalog.Parse("raw+tcp://host:1?" + o.name + "=" + o.value); err != nil {
			t.Errorf("an option that the page describes is refused: %v", err)
		}
		p.row(code(o.name), o.help)
	}
	p.say("")
}

func writeAdapters(p *page) {
	p.say("## Adapters\n")
	p.say("The adapters' own pages say what is sent and what \"delivered\" means. An option in a route's URI replaces the")
	p.say("variable, which replaces the default.\n")
	for _, d := range all.List() {
		p.say("### %s\n", d.Name)
		p.say("%s See [its page](../adapters/%s/README.md).\n", d.Summary, d.Name)
		if len(d.Transports) > 0 {
			p.say("Transports: %s; the first is the default.", code(strings.Join(d.Transports, "`, `")))
		}
		for _, alias := range slices.Sorted(maps.Keys(d.Aliases)) {
			p.say("`%s://` is `%s+%s://`.", alias, d.Name, d.Aliases[alias])
		}
		p.say("")
		p.head("option", "default", "variable", "meaning")
		for _, o := range d.Options {
			help := o.Help
			if len(o.Values) > 0 {
				help += " Known: " + code(strings.Join(o.Values, "`, `")) + "."
			}
			if len(o.Transports) > 0 {
				help += " Over " + code(strings.Join(o.Transports, "`, `")) + " alone."
			}
			p.row(code(o.Name), code(o.Default), code(o.Env), help)
		}
		p.say("")
	}
}

// family is what the page tells of a metric.
type family struct {
	name, kind, help string
	labels           []string
}

func (p *page) families(list []family) {
	p.head("family", "type", "labels", "meaning")
	for _, f := range list {
		p.row(code(f.name), f.kind, code(strings.Join(f.labels, "`, `")), f.help)
	}
}

func writeMetrics(t *testing.T, p *page) {
	t.Helper()
	p.say("# Metrics\n")
	p.say("This page is made from the code by `make docs`; `make check` fails when it is stale.\n")
	p.say("`/metrics` is read from the kernel when it is scraped. Beside what is listed here it has the families `go_*` and")
	p.say("`process_*` of the agent itself. [operations.md](operations.md#prometheus-and-grafana) has rules, alerts and dashboards.\n")

	p.say("## Containers\n")
	p.say("Names, types, labels and meanings are cAdvisor's; [from-cadvisor.md](from-cadvisor.md) lists what differs. Each series has the")
	p.say("labels `id`, `name`, `image`, `container_label_*` and those below; `id=\"/\"` is the whole machine. A container has")
	p.say("those families that its kernel tells. The kind is the word by which `--disable-metrics` and `--enable-metrics` know")
	all, off := metrics.KindNames()
	p.say("a family, of %s. Those that are off by default: %s.\n", code(strings.Join(all, "`, `")), code(strings.Join(off, "`, `")))
	p.head("family", "type", "kind", "labels", "meaning")
	known := make(map[string]bool)
	for _, f := range metrics.Families() {
		known[f.Name] = true
		p.row(code(f.Name), f.Type, code(strings.Join(f.Kinds, "`, `")), code(strings.Join(f.Labels, "`, `")), f.Help)
	}

	p.say("\n## The machine\n")
	p.say("Of these the kind `cpu_topology`, which is off by default, has those that tell of nodes, threads and caches.\n")
	var machine []family
	for _, f := range scraped(t, metrics.NewMachine(metrics.MachineOptions{Root: hostFixture(t), Kinds: metrics.Kinds(0).Without()}),
		metrics.NewContainers(metrics.Options{Root: hostFixture(t), Containers: func() []*record.Container { return nil }})) {
		if !known[f.name] && !strings.HasPrefix(f.name, "tallyman_") {
			machine = append(machine, f)
		}
	}
	p.families(machine)

	p.say("\n## The host\n")
	p.say("As node_exporter names them; `--host-metrics=false` leaves them out.\n")
	var host []family
	for _, f := range scraped(t, metrics.NewHost(metrics.HostOptions{Root: hostFixture(t)})) {
		// The kernel's lines are many.
		if f.name == "node_memory_MemTotal_bytes" {
			f.name, f.help = "node_memory_NAME_bytes", "The line NAME of the kernel's /proc/meminfo, such as MemAvailable, in bytes."
		}
		host = append(host, f)
	}
	p.families(host)

	p.say("\n## The agent\n")
	p.families(ownFamilies(t))
}

// scraped returns the families that sources show.
func scraped(t *testing.T, sources ...metrics.Source) []family {
	t.Helper()
	answer := httptest.NewRecorder()
	metrics.NewHandler(nil, nil, sources...).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*family)
	for _, mf := range families {
		found[mf.GetName()] = newFamily(mf)
	}
	return sorted(found)
}

// hostFixture returns the root folder of a host that has everything of which
// there are metrics.
func hostFixture(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	const (
		cpu    = "sys/devices/system/cpu/"
		node   = "sys/devices/system/node/"
		dimm   = "sys/devices/system/edac/mc/mc0/dimm0/"
		stalls = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
	)
	for name, content := range map[string]string{
		"proc/stat": "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\nbtime 1795222228\n", "proc/meminfo": "MemTotal:  1024 kB\n",
		"proc/loadavg": "0.50 1.25 2.00 1/100 4242\n", "proc/diskstats": " 254 0 vda 1 1 1 1 1 1 1 1 1 1 1 0 0 0 0\n",
		"proc/pressure/cpu": stalls, "proc/pressure/memory": stalls, "proc/pressure/io": stalls,
		"proc/1/mountinfo": "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n", "proc/self/mountinfo": "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n",
		"proc/1/net/dev": "Inter-|\n face |\n  eth0: 10 1 2 3 0 0 0 0 20 4 5 6 0 0 0 0\n",
		cpu + "online":   "0\n", cpu + "cpu0/topology/core_id": "0\n", cpu + "cpu0/topology/physical_package_id": "0\n",
		cpu + "cpu0/topology/thread_siblings_list": "0\n", cpu + "cpu0/cache/index0/size": "32K\n",
		cpu + "cpu0/cache/index0/level": "1\n", cpu + "cpu0/cache/index0/type": "Data\n",
		node + "online": "0\n", node + "node0/cpulist": "0\n", node + "node0/meminfo": "Node 0 MemTotal: 1024 kB\n", node + "node0/distance": "10\n",
		node + "node0/hugepages/hugepages-2048kB/nr_hugepages": "0\n",
		dimm + "dimm_mem_type":                                 "DDR4\n", dimm + "size": "1024\n",
	} {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// newFamily describes a family, with the labels that are not every container's.
func newFamily(mf *dto.MetricFamily) *family {
	labels := make(map[string]bool)
	for _, m := range mf.GetMetric() {
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = true
		}
	}
	maps.DeleteFunc(labels, func(name string, _ bool) bool {
		return slices.Contains([]string{"id", "name", "image"}, name) ||
			strings.HasPrefix(name, "container_label_") || strings.HasPrefix(name, "container_env_")
	})
	return &family{
		name: mf.GetName(), kind: strings.ToLower(mf.GetType().String()), help: mf.GetHelp(),
		labels: slices.Sorted(maps.Keys(labels)),
	}
}

// descText is how a description of a metric is printed.
var descText = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// ownFamilies asks an agent that does not run for what it shows of itself. What
// is there only once there is a route is told by the descriptions, which have
// no type: the name tells it.
func ownFamilies(t *testing.T) []family {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	store, err := checkpoint.Open(t.TempDir(), logger)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	a := &agent{
		options: options{build: testBuild()},
		store:   store, budget: collector.NewBudget(0), logger: logger, registry: prometheus.NewRegistry(),
		table:     routes.NewTable(routes.TableConfig{Logger: logger}),
		collector: collector.New(collector.Config{Logger: logger}),
	}
	a.register()
	a.registry.MustRegister(new(jsonfile.Stats))
	gathered, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*family)
	for _, mf := range gathered {
		if strings.HasPrefix(mf.GetName(), "tallyman_") {
			found[mf.GetName()] = newFamily(mf)
		}
	}
	for _, f := range scraped(t, metrics.NewContainers(metrics.Options{Root: hostFixture(t), Containers: func() []*record.Container { return nil }})) {
		if strings.HasPrefix(f.name, "tallyman_scrape_") {
			found[f.name] = &f
		}
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		for _, c := range []prometheus.Collector{a.table, new(apilog.Stats), new(spool.Spool)} {
			c.Describe(descriptions)
		}
	}()
	for d := range descriptions {
		f := parseDesc(t, d)
		if found[f.name] == nil {
			found[f.name] = f
		}
	}
	return sorted(found)
}

func parseDesc(t *testing.T, d *prometheus.Desc) *family {
	t.Helper()
	parts := descText.FindStringSubmatch(d.String())
	if parts == nil {
		t.Fatalf("reading the description %q", d)
	}
	f := &family{kind: "gauge"}
	var err error
	if f.name, err = strconv.Unquote(parts[1]); err != nil {
		t.Fatal(err)
	}
	if f.help, err = strconv.Unquote(parts[2]); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(f.name, "_total") {
		f.kind = "counter"
	}
	if parts[3] != "" {
		f.labels = strings.Split(parts[3], ",")
	}
	return f
}

func sorted(families map[string]*family) []family {
	var list []family
	for _, name := range slices.Sorted(maps.Keys(families)) {
		list = append(list, *families[name])
	}
	return list
}
