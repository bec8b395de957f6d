package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/cmd/testkit"
)

// asProgram in the environment makes the test binary behave as tallybench, which
// drain starts under its own path.
const asProgram = "TALLYBENCH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestBench(t *testing.T) {
	asItself(t)
	results := filepath.Join(t.TempDir(), "results.json")
	f := func(want int, more ...string) {
		t.Helper()
		var out bytes.Buffer
		args := append([]string{"bench", "-lines", "20000", "-rounds", "2", "-dir", t.TempDir(), "-json", results}, more...)
		if err := run(t.Context(), args, std(&out)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "\nfloor ") {
			t.Errorf("table:\n%s", &out)
		}
		var written struct {
			Machine string
			Cases   []result
		}
		data, err := os.ReadFile(results)
		if err == nil {
			err = json.Unmarshal(data, &written)
		}
		if err != nil || len(written.Cases) != 1 || written.Machine == "" || len(written.Cases[0].Contenders) != want {
			t.Fatalf("results: %s, %v; want %d contenders", data, err, want)
		}
		for _, s := range written.Cases[0].Contenders {
			if len(s.Rounds) != 2 || s.Spreads[cpuPerLine.key].Median <= 0 || s.Spreads[peakRSS.key].Median <= 0 || s.ToFloor <= 0 {
				t.Errorf("results: %+v", s)
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f(1, "-rsyslog=false", "-cases", "drain/80")
	f(1, "-rsyslog=false", "-cases", "drain/escapes", "-verify=false")
	f(2, "-rsyslog=false", "-cases", "drain/200", "-peers", "copy="+self+" floor -file {log} -to {host}:{port}")
	_, err = exec.LookPath("rsyslogd")
	testkit.Need(t, err == nil, "rsyslogd")
	f(2, "-cases", "drain/200")
}

// asItself has the test binary behave as the program when it starts itself.
func asItself(t *testing.T) {
	t.Helper()
	t.Setenv(asProgram, "1")
	// The race detector would have each program linger for a second at its end.
	t.Setenv("GORACE", "atexit_sleep_ms=0")
}

func TestBenchTellsOfAnAgentThatEnds(t *testing.T) {
	asItself(t)
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("#!/bin/sh\necho no such flag \"$1\"\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"bench", "-cases", "drain/200", "-lines", "1000", "-rounds", "1", "-rsyslog=false", "-dir", dir, "-agent", agent}
	err := run(t.Context(), args, std(&bytes.Buffer{}))
	if err == nil || !strings.Contains(err.Error(), "it ended before everything was sent") ||
		!strings.Contains(err.Error(), "no such flag --state-dir") {
		t.Errorf("bench = %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("bench left %v, %v", left, err)
	}
}

// Another build of the agent takes part under a name of its own, and benchstat can
// read what each round came to.
func TestBenchComparesBuilds(t *testing.T) {
	var ran []string
	l := &lab{agent: "now", before: "old", dir: t.TempDir(), limit: time.Minute, std: std(&bytes.Buffer{}), peers: []peer{{name: "other"}}}
	of := func(name string) runner {
		return runner{name: name, run: func(context.Context, string) (values, error) {
			ran = append(ran, name+" "+l.agent)
			return values{cpuPerLine.key: 0.25}, nil
		}}
	}
	c := &benchCase{name: "drain/200", columns: []column{cpuPerLine}, prepare: func(context.Context, *lab) ([]runner, error) {
		return []runner{of(floorName), of("tallyman, filters"), of(rsyslogName), of("other")}, nil
	}}
	r, err := l.measure(t.Context(), c, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"floor now", "tallyman, filters now", "rsyslog now", "other now", "tallyman, filters old"}
	if !slices.Equal(ran, want) || l.agent != "now" {
		t.Fatalf("%q ran, want %q", ran, want)
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := writeText(path, []result{r}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if line := "Benchmarkdrain/200/contender=before:_tallyman,_filters 1 0.25 cpu_us_per_line\n"; err != nil || !strings.Contains(string(text), line) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestChooseCases(t *testing.T) {
	f := func(names string, want ...string) {
		t.Helper()
		chosen, err := chooseCases(names)
		var got []string
		for _, c := range chosen {
			got = append(got, c.name)
		}
		if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("chooseCases(%q) = %q, %v; want %q", names, got, err, want)
		}
	}
	f("scrape drain/80", "scrape", "drain/80")
	f("start", "start/files", "start/engine")
	if all, err := chooseCases(" "); err != nil || len(all) != len(benchCases()) {
		t.Errorf("without names %d cases, %v", len(all), err)
	}
	if _, err := chooseCases("drain drian"); err == nil || !strings.Contains(err.Error(), `"drian"`) || !strings.Contains(err.Error(), "live/singles") {
		t.Errorf("an unknown case: %v", err)
	}
}

func TestParsePeers(t *testing.T) {
	peers, err := parsePeers("a=x -f {log} -o k=v; b = y ;")
	if err != nil || len(peers) != 2 || peers[0] != (peer{"a", "x -f {log} -o k=v"}) || peers[1] != (peer{"b", "y"}) {
		t.Errorf("parsePeers = %q, %v", peers, err)
	}
	for _, bad := range []string{"x", "=x", "x= "} {
		if _, err := parsePeers(bad); err == nil {
			t.Errorf("parsePeers(%q) is no error", bad)
		}
	}
}

// TestAccount: the kernel's account of this very process grows with its work.
func TestAccount(t *testing.T) {
	before, err := accountOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var after account
	for began := time.Now(); time.Since(began) < 30*time.Second && after.cpu < before.cpu+20*time.Millisecond; {
		if after, err = accountOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if after.cpu < before.cpu+20*time.Millisecond || after.cpu > before.cpu+30*time.Second {
		t.Errorf("the account went from %v to %v", before, after)
	}
	if peak, now := memoryOf(os.Getpid()); now < 1<<20 || peak < now {
		t.Errorf("memory: peak %d, now %d", peak, now)
	}
	const missing = 1 << 30
	if _, err := accountOf(missing); err == nil {
		t.Error("a process that is not there has an account")
	}
	if peak, now := memoryOf(missing); peak != 0 || now != 0 {
		t.Errorf("a process that is not there has %d and %d bytes", peak, now)
	}
}

// TestStill runs the cases of many containers against a program that sends
// nothing, and expects to be told.
func TestStill(t *testing.T) {
	asItself(t)
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"idle", "scale", "start/files"} {
		args := []string{"bench", "-cases", name, "-containers", "50", "-rounds", "1", "-rsyslog=false", "-dir", t.TempDir(), "-agent", agent}
		if err := run(t.Context(), args, std(&bytes.Buffer{})); err == nil || !strings.Contains(err.Error(), "before everything was sent") {
			t.Errorf("%s = %v", name, err)
		}
	}
}
