package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Columns of the cases metrics.
var (
	cpuPerScrape = column{"cpu_ms_per_scrape", "CPU ms/scrape", 2}
	cpuPerMinute = column{"cpu_s_per_minute", "CPU s/min without scrapes", 3}
)

// scrapesPerRun is how often the metrics are asked for in one run, betweenScrapes how
// long is waited after each.
const (
	scrapesPerRun  = 40
	betweenScrapes = 50 * time.Millisecond
)

func metricsCases() []benchCase {
	of := func(n int) benchCase {
		return benchCase{
			name:    fmt.Sprint("metrics/", n),
			about:   fmt.Sprintf("/metrics of %d real containers that write a line a second; CPU is the agent's, less what it uses without scrapes; the floor reads the same files and does nothing with them", n),
			columns: []column{cpuPerScrape, scrapeP50, scrapeSize, cpuPerMinute, presentRSS, peakRSS}, contained: true,
			prepare: func(ctx context.Context, l *lab) ([]runner, error) { return prepareMetrics(ctx, l, n) },
		}
	}
	return []benchCase{of(10), of(100)}
}

func prepareMetrics(ctx context.Context, l *lab, n int) ([]runner, error) {
	if l.agent == "" {
		return nil, nil
	}
	f, err := startFleet(ctx, l, n, "-rate", "1")
	if err != nil {
		return nil, err
	}
	of := func(name string, routes int, packed bool) runner {
		return runner{name: name, run: func(ctx context.Context, dir string) (values, error) {
			return f.scrapes(ctx, l, dir, routes, packed)
		}}
	}
	floor := runner{name: floorName, run: func(ctx context.Context, _ string) (values, error) { return f.floorOfMetrics(ctx) }}
	return []runner{floor, of("text, no routes", 0, false), of("text, 3 routes", 3, false), of("gzip, 3 routes", 3, true)}, nil
}

// scrapes runs an agent, which sends what the fleet writes by so many routes, leaves
// it alone for the lab's window, and scrapes it then.
func (f *fleet) scrapes(ctx context.Context, l *lab, dir string, routes int, packed bool) (v values, err error) {
	sink, err := startSink(ctx, false, "-count")
	if err != nil {
		return nil, err
	}
	defer sink.kill()
	var uris []string
	for i := range routes {
		uris = append(uris, fmt.Sprintf("syslog+tcp://%s?filter.name=%s*&name=route-%d", sink.address, f.prefix, i))
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := startAgent(l.agent, target{dir: dir}, listen, uris...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, p.stop()); err != nil {
			err = fmt.Errorf("%w; its last words: %s", err, p.tail())
		}
	}()
	url := "http://" + listen + "/metrics"
	// The first scrape opens what the next ones read.
	for begun := time.Now(); ; pause(ctx, 100*time.Millisecond) {
		if _, _, err = scrapeOnce(ctx, url, packed); err == nil || ctx.Err() != nil || time.Since(begun) > time.Minute {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	pause(ctx, settle)
	alone, idle, err := spent(p, func() error { pause(ctx, l.window); return ctx.Err() })
	if err != nil {
		return nil, err
	}
	s := new(scraper)
	busy, took, err := spent(p, func() error {
		for range scrapesPerRun {
			size, took, err := scrapeOnce(ctx, url, packed)
			if err != nil {
				return err
			}
			s.took, s.size = append(s.took, float64(took)/float64(time.Millisecond)), size
			pause(ctx, betweenScrapes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	peak, now := memoryOf(p.cmd.Process.Pid)
	rate := alone.Seconds() / idle.Seconds()
	v = values{
		cpuPerScrape.key: 1000 * (busy.Seconds() - rate*took.Seconds()) / scrapesPerRun,
		cpuPerMinute.key: 60 * rate,
		presentRSS.key:   float64(now) / (1 << 20), peakRSS.key: float64(peak) / (1 << 20),
	}
	return v, s.into(v)
}

// spent returns what CPU time a process has used meanwhile, and how long it took.
func spent(p *process, do func() error) (cpu, took time.Duration, err error) {
	began := time.Now()
	before, err := accountOf(p.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	err = do()
	after, accountErr := accountOf(p.cmd.Process.Pid)
	return after.cpu - before.cpu, time.Since(began), errors.Join(err, accountErr)
}

// scrapeOnce asks for the metrics, as they are or packed, and returns the number of
// bytes that came and how long it took.
func scrapeOnce(ctx context.Context, url string, packed bool) (size int64, took time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("scraping: %w", err)
	}
	coding := "identity"
	if packed {
		coding = "gzip"
	}
	// The client would ask for gzip, and unpack it, by itself.
	request.Header.Set("Accept-Encoding", coding)
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, fmt.Errorf("scraping: %w", err)
	}
	defer response.Body.Close()
	size, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("scraping %q: %s", url, response.Status)
	}
	return size, time.Since(began), err
}
