package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"maps"
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
	"tallyman/collector/jsonfile"
	"tallyman/metrics"
	"tallyman/routes"
)

var update = flag.Bool("update", false, "write the generated pages anew")

const configurationPage = moduleRoot + "/docs/configuration.md"

// TestDocsConfiguration compares the page about all settings with the code.
func TestDocsConfiguration(t *testing.T) {
	want := configuration(t)
	if *update {
		if err := os.WriteFile(configurationPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says: run 'make docs'", configurationPage)
	}
}

// routeOption is an option of every route. Values holds one that is good, by
// which the test knows that the option exists.
type routeOption struct{ name, value, help string }

// routeOptions are what routes read of a URI themselves.
func routeOptions() []routeOption {
	return []routeOption{
		{"name", "audit", "Name under which the route's positions are kept, in place of its adapter, address and filters."},
		{"backlog", "true", "`true` or `false`: whether logs of containers that were there before the route are read from their oldest line. The default is that of `--backlog`."},
		{"filter.id", "0242ac11", "Beginning of the container's ID, up to all 64 digits."},
		{"filter.name", "web_*", "Pattern of the container's name: `*` is any text without a slash, `?` one character, `[a-z]` one of a set."},
		{"filter.labels", "app:web*", "Items separated by commas, all of which must fit: `label:pattern`, or `label` alone for a container that has it. In these patterns `*` is any text, slashes too."},
		{"filter.sources", "stderr", "`stdout` or `stderr`: the only stream to deliver."},
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
	writeMetrics(t, &p)
	return p.Bytes()
}

func writeCommandLine(p *page) {
	_, usage, _ := strings.Cut(helpText, "Usage:\n")
	usage, _, _ = strings.Cut(usage, "\n\n")
	p.say("## Command line\n")
	p.say("%s\n", strings.ReplaceAll("\n"+usage, "\n", "\n  ")[1:])
	p.say("What cannot be understood ends the program with exit code 2 and a message that names the word and those that are")
	p.say("known. Every flag has a variable; a flag on the command line comes first.\n")
	p.head("flag", "variable", "default", "meaning")
	for _, s := range settings() {
		p.row(code("--"+s.flag), code(s.env), code(s.value), s.help)
	}
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

func writeMetrics(t *testing.T, p *page) {
	t.Helper()
	p.say("## Metrics\n")
	p.say("`/metrics` is read from the kernel when it is scraped. Beside what is listed here it has the families `go_*`,")
	p.say("`process_*` and `promhttp_*` of the agent itself.\n")
	p.say("### Containers and the machine\n")
	p.say("Names, types, labels and meanings are cAdvisor's. Those of containers have the labels `id`, `name`, `image` and")
	p.say("`container_label_*` besides the ones below; `id=\"/\"` is the whole machine. A container has those families that")
	p.say("its kernel tells.\n")
	p.head("family", "type", "labels", "meaning")
	for _, f := range hostFamilies(t) {
		p.row(code(f.name), f.kind, code(strings.Join(f.labels, "`, `")), f.help)
	}
	p.say("\n### The agent\n")
	p.head("family", "type", "labels", "meaning")
	for _, f := range ownFamilies(t) {
		p.row(code(f.name), f.kind, code(strings.Join(f.labels, "`, `")), f.help)
	}
}

// hostFamilies reads the families from the golden files of package metrics.
func hostFamilies(t *testing.T) []family {
	t.Helper()
	goldens, err := filepath.Glob(moduleRoot + "/metrics/testdata/*.prom")
	if err != nil || len(goldens) == 0 {
		t.Fatalf("looking for golden files of metrics: %d found, %v", len(goldens), err)
	}
	found := make(map[string]*family)
	for _, name := range goldens {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(file)
		if err := cmp.Or(err, file.Close()); err != nil {
			t.Fatalf("reading %s: %v", name, err)
		}
		for _, mf := range families {
			if strings.HasPrefix(mf.GetName(), "tallyman_") {
				continue
			}
			if found[mf.GetName()] == nil {
				found[mf.GetName()] = newFamily(mf)
			}
		}
	}
	return sorted(found)
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
	a := &agent{
		logger: logger, registry: prometheus.NewRegistry(),
		table:     routes.NewTable(routes.TableConfig{Logger: logger}),
		collector: collector.New(collector.Config{Logger: logger}),
	}
	a.usage = metrics.NewContainers(metrics.Options{Containers: a.collector.Containers})
	defer a.usage.Close()
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
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		a.table.Describe(descriptions)
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
