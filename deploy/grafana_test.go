package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The parts of a dashboard as Grafana's model of it has them, schema version 39
// (kinds/dashboard of Grafana 10 to 12). Decoding is strict: a field that is not
// here is one that the dashboards do not need, or a misspelled one.
type (
	dashboard struct {
		UID, Title, Description, Refresh, Timezone string
		Tags                                       []string
		Editable                                   bool
		SchemaVersion, Version, GraphTooltip       int
		Time                                       struct{ From, To string }
		Links                                      []struct {
			Type, Title                       string
			Tags                              []string
			AsDropdown, IncludeVars, KeepTime bool
		}
		Templating  struct{ List []variable }
		Annotations struct{ List []json.RawMessage }
		Panels      []panel
	}
	datasource struct{ Type, UID string }
	variable   struct {
		Name, Label, Type, Definition, AllValue string
		Datasource                              *datasource
		// Query is a word for a variable of data sources, else an object.
		Query             json.RawMessage
		Current           struct{}
		Hide, Refresh     int
		Sort              int
		Multi, IncludeAll bool
	}
	panel struct {
		ID                       int
		Type, Title, Description string
		Collapsed                bool
		Panels                   []panel
		Datasource               *datasource
		GridPos                  struct{ X, Y, W, H int }
		Targets                  []struct {
			RefID, Expr, LegendFormat, Format string
			Datasource                        *datasource
			Instant, Range                    bool
		}
		FieldConfig struct {
			Defaults struct {
				Unit       string
				Min, Max   *float64
				Decimals   *int
				Custom     json.RawMessage
				Thresholds struct {
					Mode  string
					Steps []struct {
						Color string
						Value *float64
					}
				}
				Mappings json.RawMessage
				Color    json.RawMessage
				NoValue  string
			}
			Overrides []struct {
				Matcher struct {
					ID      string
					Options json.RawMessage
				}
				Properties []struct {
					ID    string
					Value json.RawMessage
				}
			}
		}
		Options         json.RawMessage
		Transformations []struct {
			ID      string
			Options json.RawMessage
		}
	}
)

// dashboardFolder is where the dashboards lie.
const dashboardFolder = "grafana/dashboards"

func dashboards(t *testing.T) []dashboard {
	t.Helper()
	files, err := filepath.Glob(dashboardFolder + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	var found []dashboard
	for _, name := range files {
		decoder := json.NewDecoder(strings.NewReader(readPage(t, name)))
		decoder.DisallowUnknownFields()
		var d dashboard
		if err := decoder.Decode(&d); err != nil {
			t.Fatalf("reading %s: %v", name, err)
		}
		found = append(found, d)
	}
	return found
}

// TestDashboardModel: the dashboards are as Grafana's model wants them, as far as
// that can be said without Grafana: they have UIDs, IDs, queries' letters and
// places of their own, kinds of panels and units that Grafana has, ask the data
// source that is chosen, and use no variable that is not there.
func TestDashboardModel(t *testing.T) {
	uids := make(map[string]bool)
	for _, d := range dashboards(t) {
		if d.UID == "" || len(d.UID) > 40 || uids[d.UID] || d.Title == "" {
			t.Errorf("%s: the UID %q is not its own, or longer than 40 characters", d.Title, d.UID)
		}
		uids[d.UID] = true
		if d.SchemaVersion < 36 || d.SchemaVersion > 42 || !slices.Contains(d.Tags, "tallyman") || d.Time.From == "" || d.Time.To == "" {
			t.Errorf("%s: schema version %d, tags %q, times %+v", d.Title, d.SchemaVersion, d.Tags, d.Time)
		}
		variables := []string{"__rate_interval", "__range", "__interval"}
		for i, v := range d.Templating.List {
			variables = append(variables, v.Name)
			switch {
			case v.Type == "datasource" && i == 0 && string(v.Query) == `"prometheus"`:
			case v.Type == "query" && v.Datasource != nil && v.Datasource.UID == "${datasource}" && strings.Contains(string(v.Query), `"refId"`):
			default:
				t.Errorf("%s: the variable %q is not as it should be", d.Title, v.Name)
			}
		}
		ids := make(map[int]bool)
		for i, p := range d.Panels {
			if p.ID < 1 || ids[p.ID] || p.Title == "" {
				t.Errorf("%s: the panel %d %q has no ID or title of its own", d.Title, p.ID, p.Title)
			}
			ids[p.ID] = true
			wantPanel(t, d.Title, p, variables)
			if g := p.GridPos; g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
				t.Errorf("%s: %q is beside the page", d.Title, p.Title)
			}
			for _, q := range d.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %q lies over %q", d.Title, p.Title, q.Title)
				}
			}
		}
	}
}

// usedVariable is a variable in a query or a legend; {{label}} is none.
var usedVariable = regexp.MustCompile(`\$\{?(\w+)`)

func wantPanel(t *testing.T, title string, p panel, variables []string) {
	t.Helper()
	if p.Type == "row" {
		if len(p.Targets) > 0 || p.GridPos.W != 24 || p.GridPos.H != 1 {
			t.Errorf("%s: the row %q is not one", title, p.Title)
		}
		return
	}
	if !slices.Contains([]string{"stat", "timeseries", "table", "bargauge", "gauge", "state-timeline"}, p.Type) {
		t.Errorf("%s: %q is a panel of the kind %q, which Grafana does not have built in", title, p.Title, p.Type)
	}
	if p.Datasource == nil || *p.Datasource != (datasource{"prometheus", "${datasource}"}) || len(p.Targets) == 0 || len(p.Options) == 0 {
		t.Errorf("%s: %q has no query, no options or another data source: %+v", title, p.Title, p.Datasource)
	}
	letters := make(map[string]bool)
	for _, target := range p.Targets {
		if target.RefID == "" || letters[target.RefID] || target.Expr == "" || target.Instant == target.Range {
			t.Errorf("%s: the query %q of %q: its letter is not its own, or it is not either instant or a range", title, target.RefID, p.Title)
		}
		letters[target.RefID] = true
		if target.Datasource == nil || *target.Datasource != *p.Datasource {
			t.Errorf("%s: the query %q of %q asks another data source", title, target.RefID, p.Title)
		}
		for _, m := range usedVariable.FindAllStringSubmatch(target.Expr+" "+target.LegendFormat, -1) {
			if !slices.Contains(variables, m[1]) {
				t.Errorf("%s: %q uses the variable %q, which is not there", title, p.Title, m[1])
			}
		}
	}
	// Units are IDs of Grafana's value formats.
	known := []string{
		"short", "none", "percent", "percentunit", "bytes", "decbytes", "Bps", "binBps", "s", "ms", "dtdurations", "pps", "ops", "iops",
		"cps", "reqps", "wps", "rps", "dateTimeFromNow", "bool_yes_no", "bool_on_off", "bool",
	}
	units := []string{p.FieldConfig.Defaults.Unit}
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if property.ID == "unit" {
				units = append(units, string(bytes.Trim(property.Value, `"`)))
			}
		}
	}
	for _, unit := range units {
		if unit != "" && !slices.Contains(known, unit) && !strings.HasPrefix(unit, "suffix:") {
			t.Errorf("%s: %q has the unit %q", title, p.Title, unit)
		}
	}
	for i, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if (step.Value == nil) != (i == 0) {
			t.Errorf("%s: the thresholds of %q do not begin with the one that has no value", title, p.Title)
		}
	}
}

// TestProvisioning: what demo.yaml mounts into Grafana, the provider of
// dashboards, the data source and the home dashboard fit each other and
// prometheus.yml.
func TestProvisioning(t *testing.T) {
	demo, provider := readPage(t, "compose/demo.yaml"), readPage(t, "grafana/provisioning/dashboards/tallyman.yml")
	source, scrape := readPage(t, "grafana/provisioning/datasources/prometheus.yml"), readPage(t, "prometheus/prometheus.yml")
	value := func(text, pattern string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no %s", pattern)
		}
		return m[1]
	}
	folder := value(provider, `^      path: (\S+)$`)
	if mounted := value(demo, `- \.\./grafana/dashboards:(\S+):ro$`); mounted != folder {
		t.Errorf("the dashboards are mounted at %s and looked for at %s", mounted, folder)
	}
	if mounted := value(demo, `- \.\./grafana/provisioning:(\S+):ro$`); mounted != "/etc/grafana/provisioning" {
		t.Errorf("Grafana does not look at %s", mounted)
	}
	home := value(demo, `GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: (\S+)$`)
	name, inside := strings.CutPrefix(home, folder+"/")
	if _, err := os.Stat(filepath.Join(dashboardFolder, name)); !inside || err != nil {
		t.Errorf("the home dashboard %s is not there", home)
	}
	if url := value(source, `^    url: (\S+)$`); url != "http://prometheus:9090" || !strings.Contains(demo, "\n  prometheus:\n") {
		t.Errorf("the data source asks %s", url)
	}
	if step, want := value(source, `timeInterval: (\S+)$`), value(scrape, `scrape_interval: (\S+)$`); step != want {
		t.Errorf("the data source believes in scrapes every %s, and they are every %s", step, want)
	}
	for _, text := range []string{provider, source} {
		if !strings.HasPrefix(text, "apiVersion: 1\n") {
			t.Errorf("it has no version:\n%s", text)
		}
	}
}
