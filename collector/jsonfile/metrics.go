package jsonfile

import "github.com/prometheus/client_golang/prometheus"

var errorsDesc = prometheus.NewDesc("tallyman_reader_errors_total",
	"What went wrong while reading log files, by kind: broken (records skipped), cut (lines over the maximum), "+
		"truncated (files cut by someone else than the engine), lost_generation (saved positions whose file was gone), "+
		"gap (rotations of which a file may never have been seen), read (file system errors), "+
		"overflow (change notices dropped by the kernel, after which everything is looked at).",
	[]string{"reader", "kind"}, nil)

var _ prometheus.Collector = (*Stats)(nil)

// Describe implements prometheus.Collector.
func (s *Stats) Describe(ch chan<- *prometheus.Desc) { ch <- errorsDesc }

// Collect implements prometheus.Collector.
func (s *Stats) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []struct {
		kind  string
		value int64
	}{
		{"broken", s.Broken.Load()},
		{"cut", s.Cut.Load()},
		{"truncated", s.Truncations.Load()},
		{"lost_generation", s.LostGenerations.Load()},
		{"gap", s.Gaps.Load()},
		{"read", s.ReadErrors.Load()},
		{"overflow", s.Overflows.Load()},
	} {
		ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(c.value), Driver, c.kind)
	}
}
