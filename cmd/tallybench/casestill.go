package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// This file is about agents that have many containers and little to do. All but
// one case have a fake engine and log files of the bench, for a machine bears
// fewer containers than an agent.

// Columns of these cases.
var (
	wakes      = column{"wakes_per_second", "wakes/s", 1}
	presentRSS = column{"rss_mib", "MiB", 1}
	firstLine  = column{"first_line_ms", "first line ms", 0}
	allLines   = column{"all_lines_ms", "all lines ms", 0}
	perRoute   = column{"kib_per_container_and_route", "KiB/container and route", 2}
)

// stillLines is how many lines each log has.
const stillLines = 10

// idleSettle is what an agent with many containers has to come to rest: it opens
// their cgroups ten seconds after its start, and reads them twice.
const idleSettle = 25 * time.Second

func stillCases() []benchCase {
	return []benchCase{
		{
			name: "idle", about: "500 containers that say nothing",
			columns: []column{ofACore, wakes, presentRSS}, prepare: prepareIdle,
		},
		{
			name: "scale", about: "up to 1,000 containers, 10 lines each; KiB by the difference to the line above",
			columns: []column{firstLine, allLines, presentRSS, perRoute, peakRSS}, prepare: prepareScale,
		},
		{
			name: "start/files", about: "20 containers of an engine that answers at once",
			columns: []column{firstLine, allLines, peakRSS}, prepare: prepareStart,
		},
		{
			name: "start/engine", about: "20 containers of this machine's engine",
			columns: []column{firstLine, peakRSS}, contained: true, prepare: prepareEngineStart,
		},
	}
}

// crowd is a fake engine with many containers that have said a little.
type crowd struct {
	lab    *lab
	target target
	count  int
}

func gather(ctx context.Context, l *lab, count int) (*crowd, error) {
	root := filepath.Join(l.dir, fmt.Sprintf("docker-%d", count))
	names, ids := make([]string, count), make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("crowd-%d", i)
		ids[i] = idOf(names[i])
		if _, err := writeLog(ctx, root, ids[i], stillLines, 0, newLineMaker(names[i], "1", 200, false)); err != nil {
			return nil, err
		}
	}
	host := filepath.Join(l.dir, fmt.Sprintf("host-%d", count))
	if err := makeHost(host, ids); err != nil {
		return nil, err
	}
	engine, err := serveEngine(filepath.Join(l.dir, fmt.Sprintf("docker-%d.sock", count)), root, names...)
	if err != nil {
		return nil, err
	}
	l.atEnd(engine.close)
	return &crowd{lab: l, target: target{root: root, engineHost: engine.host, host: host}, count: count}, nil
}

// started is an agent that has sent all lines of a crowd.
type started struct {
	process *process
	sinks   []*sinkProcess
	began   time.Time
}

// start runs an agent with so many routes until all of them have sent all lines.
func (c *crowd) start(ctx context.Context, dir string, routes int) (_ *started, err error) {
	s := &started{}
	defer func() {
		if err != nil {
			s.kill()
		}
	}()
	var uris []string
	for range routes {
		sink, err := startSink(ctx, true, "-lines", fmt.Sprint(c.count*stillLines))
		if err != nil {
			return nil, err
		}
		s.sinks, uris = append(s.sinks, sink), append(uris, "syslog+tcp://"+sink.address+"?backlog=true")
	}
	t := c.target
	t.dir = dir
	s.began = time.Now()
	if s.process, err = startAgent(c.lab.agent, t, anyPort, uris...); err != nil {
		return nil, err
	}
	for _, sink := range s.sinks {
		if err := awaitSink(ctx, s.process, sink, false); err != nil {
			return nil, fmt.Errorf("%w; its last words: %s", err, s.process.tail())
		}
	}
	return s, nil
}

func (s *started) kill() {
	if s.process != nil {
		_ = s.process.stop() // The first error is the one to tell.
	}
	for _, sink := range s.sinks {
		sink.kill()
	}
}

// stop ends the agent and returns when the first line of all came and when the
// last.
func (s *started) stop() (first, last time.Duration, err error) {
	if err := s.process.stop(); err != nil {
		return 0, 0, fmt.Errorf("ending it: %w; its last words: %s", err, s.process.tail())
	}
	for i, sink := range s.sinks {
		report, err := sink.report()
		if err != nil {
			return 0, 0, err
		}
		if !report.Exact() {
			return 0, 0, fmt.Errorf("not every line came exactly once: %s", report)
		}
		if at := report.First.Sub(s.began); i == 0 || at < first {
			first = at
		}
		last = max(last, report.Last.Sub(s.began))
	}
	return first, last, nil
}

func prepareIdle(ctx context.Context, l *lab) ([]runner, error) {
	if l.agent == "" {
		return nil, nil
	}
	c, err := gather(ctx, l, max(1, l.containers/2))
	if err != nil {
		return nil, err
	}
	return []runner{{name: "tallyman", run: func(ctx context.Context, dir string) (v values, err error) {
		s, err := c.start(ctx, dir, 1)
		if err != nil {
			return nil, err
		}
		defer func() {
			_, _, stopped := s.stop()
			err = errors.Join(err, stopped)
		}()
		pause(ctx, idleSettle)
		pid, began := s.process.cmd.Process.Pid, time.Now()
		before, err := accountOf(pid)
		if err != nil {
			return nil, err
		}
		pause(ctx, 2*l.window)
		after, err := accountOf(pid)
		took := time.Since(began).Seconds()
		_, rss := memoryOf(pid)
		return values{
			ofACore.key:    100 * (after.cpu - before.cpu).Seconds() / took,
			wakes.key:      float64(after.wakes-before.wakes) / took,
			presentRSS.key: float64(rss) / (1 << 20),
		}, errors.Join(err, ctx.Err())
	}}}, nil
}

func prepareScale(ctx context.Context, l *lab) ([]runner, error) {
	if l.agent == "" {
		return nil, nil
	}
	few, err := gather(ctx, l, max(1, l.containers/10))
	if err != nil {
		return nil, err
	}
	many, err := gather(ctx, l, max(2, l.containers))
	if err != nil {
		return nil, err
	}
	var before float64
	of := func(c *crowd, routes int, more int) runner {
		name := fmt.Sprintf("%d containers, routes: %d", c.count, routes)
		return runner{name: name, run: func(ctx context.Context, dir string) (values, error) {
			s, err := c.start(ctx, dir, routes)
			if err != nil {
				return nil, err
			}
			pause(ctx, settle)
			_, rss := memoryOf(s.process.cmd.Process.Pid)
			first, last, err := s.stop()
			if err != nil {
				return nil, err
			}
			v := values{
				firstLine.key: first.Seconds() * 1000, allLines.key: last.Seconds() * 1000,
				presentRSS.key: float64(rss) / (1 << 20), peakRSS.key: float64(s.process.peak) / (1 << 20),
			}
			if more > 0 {
				v[perRoute.key] = (float64(rss) - before) / 1024 / float64(more)
			}
			before = float64(rss)
			return v, nil
		}}
	}
	return []runner{of(few, 1, 0), of(many, 1, many.count-few.count), of(many, 4, 3*many.count)}, nil
}

func prepareStart(ctx context.Context, l *lab) ([]runner, error) {
	if l.agent == "" {
		return nil, nil
	}
	c, err := gather(ctx, l, max(1, l.containers/50))
	if err != nil {
		return nil, err
	}
	return []runner{{name: "tallyman", run: func(ctx context.Context, dir string) (values, error) {
		s, err := c.start(ctx, dir, 1)
		if err != nil {
			return nil, err
		}
		first, last, err := s.stop()
		return values{
			firstLine.key: first.Seconds() * 1000, allLines.key: last.Seconds() * 1000,
			peakRSS.key: float64(s.process.peak) / (1 << 20),
		}, err
	}}}, nil
}

func prepareEngineStart(ctx context.Context, l *lab) ([]runner, error) {
	if l.agent == "" {
		return nil, nil
	}
	f, err := startFleet(ctx, l, max(1, l.containers/50), "-rate", "1")
	if err != nil {
		return nil, err
	}
	return []runner{{name: "tallyman", run: func(ctx context.Context, dir string) (v values, err error) {
		sink, err := startSink(ctx, true, "-lines", "1")
		if err != nil {
			return nil, err
		}
		began := time.Now()
		p, err := startAgent(l.agent, target{dir: dir}, anyPort, "syslog+tcp://"+sink.address+"?backlog=true&filter.name="+f.prefix+"*")
		if err != nil {
			sink.kill()
			return nil, err
		}
		err = awaitSink(ctx, p, sink, false)
		if err := errors.Join(err, p.stop()); err != nil {
			sink.kill()
			return nil, fmt.Errorf("%w; its last words: %s", err, p.tail())
		}
		report, err := sink.report()
		return values{firstLine.key: report.First.Sub(began).Seconds() * 1000, peakRSS.key: float64(p.peak) / (1 << 20)}, err
	}}}, nil
}
