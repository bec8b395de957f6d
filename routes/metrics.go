package routes

import (
	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of the routes, all read when they are scraped.
var (
	routeLines = prometheus.NewDesc("tallyman_route_lines_total",
		"Lines that the destination has taken.", []string{"route"}, nil)
	routeBytes = prometheus.NewDesc("tallyman_route_bytes_total",
		"Bytes of the lines that the destination has taken, without newlines and framing.", []string{"route"}, nil)
	routeFiltered = prometheus.NewDesc("tallyman_route_filtered_lines_total",
		"Lines that the route's filter left out.", []string{"route"}, nil)
	routeDropped = prometheus.NewDesc("tallyman_route_dropped_lines_total",
		"Lines given up for good, by reason.", []string{"route", "reason"}, nil)
	routeRetries = prometheus.NewDesc("tallyman_route_retries_total",
		"How often the destination had to be tried again.", []string{"route"}, nil)
	routeReadErrors = prometheus.NewDesc("tallyman_route_read_errors_total",
		"Errors while reading logs for the route.", []string{"route"}, nil)
	routeLost = prometheus.NewDesc("tallyman_route_lost_positions_total",
		"Saved positions whose log file had been rotated away, so that lines were lost.", []string{"route"}, nil)
	routeLagBytes = prometheus.NewDesc("tallyman_route_lag_bytes",
		"Bytes of log files that are not delivered yet.", []string{"route"}, nil)
	routeLagSeconds = prometheus.NewDesc("tallyman_route_lag_seconds",
		"Age of the oldest line that was read and is not delivered, 0 when there is none.", []string{"route"}, nil)
	routeUp = prometheus.NewDesc("tallyman_route_up",
		"Whether the destination works: 0 from its first failure until it takes a line again.", []string{"route"}, nil)
	routeContainers = prometheus.NewDesc("tallyman_route_containers",
		"Containers whose log the route reads.", []string{"route"}, nil)
	viewers = prometheus.NewDesc("tallyman_viewers",
		"Clients that are watching logs over HTTP.", nil, nil)
	positionsSaved = prometheus.NewDesc("tallyman_positions_saved",
		"Whether the positions could be saved last time: 0 means that a crash now repeats lines.", nil, nil)
)

var _ prometheus.Collector = (*Table)(nil)

// Describe implements prometheus.Collector.
func (t *Table) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		routeLines, routeBytes, routeFiltered, routeDropped, routeRetries, routeReadErrors, routeLost,
		routeLagBytes, routeLagSeconds, routeUp, routeContainers, viewers, positionsSaved,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t *Table) Collect(ch chan<- prometheus.Metric) {
	for _, r := range t.Routes() {
		r.collect(ch)
	}
	ch <- prometheus.MustNewConstMetric(viewers, prometheus.GaugeValue, float64(t.Viewers()))
	ch <- prometheus.MustNewConstMetric(positionsSaved, prometheus.GaugeValue, oneIf(t.SaveError() == nil))
}

func (r *Route) collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), append([]string{r.String()}, labels...)...)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, r.String())
	}
	count(routeLines, r.stats.Lines.Load())
	count(routeBytes, r.stats.Bytes.Load())
	count(routeFiltered, r.stats.Filtered.Load())
	count(routeRetries, r.stats.Retries.Load())
	count(routeReadErrors, r.stats.ReadErrors.Load())
	count(routeLost, r.stats.LostGenerations.Load())
	for reason, lines := range r.stats.Dropped() {
		count(routeDropped, lines, reason)
	}
	lag := r.Lag()
	gauge(routeLagBytes, float64(lag.Bytes))
	gauge(routeLagSeconds, lag.Age.Seconds())
	gauge(routeUp, oneIf(!lag.Down))
	gauge(routeContainers, float64(lag.Containers))
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
