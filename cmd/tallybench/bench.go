package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// benchCase is something that contenders are compared in.
type benchCase struct {
	// name is a family and, behind a slash, a variant.
	name, about string
	columns     []column
	// contained says that this program runs in containers.
	contained bool
	// prepare makes what all runs share and returns those that run.
	prepare func(context.Context, *lab) ([]runner, error)
}

// runner is a contender in a case.
type runner struct {
	name string
	// run measures once. dir is an empty folder of its own.
	run func(ctx context.Context, dir string) (values, error)
}

// benchCases are all there are.
func benchCases() []benchCase {
	return slices.Concat(drainCases(), liveCases(), stillCases(), scrapeCases(), metricsCases())
}

// lab is what the cases work with.
type lab struct {
	// agent is the binary to measure, before another build of it to compare with,
	// rsyslog that of rsyslogd, empty when it is not here.
	agent, before, rsyslog string
	peers                  []peer
	// lines bounds how many lines are drained, window is how long live logs are
	// looked at, limit when a run has hung.
	lines  uint64
	window time.Duration
	limit  time.Duration
	verify bool
	// containers is how many containers the cases of many have.
	containers int
	// dir is the case's own folder.
	dir string
	std stdio
	// undo holds what the case has to undo at its end, last first.
	undo []func() error
}

// atEnd has something undone when the case has ended.
func (l *lab) atEnd(undo func() error) { l.undo = append(l.undo, undo) }

func (l *lab) cleanUp() error {
	var err error
	for _, undo := range slices.Backward(l.undo) {
		err = errors.Join(err, undo())
	}
	l.undo = nil
	return err
}

func runBench(ctx context.Context, args []string, std stdio) (err error) {
	flags := newFlags("bench")
	l := &lab{std: std}
	flags.StringVar(&l.agent, "agent", "", "the agent's `binary`; without, only the others are measured")
	flags.StringVar(&l.before, "before", "", "another `binary` of the agent, which takes part in every case as well")
	cases := flags.String("cases", "", "the `cases`, separated by spaces, such as drain live/singles; all when empty")
	peers := flags.String("peers", "", "others, as `NAME=COMMAND` separated by semicolons; in the command stand {log} {address} {host} {port} {dir}")
	rsyslog := flags.Bool("rsyslog", true, "measure rsyslog where it is installed")
	rounds := flags.Int("rounds", 5, "how many `rounds`; in each, every contender runs once")
	flags.Uint64Var(&l.lines, "lines", 2_000_000, "at most so many `lines` are drained")
	flags.DurationVar(&l.window, "window", 10*time.Second, "for how long live logs are looked at")
	flags.IntVar(&l.containers, "containers", 1000, "how many `containers` the case scale has; idle has half as many, live/many a tenth")
	flags.DurationVar(&l.limit, "limit", 2*time.Minute, "give up when one run takes longer")
	flags.BoolVar(&l.verify, "verify", true, "check that every drained line comes once; without, lines are only counted")
	work := flags.String("dir", "", "a `folder` for logs; the default for temporary files when empty")
	output := flags.String("json", "", "write the results to this `file` as well")
	text := flags.String("text", "", "write each round to this `file` as well, in the format of Go's benchmarks; benchstat -col /contender compares")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	chosen, err := chooseCases(*cases)
	if err == nil {
		l.peers, err = parsePeers(*peers)
	}
	if err == nil && l.before != "" && l.agent == "" {
		err = errors.New("-before is compared with -agent, which is not given")
	}
	if err != nil {
		fmt.Fprintln(std.err, err)
		return errUsage
	}
	if err := refuseDynamic(chosen, "/proc/self/exe"); err != nil {
		return err
	}
	if *rsyslog {
		if l.rsyslog, err = exec.LookPath("rsyslogd"); err != nil {
			fmt.Fprintln(std.err, "rsyslogd is not here, so it does not take part")
		}
	}
	if l.agent == "" {
		fmt.Fprintln(std.err, "no agent is measured: name it with -agent")
	}
	dir, err := os.MkdirTemp(*work, "tallybench-")
	if err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	fmt.Fprintln(std.out, machine())
	var results []result
	for i, c := range chosen {
		l.dir = filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(l.dir, 0o700); err != nil {
			return fmt.Errorf("making a folder to work in: %w", err)
		}
		r, err := l.measure(ctx, &c, *rounds)
		// The log of one case may be large.
		if err := errors.Join(err, l.cleanUp(), os.RemoveAll(l.dir)); err != nil {
			return fmt.Errorf("case %s: %w", c.name, err)
		}
		if len(r.Contenders) == 0 {
			continue
		}
		if err := r.table(std.out); err != nil {
			return err
		}
		results = append(results, r)
		if *output != "" {
			if err := writeResults(*output, results); err != nil {
				return err
			}
		}
		if *text != "" {
			if err := writeText(*text, results); err != nil {
				return err
			}
		}
	}
	return nil
}

// chooseCases returns those that are named, by their family or in full.
func chooseCases(names string) ([]benchCase, error) {
	all := benchCases()
	if strings.TrimSpace(names) == "" {
		return all, nil
	}
	var chosen []benchCase
	for name := range strings.FieldsSeq(names) {
		before := len(chosen)
		for _, c := range all {
			if c.name == name || strings.HasPrefix(c.name, name+"/") {
				chosen = append(chosen, c)
			}
		}
		if len(chosen) == before {
			var known []string
			for _, c := range all {
				known = append(known, c.name)
			}
			return nil, fmt.Errorf("unknown case %q; known are %s, and what stands before a slash for all of it", name, strings.Join(known, " "))
		}
	}
	return chosen, nil
}

// measure runs every contender once a round. Rounds rather than one contender
// after the other spread whatever else the machine does over all of them.
func (l *lab) measure(ctx context.Context, c *benchCase, rounds int) (result, error) {
	r := result{Case: c.name, About: c.about, columns: c.columns}
	runners, err := c.prepare(ctx, l)
	if errors.Is(err, errNoEngine) {
		fmt.Fprintf(l.std.err, "%s is left out: %v\n", c.name, err)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if l.before != "" {
		for _, contender := range runners {
			if l.isAgent(contender.name) {
				runners = append(runners, l.withBefore(contender))
			}
		}
	}
	r.Contenders = make([]standing, len(runners))
	for n := range rounds {
		for i, contender := range runners {
			dir := filepath.Join(l.dir, fmt.Sprintf("round-%d-%d", n, i))
			if err := os.Mkdir(dir, 0o700); err != nil {
				return r, fmt.Errorf("making a folder to work in: %w", err)
			}
			limited, cancel := context.WithTimeout(ctx, l.limit)
			v, err := contender.run(limited, dir)
			cancel()
			if err != nil {
				return r, fmt.Errorf("running %s in round %d: %w", contender.name, n+1, err)
			}
			fmt.Fprintf(l.std.err, "%s, round %d, %s:%s\n", c.name, n+1, contender.name, v.text(c.columns))
			r.Contenders[i].Name = contender.name
			r.Contenders[i].Rounds = append(r.Contenders[i].Rounds, v)
		}
	}
	r.summarize()
	return r, nil
}

// isAgent reports whether a contender is the agent.
func (l *lab) isAgent(name string) bool {
	return name != floorName && name != rsyslogName && !slices.ContainsFunc(l.peers, func(p peer) bool { return p.name == name })
}

// withBefore is a contender with the other build of the agent.
func (l *lab) withBefore(r runner) runner {
	return runner{name: "before: " + r.name, run: func(ctx context.Context, dir string) (values, error) {
		now := l.agent
		l.agent = l.before
		defer func() { l.agent = now }()
		return r.run(ctx, dir)
	}}
}

func (v values) text(columns []column) string {
	var b strings.Builder
	for _, c := range columns {
		if value, ok := v[c.key]; ok {
			fmt.Fprintf(&b, "  %.*f %s", c.digits, value, c.title)
		}
	}
	return b.String()
}

// machine says what the figures are of.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // Unknown where there is none.
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d CPUs, kernel %s, load before: %s", runtime.NumCPU(),
		strings.TrimSpace(string(kernel)), strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "))
}

func writeResults(path string, results []result) error {
	encoded, err := json.MarshalIndent(map[string]any{"machine": machine(), "cases": results}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.WriteFile(path, append(encoded, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// writeText writes what benchstat reads (https://go.dev/design/14313-benchmark-format).
func writeText(path string, results []result) error {
	var b strings.Builder
	for _, r := range results {
		for _, s := range r.Contenders {
			for _, round := range s.Rounds {
				fmt.Fprintf(&b, "Benchmark%s/contender=%s 1", r.Case, strings.ReplaceAll(s.Name, " ", "_"))
				for _, c := range r.columns {
					if value, ok := round[c.key]; ok {
						fmt.Fprintf(&b, " %g %s", value, c.key)
					}
				}
				b.WriteByte('\n')
			}
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// warm reads a file into the page cache.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}
