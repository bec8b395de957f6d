package metrics

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ask makes a request of a handler.
func ask(handler http.Handler, headers ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

// parse reads the text format with the library's own parser.
func parse(t testing.TB, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Error(err)
	}
	return families
}

// scrape asks a handler for the text format. It may be called by any goroutine.
func scrape(t testing.TB, handler http.Handler) map[string]*dto.MetricFamily {
	t.Helper()
	return parse(t, ask(handler).Body.Bytes())
}

// inOrder returns the names of the families in the order of their headings.
func inOrder(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}

// allKinds returns sources of a fixture that show everything.
func allKinds(t testing.TB, base string, pid int) []Source {
	t.Helper()
	return []Source{
		newContainers(t, Options{Containers: always(web(pid)), Root: fixture(base), Kinds: Kinds(0).Without(), EnvWhitelist: []string{"APP"}}),
		NewMachine(MachineOptions{Root: fixture(base), Kinds: Kinds(0).Without()}),
	}
}

// What is written directly is, byte for byte, what the library writes of what its
// own parser has read.
func TestTextIsThatOfTheLibrary(t *testing.T) {
	f := func(base string, pid int) {
		t.Helper()
		text := exposition(allKinds(t, base, pid)...)
		families := parse(t, text)
		var again bytes.Buffer
		for _, name := range inOrder(string(text)) {
			if _, err := expfmt.MetricFamilyToText(&again, families[name]); err != nil {
				t.Fatal(err)
			}
		}
		compareLines(t, base, string(text), again.String())
	}
	f("v1-cgroupfs", 5733)
	f("v2-systemd", 2210)
}

// The library would rename counters whose name does not end in _total, so they
// are handed to it as of unknown type.
func TestOpenMetricsIsThatOfTheLibrary(t *testing.T) {
	sources := allKinds(t, "v2-systemd", 2210)
	page := ask(NewHandler(nil, nil, sources...), "Accept", "application/openmetrics-text; version=1.0.0")
	if got := page.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") {
		t.Fatalf("the type is %q", got)
	}
	text := exposition(sources...)
	families := parse(t, text)
	var again bytes.Buffer
	for _, name := range inOrder(string(text)) {
		family := families[name]
		if family.GetType() == dto.MetricType_COUNTER && !strings.HasSuffix(name, "_total") {
			family.Type = dto.MetricType_UNTYPED.Enum()
			for _, metric := range family.Metric {
				metric.Untyped, metric.Counter = &dto.Untyped{Value: metric.Counter.Value}, nil
			}
		}
		if _, err := expfmt.MetricFamilyToOpenMetrics(&again, family); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := expfmt.FinalizeOpenMetrics(&again); err != nil {
		t.Fatal(err)
	}
	compareLines(t, "OpenMetrics", steady(page.Body.String()), steady(again.String()))
}

// steady replaces what changes with the clock.
func steady(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		for _, name := range []string{"container_last_seen{", "tallyman_scrape_duration_seconds "} {
			if strings.HasPrefix(line, name) {
				line = line[:strings.LastIndexByte(line, ' ')] + " 0\n"
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

func TestGzip(t *testing.T) {
	handler := NewHandler(nil, nil, NewMachine(MachineOptions{Root: fixture("v2-systemd")}))
	plain := ask(handler).Body.String()
	for range 3 {
		page := ask(handler, "Accept-Encoding", "deflate, gzip;q=0.5")
		if page.Header().Get("Content-Encoding") != "gzip" {
			t.Fatal("gzip was asked for and not served")
		}
		reader, err := gzip.NewReader(page.Body)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := io.ReadAll(reader)
		if err != nil || string(unpacked) != plain {
			t.Errorf("unpacked %d bytes, want %d: %v", len(unpacked), len(plain), err)
		}
	}
	f := func(list string, want bool) {
		t.Helper()
		if got := wantsGzip(http.Header{"Accept-Encoding": {list}}); got != want {
			t.Errorf("wantsGzip(%q) = %v", list, got)
		}
	}
	f("", false)
	f("gzip", true)
	f("br, GZIP ; q=1", true)
	f("gzip;q=0", false)
	f("gzipped", false)
}

// What is registered with the library is on the page, in both formats.
func TestGathererIsOnThePage(t *testing.T) {
	registry := prometheus.NewRegistry()
	own := prometheus.NewCounter(prometheus.CounterOpts{Name: "own_total", Help: "Own."})
	registry.MustRegister(own)
	own.Inc()
	handler := NewHandler(registry, nil, NewMachine(MachineOptions{Root: fixture("v2-systemd")}))
	families := scrape(t, handler)
	if families["own_total"].GetMetric()[0].GetCounter().GetValue() != 1 || families["machine_cpu_cores"] == nil {
		t.Errorf("families %v", families)
	}
	text := ask(handler, "Accept", "application/openmetrics-text").Body.String()
	if !strings.Contains(text, "\nown_total 1.0\n") || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("OpenMetrics page ends with %q", text[max(0, len(text)-200):])
	}
}

// slowSource counts how often it is asked, and answers when it may.
type slowSource struct {
	mu    sync.Mutex
	asked int
	entry chan struct{}
	leave chan struct{}
}

func (s *slowSource) write(w *writer) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	s.entry <- struct{}{}
	<-s.leave
	w.block = new(block)
	w.begin(&description{name: "slow", help: "Slow."})
	w.with(1)
}

func TestScrapesAtOnceDoTheWorkOnce(t *testing.T) {
	source := &slowSource{entry: make(chan struct{}, 9), leave: make(chan struct{})}
	handler := NewHandler(nil, nil, source)
	var scrapes sync.WaitGroup
	bodies := make([]string, 5)
	for i := range bodies {
		scrapes.Go(func() { bodies[i] = ask(handler).Body.String() })
	}
	<-source.entry
	waitFor(t, "all to wait for one page", func() bool {
		handler.mu.Lock()
		defer handler.mu.Unlock()
		page := handler.waiting[format{}]
		return page != nil && page.users == len(bodies)
	})
	close(source.leave)
	scrapes.Wait()
	if source.asked != 1 || slices.ContainsFunc(bodies, func(body string) bool { return body != bodies[0] || body == "" }) {
		t.Errorf("the work was done %d times, for %q", source.asked, bodies)
	}
	// The next one is made anew.
	ask(handler)
	if source.asked != 2 {
		t.Errorf("a later scrape was served an old page")
	}
}
