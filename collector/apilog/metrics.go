package apilog

import "github.com/prometheus/client_golang/prometheus"

var (
	errorsDesc = prometheus.NewDesc("tallyman_api_reader_errors_total",
		"What went wrong while reading logs through the engine, by kind: broken (records without a time), cut (lines over the maximum), "+
			"gap (streams that did not reach back to what was read before, so that lines may be lost), stream (streams that could not be opened or broke).",
		[]string{"kind"}, nil)
	repeatsDesc = prometheus.NewDesc("tallyman_api_reader_repeats_total",
		"Records that the engine sent again after an interruption, and that were left out.", nil, nil)
)

var _ prometheus.Collector = (*Stats)(nil)

// Describe implements prometheus.Collector.
func (s *Stats) Describe(ch chan<- *prometheus.Desc) {
	ch <- errorsDesc
	ch <- repeatsDesc
}

// Collect implements prometheus.Collector.
func (s *Stats) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []struct {
		kind  string
		value int64
	}{
		{"broken", s.Broken.Load()},
		{"cut", s.Cut.Load()},
		{"gap", s.Gaps.Load()},
		{"stream", s.Errors.Load()},
	} {
		ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(c.value), c.kind)
	}
	ch <- prometheus.MustNewConstMetric(repeatsDesc, prometheus.CounterValue, float64(s.Repeats.Load()))
}
