package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Columns of the case scrape.
var (
	scrapeP50  = column{"scrape_p50_ms", "scrape p50 ms", 1}
	scrapeMax  = column{"scrape_max_ms", "scrape max ms", 1}
	scrapeSize = column{"scrape_kib", "KiB", 0}
)

// scrapeEvery is far more often than Prometheus asks, so that there is something
// to take the median of.
const scrapeEvery = 250 * time.Millisecond

func scrapeCases() []benchCase {
	return []benchCase{{
		name: "scrape", about: "/metrics four times a second, while one container writes as fast as it can",
		columns: []column{scrapeP50, scrapeMax, scrapeSize, ofACore, delayP99, lineRate, peakRSS}, contained: true, prepare: prepareScrape,
	}}
}

func prepareScrape(ctx context.Context, l *lab) ([]runner, error) {
	if l.agent == "" {
		return nil, nil
	}
	f, err := startFleet(ctx, l, 1)
	if err != nil {
		return nil, err
	}
	of := func(name string, scrape bool) runner {
		return runner{name: name, run: func(ctx context.Context, dir string) (values, error) {
			listen, err := freeAddress()
			if err != nil {
				return nil, err
			}
			start := func(t target) (*process, error) {
				return startAgent(l.agent, t, listen, "syslog+tcp://"+t.address+"?filter.name="+f.prefix+"*")
			}
			s := &scraper{url: "http://" + listen + "/metrics"}
			var meanwhile func(context.Context)
			if scrape {
				meanwhile = s.run
			}
			v, err := f.observe(ctx, l.window, start, target{log: f.logs[0], dir: dir}, meanwhile)
			if err == nil && scrape {
				err = s.into(v)
			}
			return v, err
		}}
	}
	return []runner{of("not scraped", false), of("scraped", true)}, nil
}

// freeAddress finds an address of the loopback interface that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// scraper asks for the metrics again and again.
type scraper struct {
	url  string
	took []float64 // in milliseconds
	size int64
	err  error
}

func (s *scraper) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		page, err := scrape(ctx, s.url)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.err = err
			return
		}
		s.took, s.size = append(s.took, float64(time.Since(began))/float64(time.Millisecond)), int64(len(page))
		pause(ctx, scrapeEvery-time.Since(began))
	}
}

func scrape(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("scraping: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("scraping: %w", err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("scraping %q: %s", url, response.Status)
	}
	return page, err
}

// metric returns the value of a metric without labels.
func metric(ctx context.Context, url, name string) (float64, error) {
	page, err := scrape(ctx, url)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(page)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", url, name)
}

// into adds what was seen.
func (s *scraper) into(v values) error {
	if s.err != nil {
		return s.err
	}
	v[scrapeP50.key], v[scrapeMax.key] = quantile(s.took, 0.5), quantile(s.took, 1)
	v[scrapeSize.key] = float64(s.size) / 1024
	return nil
}
