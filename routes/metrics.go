package routes

import (
	"github.com/prometheus/client_golang/prometheus"

	"tallyman/collector/record"
)

// The metrics of the routes, all read when they are scraped.
var (
	routeRead = prometheus.NewDesc("tallyman_route_read_lines_total",
		"Lines read for the route: the sum of those delivered, filtered, dropped and in flight. A line counts once.", []string{"route"}, nil)
	routeReadBytes = prometheus.NewDesc("tallyman_route_read_bytes_total",
		"Bytes of the lines read, without newlines.", []string{"route"}, nil)
	routeLines = prometheus.NewDesc("tallyman_route_lines_total",
		"Lines that the destination has taken.", []string{"route"}, nil)
	routeBytes = prometheus.NewDesc("tallyman_route_bytes_total",
		"Bytes of the lines that the destination has taken, without newlines and framing.", []string{"route"}, nil)
	routeFiltered = prometheus.NewDesc("tallyman_route_filtered_lines_total",
		"Lines that the route's filter left out.", []string{"route"}, nil)
	routeFilteredBytes = prometheus.NewDesc("tallyman_route_filtered_bytes_total",
		"Bytes of the lines that the route's filter left out.", []string{"route"}, nil)
	routeDropped = prometheus.NewDesc("tallyman_route_dropped_lines_total",
		"Lines given up for good, by reason.", []string{"route", "reason"}, nil)
	routeDroppedBytes = prometheus.NewDesc("tallyman_route_dropped_bytes_total",
		"Bytes of the lines given up for good, by reason, as far as they are known.", []string{"route", "reason"}, nil)
	routeResent = prometheus.NewDesc("tallyman_route_resent_lines_total",
		"Lines taken back from a destination that failed, to be sent again.", []string{"route"}, nil)
	routeResentBytes = prometheus.NewDesc("tallyman_route_resent_bytes_total",
		"Bytes of the lines taken back.", []string{"route"}, nil)
	routeInFlight = prometheus.NewDesc("tallyman_route_in_flight_lines",
		"Lines that were read and are not settled.", []string{"route"}, nil)
	routeInFlightBytes = prometheus.NewDesc("tallyman_route_in_flight_bytes",
		"Bytes of the lines that were read and are not settled.", []string{"route"}, nil)
	routeBalanced = prometheus.NewDesc("tallyman_route_balanced",
		"Whether the tally agrees with itself: read = delivered + filtered + dropped + in flight.", []string{"route"}, nil)
	routeAltered = prometheus.NewDesc("tallyman_route_altered_lines_total",
		"Lines that were delivered otherwise than they were written, by what was done, such as cut.", []string{"route", "event"}, nil)
	routeRetries = prometheus.NewDesc("tallyman_route_retries_total",
		"How often the destination had to be tried again.", []string{"route"}, nil)
	routeReadErrors = prometheus.NewDesc("tallyman_route_read_errors_total",
		"Errors while reading logs for the route.", []string{"route"}, nil)
	routeLost = prometheus.NewDesc("tallyman_lost_generations_total",
		"Saved positions whose log file had been rotated away, so that lines were lost.", []string{"route"}, nil)
	routeLagBytes = prometheus.NewDesc("tallyman_route_lag_bytes",
		"Bytes of log files that are not delivered yet.", []string{"route"}, nil)
	routeLagSeconds = prometheus.NewDesc("tallyman_route_lag_seconds",
		"Age of the oldest line that was read and is not delivered, 0 when there is none.", []string{"route"}, nil)
	routeUp = prometheus.NewDesc("tallyman_route_up",
		"Whether the destination works: 0 from its first failure until it takes a line again.", []string{"route"}, nil)
	routeContainers = prometheus.NewDesc("tallyman_route_containers",
		"Containers whose log the route reads.", []string{"route"}, nil)
	containerLines = prometheus.NewDesc("tallyman_container_lines_total",
		"Lines of a container's log that a route has read, by what became of them: delivered, filtered, or dropped.", containerLabels("outcome"), nil)
	containerBytes = prometheus.NewDesc("tallyman_container_bytes_total",
		"Bytes of those lines.", containerLabels("outcome"), nil)
	containerInFlight = prometheus.NewDesc("tallyman_container_in_flight_lines",
		"Lines of a container's log that a route has read and not settled.", containerLabels(), nil)
	containerLag = prometheus.NewDesc("tallyman_container_lag_bytes",
		"Bytes of a container's log that a route has not settled.", containerLabels(), nil)
	viewers = prometheus.NewDesc("tallyman_viewers",
		"Clients that are watching logs over HTTP.", nil, nil)
	positionsUnsaved = prometheus.NewDesc("tallyman_positions_save_errors_total",
		"How often the positions could not be saved.", nil, nil)
	positionsSaved = prometheus.NewDesc("tallyman_positions_saved",
		"Whether the positions could be saved last time: 0 means that a crash now repeats lines.", nil, nil)
)

// containerLabels are the labels of what is told of each container.
func containerLabels(more ...string) []string {
	return append([]string{"route", "id", "name"}, more...)
}

var _ prometheus.Collector = (*Table)(nil)

// Describe implements prometheus.Collector.
func (t *Table) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		routeRead, routeReadBytes, routeLines, routeBytes, routeFiltered, routeFilteredBytes,
		routeDropped, routeDroppedBytes, routeResent, routeResentBytes, routeInFlight, routeInFlightBytes, routeBalanced, routeAltered, routeRetries, routeReadErrors, routeLost,
		routeLagBytes, routeLagSeconds, routeUp, routeContainers,
		containerLines, containerBytes, containerInFlight, containerLag, viewers, positionsSaved, positionsUnsaved,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t *Table) Collect(ch chan<- prometheus.Metric) {
	for _, r := range t.Routes() {
		r.collect(ch)
		if t.cfg.ContainerMetrics {
			r.collectContainers(ch)
		}
	}
	ch <- prometheus.MustNewConstMetric(viewers, prometheus.GaugeValue, float64(t.Viewers()))
	t.mu.Lock()
	unsaved := t.unsaved
	t.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(positionsUnsaved, prometheus.CounterValue, float64(unsaved))
	ch <- prometheus.MustNewConstMetric(positionsSaved, prometheus.GaugeValue, oneIf(t.SaveError() == nil))
}

func (r *Route) collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), append([]string{r.String()}, labels...)...)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, r.String())
	}
	tally := r.totals()
	both := func(lines, bytes *prometheus.Desc, n record.Count, labels ...string) {
		count(lines, n.Lines, labels...)
		count(bytes, n.Bytes, labels...)
	}
	both(routeRead, routeReadBytes, tally.Read)
	both(routeLines, routeBytes, tally.Delivered)
	both(routeFiltered, routeFilteredBytes, tally.Filtered)
	for _, d := range tally.Dropped {
		both(routeDropped, routeDroppedBytes, d.Count, d.Reason)
	}
	both(routeResent, routeResentBytes, tally.Resent)
	gauge(routeInFlight, float64(tally.InFlight.Lines))
	gauge(routeInFlightBytes, float64(tally.InFlight.Bytes))
	gauge(routeBalanced, oneIf(tally.Balanced))
	count(routeRetries, r.stats.Retries.Load())
	count(routeReadErrors, r.stats.ReadErrors.Load())
	count(routeLost, tally.Gaps)
	for event, lines := range r.stats.Events() {
		count(routeAltered, lines, event)
	}
	lag := r.Lag()
	gauge(routeLagBytes, float64(lag.Bytes))
	gauge(routeLagSeconds, lag.Age.Seconds())
	gauge(routeUp, oneIf(!lag.Down))
	gauge(routeContainers, float64(lag.Containers))
}

// collectContainers tells the account of each container whose log the route
// reads, since the route first met it.
func (r *Route) collectContainers(ch chan<- prometheus.Metric) {
	tally := r.Tally()
	for i := range tally.Containers {
		c := &tally.Containers[i]
		if !c.Ended.IsZero() {
			continue
		}
		labels := []string{r.String(), c.ID, c.Name}
		count := func(outcome string, n record.Count) {
			with := append(labels[:len(labels):len(labels)], outcome)
			ch <- prometheus.MustNewConstMetric(containerLines, prometheus.CounterValue, float64(n.Lines), with...)
			ch <- prometheus.MustNewConstMetric(containerBytes, prometheus.CounterValue, float64(n.Bytes), with...)
		}
		dropped := c.Settled()
		dropped.Sub(c.Delivered)
		dropped.Sub(c.Filtered)
		count("delivered", c.Delivered)
		count("filtered", c.Filtered)
		count("dropped", dropped)
		ch <- prometheus.MustNewConstMetric(containerInFlight, prometheus.GaugeValue, float64(c.InFlight.Lines), labels...)
		ch <- prometheus.MustNewConstMetric(containerLag, prometheus.GaugeValue, float64(c.Behind), labels...)
	}
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
