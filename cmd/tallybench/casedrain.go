package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// drainBytes bounds the logs of long lines: they are in the page cache.
const drainBytes = 400 << 20

// drainCase is a log that is there already and is sent as fast as can be.
type drainCase struct {
	size   int
	quotes bool
}

func drainCases() []benchCase {
	columns := []column{cpuPerLine, lineRate, peakRSS, allocsPerLine}
	of := func(variant, about string, prepare func(context.Context, *lab) ([]runner, error)) benchCase {
		return benchCase{name: "drain/" + variant, about: about, columns: columns, prepare: prepare}
	}
	return []benchCase{
		of("200", "lines of 200 bytes", drainCase{size: 200}.everybody),
		of("80", "lines of 80 bytes", drainCase{size: 80}.plain),
		of("1000", "lines of 1,000 bytes", drainCase{size: 1000}.plain),
		of("16000", "lines of 16,000 bytes", drainCase{size: 16000}.plain),
		of("escapes", "lines of 200 bytes, JSON in JSON", drainCase{size: 200, quotes: true}.plain),
		of("routes", "four routes at once, to four receivers", drainCase{size: 200}.fourRoutes),
		of("filters", "filters that choose this container, and a route that wants none", drainCase{size: 200}.filtered),
	}
}

// drained is a log to drain.
type drained struct {
	lab    *lab
	target target
	lines  uint64
}

const drainName = "bench"

// write makes the log and the engine that it is of.
func (c drainCase) write(ctx context.Context, l *lab) (*drained, error) {
	lines := min(l.lines, uint64(drainBytes/c.size))
	root := filepath.Join(l.dir, "docker")
	log, err := writeLog(ctx, root, idOf(drainName), lines, 0, newLineMaker(drainName, "1", c.size, c.quotes))
	if err != nil {
		return nil, err
	}
	engine, err := serveEngine(filepath.Join(l.dir, "docker.sock"), root, drainName)
	if err != nil {
		return nil, err
	}
	l.atEnd(engine.close)
	return &drained{lab: l, target: target{root: root, log: log, engineHost: engine.host}, lines: lines}, nil
}

// plain compares the floor and the agent.
func (c drainCase) plain(ctx context.Context, l *lab) ([]runner, error) {
	d, err := c.write(ctx, l)
	if err != nil {
		return nil, err
	}
	runners := []runner{d.other(floorName, true, startFloor)}
	if l.agent != "" {
		runners = append(runners, d.agent("tallyman", 1, "backlog=true"))
	}
	return runners, nil
}

// everybody adds all others that are here.
func (c drainCase) everybody(ctx context.Context, l *lab) ([]runner, error) {
	d, err := c.write(ctx, l)
	if err != nil {
		return nil, err
	}
	runners := []runner{d.other(floorName, true, startFloor)}
	if l.agent != "" {
		runners = append(runners, d.agent("tallyman", 1, "backlog=true"))
	}
	if l.rsyslog != "" {
		runners = append(runners, d.other(rsyslogName, false, func(t target) (*process, error) {
			return startRsyslog(l.rsyslog, t, []string{t.log}, false, false)
		}))
	}
	for _, p := range l.peers {
		runners = append(runners, d.other(p.name, true, p.start))
	}
	return runners, nil
}

func (c drainCase) fourRoutes(ctx context.Context, l *lab) ([]runner, error) {
	d, err := c.write(ctx, l)
	if err != nil || l.agent == "" {
		return nil, err
	}
	return []runner{d.agent("tallyman, one route", 1, "backlog=true"), d.agent("tallyman, four routes", 4, "backlog=true")}, nil
}

func (c drainCase) filtered(ctx context.Context, l *lab) ([]runner, error) {
	d, err := c.write(ctx, l)
	if err != nil || l.agent == "" {
		return nil, err
	}
	chosen := "backlog=true&filter.name=ben*,!other&filter.sources=stdout,stderr"
	return []runner{
		d.agent("tallyman, no filter", 1, "backlog=true"),
		d.agent("tallyman, filters", 1, chosen),
		// Its receiver would not answer; nobody is to ask it.
		d.agent("tallyman, and a route for others", 1, "backlog=true", "raw+tcp://127.0.0.1:9?backlog=true&filter.name=other*"),
	}, nil
}

// agent is the agent with a route to each of its sinks, and more routes.
func (d *drained) agent(name string, sinks int, query string, more ...string) runner {
	return runner{name: name, run: func(ctx context.Context, dir string) (values, error) {
		listen, err := freeAddress()
		if err != nil {
			return nil, err
		}
		var allocs float64
		drain := shipper{
			sinks: sinks,
			start: func(t target, addresses []string) (*process, error) {
				var routes []string
				for _, address := range addresses {
					routes = append(routes, "syslog+tcp://"+address+"?"+query)
				}
				return startAgent(d.lab.agent, t, listen, append(routes, more...)...)
			},
			done: func(ctx context.Context) (err error) {
				allocs, err = metric(ctx, "http://"+listen+"/metrics", "go_memstats_mallocs_total")
				return err
			},
		}
		v, err := d.run(ctx, dir, drain)
		if err == nil {
			v[allocsPerLine.key] = allocs / float64(d.lines)
		}
		return v, err
	}}
}

// other is a contender that sends the log to one sink. One that ends says with its
// end that all is sent.
func (d *drained) other(name string, ends bool, start func(target) (*process, error)) runner {
	return runner{name: name, run: func(ctx context.Context, dir string) (values, error) {
		return d.run(ctx, dir, shipper{sinks: 1, ends: ends, start: func(t target, _ []string) (*process, error) { return start(t) }})
	}}
}

// shipper is how a contender is run: with how many sinks, and what it is asked when
// they have everything, which is not counted.
type shipper struct {
	sinks int
	ends  bool
	start func(t target, addresses []string) (*process, error)
	done  func(context.Context) error
}

// run measures one draining.
func (d *drained) run(ctx context.Context, dir string, c shipper) (v values, err error) {
	// The log comes from memory, for the first as for the others.
	if err := warm(d.target.log); err != nil {
		return nil, err
	}
	t := d.target
	t.dir = dir
	args := []string{"-lines", fmt.Sprint(d.lines)}
	if d.lab.verify {
		args = append(args, "-expect", fmt.Sprintf("%s/1=%d", drainName, d.lines))
	} else {
		args = append(args, "-count")
	}
	var sinks []*sinkProcess
	var addresses []string
	defer func() {
		if err != nil {
			for _, s := range sinks {
				s.kill()
			}
		}
	}()
	for range c.sinks {
		sink, err := startSink(ctx, true, args...)
		if err != nil {
			return nil, err
		}
		sinks, addresses = append(sinks, sink), append(addresses, sink.address)
	}
	t.address = addresses[0]
	p, err := c.start(t, addresses)
	if err != nil {
		return nil, err
	}
	for _, sink := range sinks {
		if err := awaitSink(ctx, p, sink, c.ends); err != nil {
			_ = p.stop() // The first error is the one to tell.
			return nil, fmt.Errorf("%w; its last words: %s", err, p.tail())
		}
	}
	var asking time.Duration
	if c.done != nil {
		if asking, err = p.during(func() error { return c.done(ctx) }); err != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
	if c.ends {
		// Only the end is the whole of the work.
		select {
		case <-p.ended:
		case <-time.After(time.Second):
		}
	}
	if err := p.stop(); err != nil {
		return nil, fmt.Errorf("ending it: %w; its last words: %s", err, p.tail())
	}
	var first, last time.Time
	for i, sink := range sinks {
		report, err := sink.report()
		if err != nil {
			return nil, err
		}
		if report.Lines != int64(d.lines) || d.lab.verify && !report.Exact() {
			return nil, fmt.Errorf("not every line came exactly once: %s", report)
		}
		if i == 0 || report.First.Before(first) {
			first = report.First
		}
		if report.Last.After(last) {
			last = report.Last
		}
	}
	v = values{
		cpuPerLine.key: float64(p.cpu()-asking) / float64(time.Microsecond) / float64(d.lines),
		peakRSS.key:    float64(p.peak) / (1 << 20),
	}
	if took := last.Sub(first); took > 0 {
		v[lineRate.key] = float64(d.lines) / took.Seconds()
	}
	return v, nil
}

// awaitSink waits until a sink has everything.
func awaitSink(ctx context.Context, p *process, sink *sinkProcess, ends bool) error {
	ended := p.ended
	for {
		select {
		case err := <-sink.complete:
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
			return err
		case <-ended:
			if !ends || p.err != nil {
				return errors.New("it ended before everything was sent")
			}
			// What it has sent is still on its way.
			ended = nil
		case <-ctx.Done():
			return fmt.Errorf("waiting for all lines: %w", ctx.Err())
		}
	}
}
