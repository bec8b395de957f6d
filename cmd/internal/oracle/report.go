package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Gap is a range of numbers that have not come, both ends included.
type Gap struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// SourceReport says what has come of one source.
type SourceReport struct {
	// Source is the name and run, as in the mark.
	Source string `json:"source"`
	// Expected is the number of the last line that was written; when nobody has
	// said so, it is the highest that came, and lines lost at the end are not
	// noticed.
	Expected uint64 `json:"expected"`
	// Distinct counts the numbers that came, Missing those up to Expected that
	// did not, Beyond those that came though they are above Expected.
	Distinct uint64 `json:"distinct"`
	Missing  uint64 `json:"missing"`
	Beyond   uint64 `json:"beyond"`
	// Duplicates counts the lines that came again. Reordered counts those that
	// came for the first time after a later line of their stream.
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
	// Gaps are the first of the missing ranges.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Report says what a sink has received.
type Report struct {
	Lines int64 `json:"lines"`
	Bytes int64 `json:"bytes"`
	// Connections counts the connections accepted.
	Connections int64 `json:"connections"`
	// Torn counts connections that ended within a line. That line is in no
	// other count.
	Torn int64 `json:"torn"`
	// Unmarked counts the lines without a mark; Samples are the first of them.
	Unmarked int64    `json:"unmarked"`
	Samples  []string `json:"samples,omitempty"`
	// First and Last are when the first and the last byte came; zero when none
	// did.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Missing, Duplicates and Reordered are the sums over the sources.
	Missing    uint64 `json:"missing"`
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
	// P50, P99 and Max are of the time from a line's making to its arrival.
	P50 time.Duration `json:"delay_p50_ns"`
	P99 time.Duration `json:"delay_p99_ns"`
	Max time.Duration `json:"delay_max_ns"`
	// Timed is how many lines' delays these are of.
	Timed uint64 `json:"delay_lines"`
	// Sources are ordered by name.
	Sources []SourceReport `json:"sources,omitempty"`
}

// maxGaps is how many gaps a report names for each source.
const maxGaps = 10

// Report returns what has come until now.
func (s *Sink) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{
		Lines: s.lines, Bytes: s.bytes, Connections: s.accepted, Torn: s.torn,
		Unmarked: s.unmarked, Samples: slices.Clone(s.samples), First: s.first, Last: s.last,
		P50: s.delays.quantile(0.50), P99: s.delays.quantile(0.99), Max: s.delays.greatest,
		Timed: s.delays.count,
	}
	for name, l := range s.ledgers {
		source := SourceReport{
			Source: name, Expected: l.upTo(), Distinct: l.distinct, Missing: l.missing(),
			Duplicates: l.duplicates, Reordered: l.reordered, Gaps: l.gaps(maxGaps),
		}
		source.Beyond = l.distinct - (source.Expected - source.Missing)
		r.Missing += source.Missing
		r.Duplicates += source.Duplicates
		r.Reordered += source.Reordered
		r.Sources = append(r.Sources, source)
	}
	slices.SortFunc(r.Sources, func(a, b SourceReport) int { return cmp.Compare(a.Source, b.Source) })
	return r
}

// Exact reports whether every expected line came once, in order, and nothing
// else did.
func (r Report) Exact() bool {
	for _, s := range r.Sources {
		if s.Beyond > 0 {
			return false
		}
	}
	return r.Missing == 0 && r.Duplicates == 0 && r.Reordered == 0 && r.Unmarked == 0 && r.Torn == 0
}

// String writes the report for a person: a line of sums, then a line for each
// source with something to say of it.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines (%d bytes) on %d connections: %d missing, %d repeated, %d reordered, %d unmarked, %d torn",
		r.Lines, r.Bytes, r.Connections, r.Missing, r.Duplicates, r.Reordered, r.Unmarked, r.Torn)
	if r.Max > 0 {
		fmt.Fprintf(&b, "; delay %s median, %s p99, %s max", round(r.P50), round(r.P99), round(r.Max))
	}
	for _, s := range r.Sources {
		if s.Missing == 0 && s.Duplicates == 0 && s.Reordered == 0 && s.Beyond == 0 && len(r.Sources) > 8 {
			continue
		}
		fmt.Fprintf(&b, "\n  %s: %d of %d", s.Source, s.Expected-s.Missing, s.Expected)
		if s.Missing > 0 {
			fmt.Fprintf(&b, ", %d missing:", s.Missing)
			for _, g := range s.Gaps {
				if g.From == g.To {
					fmt.Fprintf(&b, " %d", g.From)
				} else {
					fmt.Fprintf(&b, " %d-%d", g.From, g.To)
				}
			}
			if len(s.Gaps) == maxGaps {
				b.WriteString(" …")
			}
		}
		if s.Duplicates > 0 {
			fmt.Fprintf(&b, ", %d repeated", s.Duplicates)
		}
		if s.Reordered > 0 {
			fmt.Fprintf(&b, ", %d reordered", s.Reordered)
		}
		if s.Beyond > 0 {
			fmt.Fprintf(&b, ", %d beyond the end", s.Beyond)
		}
	}
	for _, line := range r.Samples {
		fmt.Fprintf(&b, "\n  unmarked: %q", line)
	}
	return b.String()
}

// round leaves three digits or so.
func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d
}
