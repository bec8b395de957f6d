package spool

import "github.com/prometheus/client_golang/prometheus"

var (
	bytesDesc = prometheus.NewDesc("tallyman_spool_bytes",
		"Bytes that copied logs take on disk.", nil, nil)
	budgetDesc = prometheus.NewDesc("tallyman_held_max_bytes",
		"Bytes of disk that lines may take that exist nowhere else any more.", nil, nil)
	droppedDesc = prometheus.NewDesc("tallyman_spool_dropped_lines_total",
		"Lines that a reader has passed over because they were removed for the budget, or damaged; each reader by itself.", nil, nil)
	evictedDesc = prometheus.NewDesc("tallyman_spool_evicted_bytes_total",
		"Bytes of copied logs that were removed for the budget, delivered or not.", nil, nil)
	errorsDesc = prometheus.NewDesc("tallyman_spool_errors_total",
		"What went wrong with copied logs, by kind: corrupt (damaged blocks), write and read (errors of the file system).",
		[]string{"kind"}, nil)
)

var _ prometheus.Collector = (*Spool)(nil)

// Describe implements prometheus.Collector.
func (s *Spool) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{bytesDesc, budgetDesc, droppedDesc, evictedDesc, errorsDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Spool) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(s.Held()))
	ch <- prometheus.MustNewConstMetric(budgetDesc, prometheus.GaugeValue, float64(s.options.Budget.Limit()))
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.stats.Dropped.Load()))
	ch <- prometheus.MustNewConstMetric(evictedDesc, prometheus.CounterValue, float64(s.stats.EvictedBytes.Load()))
	for _, c := range []struct {
		kind  string
		value int64
	}{
		{"corrupt", s.stats.CorruptBlocks.Load()},
		{"write", s.stats.WriteErrors.Load()},
		{"read", s.stats.ReadErrors.Load()},
	} {
		ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(c.value), c.kind)
	}
}
