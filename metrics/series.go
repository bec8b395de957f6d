package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// kind is whether a family's values only ever grow.
type kind uint8

const (
	gauge kind = iota
	counter
)

// series is one sample of one family. Its labels are rendered already and may be
// shared with other series.
type series struct {
	desc   *prometheus.Desc
	kind   kind
	labels []*dto.LabelPair
	value  float64
}

// newDesc describes a family whose labels its series bring along.
func newDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, nil, nil)
}

// Desc returns the description of the family.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write puts the sample into out. The labels have no spare capacity, so that a
// wrapper that appends to them does not write into what is shared.
func (s *series) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.kind == counter {
		out.Counter = &dto.Counter{Value: &s.value}
	} else {
		out.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}

// mergeLabels returns base, which is sorted by name, with more labels in their
// places. The names are sorted too and none is in base.
func mergeLabels(base []*dto.LabelPair, names, values []string) []*dto.LabelPair {
	if len(names) == 0 {
		return base
	}
	merged := make([]*dto.LabelPair, 0, len(base)+len(names))
	for i := range names {
		for len(base) > 0 && base[0].GetName() < names[i] {
			merged, base = append(merged, base[0]), base[1:]
		}
		merged = append(merged, newLabel(names[i], values[i]))
	}
	return append(merged, base...)
}

// newLabel returns a label.
func newLabel(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: &name, Value: &value}
}
