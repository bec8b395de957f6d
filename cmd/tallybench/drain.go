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
	"slices"
	"strings"
	"time"
)

// drainConfig is what drain's flags say.
type drainConfig struct {
	lines  uint64
	rounds int
	verify bool
	limit  time.Duration
}

// round is what one contender did in one round.
type round struct {
	CPUUsPerLine   float64 `json:"cpu_us_per_line"`
	LinesPerSecond float64 `json:"lines_per_second"`
	PeakBytes      int64   `json:"peak_rss_bytes"`
}

// standing is what one contender did in all rounds.
type standing struct {
	Name   string  `json:"name"`
	Rounds []round `json:"rounds"`
	// Median, Least and Most are of the CPU time a line in microseconds.
	Median float64 `json:"cpu_us_per_line_median"`
	Least  float64 `json:"cpu_us_per_line_min"`
	Most   float64 `json:"cpu_us_per_line_max"`
	// LinesPerSecond is the median, PeakBytes the highest.
	LinesPerSecond float64 `json:"lines_per_second_median"`
	PeakBytes      int64   `json:"peak_rss_bytes_max"`
	// ToFloor is the median as a multiple of the floor's.
	ToFloor float64 `json:"ratio_to_floor"`
}

func runDrain(ctx context.Context, args []string, std stdio) (err error) {
	flags := newFlags("drain")
	agent := flags.String("agent", "", "the agent's `binary`; without, only the others are measured")
	rsyslog := flags.String("rsyslog", "plain", "`plain` to forward records as they are, json to parse them, both, or off")
	lines := flags.Uint64("lines", 2_000_000, "how many `lines` the log has")
	size := flags.Int("size", 200, "`bytes` of a line")
	quotes := flags.Bool("quotes", false, "fill lines with text full of quotes and backslashes")
	rounds := flags.Int("rounds", 5, "how many `rounds`; in each, every contender runs once")
	verify := flags.Bool("verify", true, "check that every line comes once; without, lines are only counted")
	limit := flags.Duration("limit", 5*time.Minute, "give up when one run takes longer")
	work := flags.String("dir", "", "a `folder` for the log; the default for temporary files when empty")
	output := flags.String("json", "", "write the results to this `file` as well")
	if err := parse(flags, args, std); err != nil {
		return err
	}
	contenders, err := choose(*agent, *rsyslog, std)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*work, "tallybench-")
	if err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	const name = "bench"
	root := filepath.Join(dir, "docker")
	log, err := writeLog(ctx, root, idOf(name), *lines, 0, newLineMaker(name, "1", *size, *quotes))
	if err != nil {
		return err
	}
	engine, err := serveEngine(filepath.Join(dir, "docker.sock"), root, idOf(name), name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.close()) }()

	c := drainConfig{lines: *lines, rounds: *rounds, verify: *verify, limit: *limit}
	standings, err := c.run(ctx, contenders, target{root: root, log: log, engineHost: engine.host}, dir, std)
	if err != nil {
		return err
	}
	table(std.out, standings)
	if *output == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(map[string]any{
		"lines": *lines, "size": *size, "quotes": *quotes, "contenders": standings,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.WriteFile(*output, append(encoded, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// choose lists those who take part.
func choose(agent, rsyslog string, std stdio) ([]contender, error) {
	contenders := []contender{floorContender()}
	if agent != "" {
		contenders = append(contenders, agentContender("tallyman", agent))
	}
	if !slices.Contains([]string{"plain", "json", "both", "off"}, rsyslog) {
		fmt.Fprintf(std.err, "unknown -rsyslog %q; known are plain, json, both, off\n", rsyslog)
		return nil, errUsage
	}
	if rsyslog == "off" {
		return contenders, nil
	}
	binary, err := exec.LookPath("rsyslogd")
	if err != nil {
		fmt.Fprintln(std.err, "rsyslogd is not here, so it does not take part")
		return contenders, nil
	}
	if rsyslog != "json" {
		contenders = append(contenders, rsyslogContender(binary, false))
	}
	if rsyslog != "plain" {
		contenders = append(contenders, rsyslogContender(binary, true))
	}
	return contenders, nil
}

// run runs every contender once a round. Rounds rather than one contender after
// the other spread whatever else the machine does over all of them.
func (c drainConfig) run(ctx context.Context, contenders []contender, t target, dir string, std stdio) ([]standing, error) {
	standings := make([]standing, len(contenders))
	for n := range c.rounds {
		for i, contender := range contenders {
			t.dir = filepath.Join(dir, fmt.Sprintf("round-%d-%d", n, i))
			if err := os.Mkdir(t.dir, 0o700); err != nil {
				return nil, fmt.Errorf("making a folder to work in: %w", err)
			}
			// The log comes from memory, for the first as for the others.
			if err := warm(t.log); err != nil {
				return nil, err
			}
			r, err := c.once(ctx, contender, t)
			if err != nil {
				return nil, fmt.Errorf("running %s in round %d: %w", contender.name, n+1, err)
			}
			fmt.Fprintf(std.err, "round %d, %s: %.3f µs a line, %.0f lines/s, %.1f MiB\n",
				n+1, contender.name, r.CPUUsPerLine, r.LinesPerSecond, float64(r.PeakBytes)/(1<<20))
			standings[i].Name = contender.name
			standings[i].Rounds = append(standings[i].Rounds, r)
		}
	}
	summarize(standings)
	return standings, nil
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

// once measures one contender.
func (c drainConfig) once(ctx context.Context, contender contender, t target) (round, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	args := []string{"-lines", fmt.Sprint(c.lines)}
	if c.verify {
		args = append(args, "-expect", fmt.Sprintf("bench/1=%d", c.lines))
	} else {
		args = append(args, "-count")
	}
	sink, err := startSink(ctx, args...)
	if err != nil {
		return round{}, err
	}
	t.address = sink.address
	p, err := contender.start(t)
	if err != nil {
		sink.kill()
		return round{}, err
	}
	err = c.await(ctx, contender, p, sink)
	if err != nil {
		_ = p.stop() // The first error is the one to tell.
		sink.kill()
		return round{}, fmt.Errorf("%w; its last words: %s", err, p.tail())
	}
	if err := p.stop(); err != nil {
		sink.kill()
		return round{}, fmt.Errorf("ending it: %w; its last words: %s", err, p.tail())
	}
	report, err := sink.report()
	if err != nil {
		return round{}, err
	}
	if report.Lines != int64(c.lines) || c.verify && !report.Exact() {
		return round{}, fmt.Errorf("not every line came exactly once: %s", report)
	}
	return round{
		CPUUsPerLine:   float64(p.cpu()) / float64(time.Microsecond) / float64(c.lines),
		LinesPerSecond: report.LinesPerSecond,
		PeakBytes:      p.peak,
	}, nil
}

// await waits until the sink has everything.
func (c drainConfig) await(ctx context.Context, contender contender, p *process, sink *sinkProcess) error {
	ended := p.ended
	if contender.ends {
		ended = nil
	}
	select {
	case err := <-sink.complete:
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err == nil && contender.ends {
			<-p.ended
		}
		return err
	case <-ended:
		return errors.New("it ended before everything was sent")
	case <-ctx.Done():
		return fmt.Errorf("waiting for all lines: %w", ctx.Err())
	}
}

// summarize fills in what follows from the rounds.
func summarize(standings []standing) {
	for i := range standings {
		s := &standings[i]
		if len(s.Rounds) == 0 {
			continue
		}
		var cpu, speed []float64
		for _, r := range s.Rounds {
			cpu, speed = append(cpu, r.CPUUsPerLine), append(speed, r.LinesPerSecond)
			s.PeakBytes = max(s.PeakBytes, r.PeakBytes)
		}
		s.Median, s.Least, s.Most = median(cpu), slices.Min(cpu), slices.Max(cpu)
		s.LinesPerSecond = median(speed)
		if floor := standings[0].Median; floor > 0 {
			s.ToFloor = s.Median / floor
		}
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// table prints the standings for a person.
func table(w io.Writer, standings []standing) {
	width := len("contender")
	for _, s := range standings {
		width = max(width, len(s.Name))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  %26s  %10s  %8s  %8s\n", width, "", "µs CPU a line", "", "", "")
	fmt.Fprintf(&b, "%-*s  %8s %8s %8s  %10s  %8s  %8s\n", width, "contender", "median", "min", "max", "lines/s", "to floor", "peak MiB")
	for _, s := range standings {
		fmt.Fprintf(&b, "%-*s  %8.3f %8.3f %8.3f  %10.0f  %8.2f  %8.1f\n", width, s.Name,
			s.Median, s.Least, s.Most, s.LinesPerSecond, s.ToFloor, float64(s.PeakBytes)/(1<<20))
	}
	_, _ = io.WriteString(w, b.String()) // The terminal is all there is to tell it to.
}
