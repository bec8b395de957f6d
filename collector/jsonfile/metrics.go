package jsonfile

import "github.com/prometheus/client_golang/prometheus"

var errorsDesc = prometheus.NewDesc("tallyman_reader_errors_total",
	"What went wrong while reading log files, by kind: broken (records skipped), cut (lines over the maximum), "+
		"truncated (files cut by someone else than the engine), lost_generation (saved positions whose file was gone), "+
		"gap (rotations of which a file may never have been seen), rescue (copies that could not be made), read (file system errors), "+
		"overflow (change notices dropped by the kernel, after which everything is looked at).",
	[]string{"reader", "kind"}, nil)

var (
	rescuedDesc = prometheus.NewDesc("tallyman_rescued_bytes_total",
		"Bytes of log files that were copied because the engine deletes them before they are delivered.", nil, nil)
	givenUpDesc = prometheus.NewDesc("tallyman_given_up_bytes_total",
		"Bytes of log files that were given up for want of disk space.", nil, nil)
)

var _ prometheus.Collector = (*Stats)(nil)

// Describe implements prometheus.Collector.
func (s *Stats) Describe(ch chan<- *prometheus.Desc) {
	ch <- errorsDesc
	ch <- rescuedDesc
	ch <- givenUpDesc
}

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
		{"rescue", s.RescueErrors.Load()},
		{"read", s.ReadErrors.Load()},
		{"overflow", s.Overflows.Load()},
	} {
		ch <- prometheus.MustNewConstMetric(errorsDesc, prometheus.CounterValue, float64(c.value), Driver, c.kind)
	}
	ch <- prometheus.MustNewConstMetric(rescuedDesc, prometheus.CounterValue, float64(s.Rescued.Load()))
	ch <- prometheus.MustNewConstMetric(givenUpDesc, prometheus.CounterValue, float64(s.GivenUp.Load()))
}
