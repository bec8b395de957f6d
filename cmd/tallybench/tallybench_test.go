package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyman/cmd/internal/oracle"
	"tallyman/collector/engine"
)

func std(out io.Writer) stdio { return stdio{out: out, err: io.Discard} }

func TestRunRefusesBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{}, {"boast"}, {"gen", "-lines", "x"}, {"gen", "more"}, {"write"}, {"floor", "-file", "x"},
		{"sink", "-expect", "a=1"}, {"sink", "-count", "-expect", "a/1=1"}, {"drain", "-rsyslog", "perhaps"},
	} {
		if err := run(t.Context(), args, std(io.Discard)); !errors.Is(err, errUsage) {
			t.Errorf("run(%q) = %v, want %v", args, err, errUsage)
		}
	}
	if err := run(t.Context(), []string{"gen", "-h"}, std(io.Discard)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("help = %v, want %v", err, flag.ErrHelp)
	}
}

func TestGen(t *testing.T) {
	for _, quotes := range []string{"-quotes=false", "-quotes=true"} {
		var out, stderr bytes.Buffer
		args := []string{"gen", "-lines", "100", "-size", "150", "-name", "a", "-run", "2", "-stderr-every", "7", "-unterminated", quotes}
		if err := run(t.Context(), args, stdio{out: &out, err: &stderr}); err != nil {
			t.Fatal(err)
		}
		sink, err := oracle.New(oracle.Config{})
		if err != nil {
			t.Fatal(err)
		}
		sink.Expect("a", "2", 100)
		for i, text := range []string{out.String(), stderr.String()} {
			for line := range strings.Lines(text) {
				sink.Feed([]byte(line))
				if n := len(strings.TrimSuffix(line, "\n")); n != 150 {
					t.Errorf("a line of %d bytes: %q", n, line)
				}
				if m, _ := oracle.ParseMark([]byte(line)); m.Stream != "oe"[i] {
					t.Errorf("on stream %d: %q", i, line)
				}
			}
		}
		if strings.HasSuffix(out.String(), "\n") || !strings.HasSuffix(stderr.String(), "\n") {
			t.Error("it is not the last line that has no line feed")
		}
		if r := sink.Report(); !r.Exact() || r.Lines != 100 || strings.Count(stderr.String(), "\n") != 14 {
			t.Errorf("report: %s", r)
		}
	}
}

func TestSay(t *testing.T) {
	t.Setenv(textVariable, "a\n b")
	var out, stderr bytes.Buffer
	if err := run(t.Context(), []string{"say", "-times", "2", "-behind", "1"}, stdio{out: &out, err: &stderr}); err != nil {
		t.Fatal(err)
	}
	if want := "a\n b\nround 0\na\n b\nround 1\n"; out.String() != want || stderr.String() != want {
		t.Errorf("it says %q and %q", out.String(), stderr.String())
	}
}

func TestGenKeepsItsRateAndEndsWhenTold(t *testing.T) {
	var out bytes.Buffer
	started := time.Now()
	if err := run(t.Context(), []string{"gen", "-lines", "100", "-rate", "1000", "-burst", "50"}, std(&out)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 100*time.Millisecond {
		t.Errorf("100 lines at 1000 a second took %s", took)
	}
	for _, args := range [][]string{{"gen", "-lines", "0"}, {"gen", "-wait", "1h"}, {"gen", "-hold", "1h"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := run(ctx, args, std(io.Discard)); err != nil {
			t.Errorf("run(%q) = %v", args, err)
		}
		cancel()
	}
}

func TestJSONRecord(t *testing.T) {
	at := time.Date(2026, 11, 21, 2, 5, 47, 974927820, time.FixedZone("", 3600))
	f := func(line, want string) {
		t.Helper()
		want = `{` + want + `"stream":"stderr","time":"2026-11-21T01:05:47.97492782Z"}` + "\n"
		if got := appendJSONRecord(nil, []byte(line), "stderr", at); string(got) != want {
			t.Errorf("record of %q:\n%s\nwant:\n%s", line, got, want)
		}
	}
	f("a\n", `"log":"a\n",`)
	f("\n", `"log":"\n",`)
	f("", ``)
	f("a part", `"log":"a part",`)
	f("\"\\\r\t\x00\x1b\x7f<>&\n", `"log":"\"\\\r\u0009\u0000\u001b`+"\x7f"+`\u003c\u003e\u0026\n",`)
	f("ü\u2028\u2029\U0001f600\xff\xc3(\n", `"log":"ü\u2028\u2029`+"\U0001f600"+`\ufffd\ufffd(\n",`)
	if got := string(appendJSONRecord(nil, nil, "stdout", at.Truncate(time.Second))); !strings.Contains(got, `"2026-11-21T01:05:47Z"`) {
		t.Errorf("a time in whole seconds: %s", got)
	}
}

func FuzzJSONRecord(f *testing.F) {
	f.Add([]byte("a \"quoted\" \\ <b>\u2028\xff\r\x00"))
	f.Add([]byte(`\"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		line = append(bytes.ReplaceAll(line, []byte("\n"), nil), '\n')
		encoded := appendJSONRecord(nil, line, "stdout", time.Unix(1, 0))
		var decoded struct{ Log, Stream string }
		if err := json.Unmarshal(encoded, &decoded); err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		want := string([]rune(string(line))) // Each bad byte becomes one replacement.
		if decoded.Log != want {
			t.Fatalf("%q became %q", line, decoded.Log)
		}
		if got := appendLog(nil, bytes.TrimSuffix(encoded, []byte("\n"))); string(got) != want {
			t.Fatalf("%s was read as %q", encoded, got)
		}
	})
}

func TestAppendLogBearsAnything(t *testing.T) {
	f := func(record, want string) {
		t.Helper()
		if got := appendLog(nil, []byte(record)); string(got) != want {
			t.Errorf("appendLog(%q) = %q, want %q", record, got, want)
		}
	}
	f(`{"log":"a\n","stream":"stdout"}`, "a\n")
	f(`{"log":"a","stream":"stdout"}`, "a\n")
	f(`{"log":"a \"b\" \u003c\\n","x":1}`, "a \"b\" <\\n\n")
	for _, torn := range []string{``, `{"lo`, `{"log":"`, `{"log":"\`, `{"log":"\u00`, `{"log":"\u00zz"`} {
		if got := appendLog(nil, []byte(torn)); !bytes.HasSuffix(got, []byte("\n")) {
			t.Errorf("appendLog(%q) = %q", torn, got)
		}
	}
}

// TestWriteFloorSink sends a log that write made through floor into sink.
func TestWriteFloorSink(t *testing.T) {
	for _, quotes := range []string{"-quotes=false", "-quotes=true"} {
		dir := t.TempDir()
		var path bytes.Buffer
		args := []string{"write", "-dir", dir, "-lines", "20000", "-name", "a", "-stderr-every", "3", quotes}
		if err := run(t.Context(), args, std(&path)); err != nil {
			t.Fatal(err)
		}
		log := strings.TrimSpace(path.String())
		if log != logPath(dir, idOf("a")) {
			t.Errorf("the log is %q", log)
		}

		reader, writer := io.Pipe()
		var sinking sync.WaitGroup
		sinking.Go(func() {
			err := run(t.Context(), []string{"sink", "-expect", "a/1=20000", "-limit", "30s"}, std(writer))
			_ = writer.CloseWithError(err) // A pipe in memory never fails to close.
		})
		decoder := json.NewDecoder(reader)
		var first, second sinkEvent
		if err := decoder.Decode(&first); err != nil {
			t.Fatal(err)
		}
		var printed bytes.Buffer
		if err := run(t.Context(), []string{"floor", "-file", log, "-to", first.Address}, std(&printed)); err != nil {
			t.Fatal(err)
		}
		var result floorResult
		if err := json.Unmarshal(printed.Bytes(), &result); err != nil || result.Lines != 20000 || result.CPUUsPerLine <= 0 {
			t.Errorf("floor printed %s, %v", printed.Bytes(), err)
		}
		var report sinkReport
		if err := errors.Join(decoder.Decode(&second), decoder.Decode(&report)); err != nil {
			t.Fatal(err)
		}
		sinking.Wait()
		if !second.Complete || !report.Exact() || report.Bytes != result.Bytes ||
			report.Bytes != 20000*int64(len(floorHeader)+200+1) {
			t.Errorf("floor sent %d bytes; report: %s", result.Bytes, report)
		}
	}
}

// TestFakeEngine asks the fake engine with the client of the agent.
func TestFakeEngine(t *testing.T) {
	dir := t.TempDir()
	fake, err := serveEngine(filepath.Join(dir, "docker.sock"), dir, "bench", "other")
	if err != nil {
		t.Fatal(err)
	}
	client, err := engine.New(engine.Options{Host: fake.host})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := client.Info(t.Context()); err != nil || info.Root != dir || info.APIVersion != "1.51" {
		t.Errorf("Info = %+v, %v", info, err)
	}
	if list, err := client.List(t.Context()); err != nil || len(list) != 2 || list[0].ID != idOf("bench") || list[0].Name != "bench" {
		t.Errorf("List = %+v, %v", list, err)
	}
	c, err := client.Inspect(t.Context(), idOf("other"))
	if err != nil || c.LogDriver != "json-file" || c.LogPath != logPath(dir, idOf("other")) || !c.Running || c.PID != pidOf(1) {
		t.Errorf("Inspect = %+v, %v", c, err)
	}
	if _, err := client.Inspect(t.Context(), "abd"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Inspect of another = %v", err)
	}
	_, failed := client.Events(t.Context(), time.Time{})
	if err := fake.close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("the stream ended without an error")
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func TestStandings(t *testing.T) {
	of := func(cpu, speed float64) values { return values{cpuPerLine.key: cpu, lineRate.key: speed} }
	r := result{Case: "c", About: "a", columns: []column{cpuPerLine, lineRate, delayP50}, Contenders: []standing{
		{Name: floorName, Rounds: []values{of(0.2, 10), of(0.1, 30), of(0.3, 20)}},
		{Name: "other", Rounds: []values{of(0.4, 10), of(0.8, 20)}},
	}}
	r.summarize()
	if s := r.Contenders[0]; s.Spreads[cpuPerLine.key] != (spread{0.2, 0.1, 0.3}) || s.Spreads[lineRate.key].Median != 20 || s.ToFloor != 1 {
		t.Errorf("floor: %+v", s)
	}
	// The ratios of the rounds are 2 and 8.
	if s := r.Contenders[1]; s.ToFloor != 5 || s.Spreads[cpuPerLine.key].Median < 0.59 || s.Spreads[cpuPerLine.key].Median > 0.61 {
		t.Errorf("other: %+v", s)
	}
	if _, ok := r.Contenders[0].Spreads[delayP50.key]; ok {
		t.Error("what was not measured has a spread")
	}
	var b bytes.Buffer
	if err := r.table(&b); err != nil {
		t.Fatal(err)
	}
	want := `
c: a
contender          µs CPU/line     lines/s  p50 ms  to floor
floor      0.200 (0.100–0.300)  20 (10–30)       -      1.00
other      0.600 (0.400–0.800)  15 (10–20)       -      5.00
`
	if b.String() != want {
		t.Errorf("table:\n%s\nwant:\n%s", &b, want)
	}
	r.Contenders = r.Contenders[1:]
	if r.summarize(); r.Contenders[0].ToFloor != 0 {
		t.Errorf("without a floor: %+v", r.Contenders[0])
	}
}

func TestQuantile(t *testing.T) {
	f := func(q, want float64, values ...float64) {
		t.Helper()
		if got := quantile(values, q); got != want {
			t.Errorf("quantile(%v, %v) = %v, want %v", values, q, got, want)
		}
	}
	f(0.5, 0)
	f(0, 1, 3, 1, 2)
	f(0.5, 2, 3, 1, 2)
	f(0.5, 2, 4, 3, 1, 2)
	f(0.99, 3, 3, 1, 2)
	f(1, 3, 3, 1, 2)
}

func TestFloorNeedsAListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := floor(t.Context(), "/dev/null", address); err == nil || !strings.Contains(err.Error(), "connecting") {
		t.Errorf("floor = %v", err)
	}
}
