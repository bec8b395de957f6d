package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// settle is what a contender has to get ready before it is looked at.
const settle = 3 * time.Second

// liveCase is containers that write while a contender sends what they write.
type liveCase struct {
	// gen are the flags of the generator.
	gen []string
	// many says that there are as many containers as a tenth of the lab's.
	many bool
}

func liveCases() []benchCase {
	columns := []column{delayP50, delayP99, delayMax, cpuPerLine, ofACore, dockerd, lineRate, peakRSS}
	of := func(variant, about string, c liveCase) benchCase {
		return benchCase{name: "live/" + variant, about: about, columns: columns, contained: true, prepare: c.prepare}
	}
	return []benchCase{
		of("singles", "one container that writes 100 lines a second, one by one", liveCase{gen: []string{"-rate", "100"}}),
		of("10k", "one container that writes 10,000 lines a second", liveCase{gen: []string{"-rate", "10000"}}),
		of("many", "100 containers that write 100 lines a second each", liveCase{gen: []string{"-rate", "100"}, many: true}),
		of("flood", "one container that writes as fast as the engine takes its lines", liveCase{}),
	}
}

func (c liveCase) prepare(ctx context.Context, l *lab) ([]runner, error) {
	n := 1
	if c.many {
		n = max(1, l.containers/10)
	}
	f, err := startFleet(ctx, l, n, c.gen...)
	if err != nil {
		return nil, err
	}
	runners := []runner{f.runner(l, floorName, func(t target) (*process, error) { return startFollower(t, f.logs) })}
	if l.agent != "" {
		runners = append(runners, f.runner(l, "tallyman", func(t target) (*process, error) {
			return startAgent(l.agent, t, anyPort, "syslog+tcp://"+t.address+"?filter.name="+f.prefix+"*")
		}))
	}
	if l.rsyslog != "" {
		runners = append(runners, f.runner(l, rsyslogName, func(t target) (*process, error) {
			return startRsyslog(l.rsyslog, t, f.logs, false, true)
		}))
	}
	if n == 1 {
		for _, p := range l.peers {
			runners = append(runners, f.runner(l, p.name, p.start))
		}
	}
	return runners, nil
}

// runner is a contender that is looked at for a while.
func (f *fleet) runner(l *lab, name string, start func(target) (*process, error)) runner {
	return runner{name: name, run: func(ctx context.Context, dir string) (values, error) {
		return f.observe(ctx, l.window, start, target{log: f.logs[0], dir: dir}, nil)
	}}
}

// observe runs a contender beside the containers and measures what it does with
// the lines that they write within a window. meanwhile, if there is one, runs for as
// long as the window.
func (f *fleet) observe(ctx context.Context, window time.Duration, start func(target) (*process, error), t target, meanwhile func(context.Context)) (v values, err error) {
	from := time.Now().Add(settle)
	until := from.Add(window)
	sink, err := startSink(ctx, false, "-from", fmt.Sprint(from.UnixNano()), "-until", fmt.Sprint(until.UnixNano()))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			sink.kill()
		}
	}()
	t.address = sink.address
	p, err := start(t)
	if err != nil {
		return nil, err
	}
	defer func() {
		var exit *exec.ExitError
		// Not every program says with its exit code that it was told to end.
		if stopped := p.stop(); stopped != nil && !errors.As(stopped, &exit) {
			err = errors.Join(err, stopped)
		}
		if err != nil {
			err = fmt.Errorf("%w; its last words: %s", err, p.tail())
		}
	}()
	pause(ctx, time.Until(from))
	engine := processNamed("dockerd")
	began := time.Now()
	before, err := accountOf(p.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	engineBefore, _ := accountOf(engine) // Without one there is no such column.
	if meanwhile == nil {
		pause(ctx, time.Until(until))
	} else {
		bounded, cancel := context.WithDeadline(ctx, until)
		meanwhile(bounded)
		cancel()
		pause(ctx, time.Until(until))
	}
	after, err := accountOf(p.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	engineAfter, engineErr := accountOf(engine)
	took := time.Since(began)
	peak, _ := memoryOf(p.cmd.Process.Pid)
	// The last lines of the window are on their way.
	pause(ctx, 2*time.Second)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	report, err := sink.report()
	if err == nil {
		err = f.ended(ctx)
	}
	if err != nil {
		return nil, err
	}
	if report.Timed == 0 {
		return nil, fmt.Errorf("no line came that was written within the window: %s", report)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	cpu := after.cpu - before.cpu
	v = values{
		delayP50.key: ms(report.P50), delayP99.key: ms(report.P99), delayMax.key: ms(report.Max),
		cpuPerLine.key: float64(cpu) / float64(time.Microsecond) / float64(report.Timed),
		ofACore.key:    100 * cpu.Seconds() / took.Seconds(),
		lineRate.key:   float64(report.Timed) / window.Seconds(),
		peakRSS.key:    float64(peak) / (1 << 20),
	}
	if engineErr == nil {
		v[dockerd.key] = 100 * (engineAfter.cpu - engineBefore.cpu).Seconds() / took.Seconds()
	}
	return v, nil
}
