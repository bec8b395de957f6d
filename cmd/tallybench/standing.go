package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// column is something that is measured in each run of a case.
type column struct {
	// key names it in the results, title in the table, with its unit.
	key, title string
	digits     int
}

// The columns that several cases have.
var (
	cpuPerLine    = column{"cpu_us_per_line", "µs CPU/line", 3}
	lineRate      = column{"lines_per_second", "lines/s", 0}
	allocsPerLine = column{"allocations_per_line", "allocs/line", 3}
	peakRSS       = column{"peak_rss_mib", "peak MiB", 1}
	delayP50      = column{"delay_p50_ms", "p50 ms", 2}
	delayP99      = column{"delay_p99_ms", "p99 ms", 2}
	delayMax      = column{"delay_max_ms", "max ms", 1}
	ofACore       = column{"core_percent", "% of a core", 2}
	dockerd       = column{"dockerd_core_percent", "dockerd %", 1}
)

// values are what one run came to, by the keys of columns.
type values map[string]float64

// spread is the middle of several runs, and how far they lie apart.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"min"`
	Most   float64 `json:"max"`
}

// standing is what one contender did in all runs of a case.
type standing struct {
	Name    string            `json:"name"`
	Rounds  []values          `json:"rounds"`
	Spreads map[string]spread `json:"spreads"`
	// ToFloor is the CPU time a line as a multiple of the floor's: the median of
	// the ratios within each round, since what else the machine did then slowed
	// both. It is 0 where there is no floor.
	ToFloor float64 `json:"ratio_to_floor,omitempty"`
}

// result is a case with all its standings.
type result struct {
	Case       string     `json:"case"`
	About      string     `json:"about"`
	Contenders []standing `json:"contenders"`
	columns    []column
}

// summarize fills in what follows from the rounds. The floor, where there is
// one, is the first.
func (r *result) summarize() {
	for i := range r.Contenders {
		s := &r.Contenders[i]
		s.Spreads = make(map[string]spread)
		for _, c := range r.columns {
			var all []float64
			for _, round := range s.Rounds {
				if v, ok := round[c.key]; ok {
					all = append(all, v)
				}
			}
			if len(all) > 0 {
				s.Spreads[c.key] = spread{median(all), slices.Min(all), slices.Max(all)}
			}
		}
		s.ToFloor = toFloor(s.Rounds, r.Contenders[0])
	}
}

func toFloor(rounds []values, floor standing) float64 {
	if floor.Name != floorName {
		return 0
	}
	var ratios []float64
	for _, c := range []column{cpuPerLine, cpuPerScrape} {
		for i := range min(len(rounds), len(floor.Rounds)) {
			if below := floor.Rounds[i][c.key]; below > 0 {
				ratios = append(ratios, rounds[i][c.key]/below)
			}
		}
	}
	if len(ratios) == 0 {
		return 0
	}
	return median(ratios)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// quantile returns the value that a share q of all does not exceed.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// table prints a case for a person: each median, and how far the rounds lie
// apart.
func (r *result) table(w io.Writer) error {
	rows := [][]string{{"contender"}}
	for _, c := range r.columns {
		rows[0] = append(rows[0], c.title)
	}
	hasFloor := slices.ContainsFunc(r.Contenders, func(s standing) bool { return s.ToFloor > 0 })
	if hasFloor {
		rows[0] = append(rows[0], "to floor")
	}
	for _, s := range r.Contenders {
		row := []string{s.Name}
		for _, c := range r.columns {
			row = append(row, s.cell(c))
		}
		if hasFloor {
			row = append(row, fmt.Sprintf("%.2f", s.ToFloor))
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", r.Case, r.About)
	for _, row := range rows {
		for i, text := range row {
			width := 0
			for _, other := range rows {
				width = max(width, len([]rune(other[i])))
			}
			gap := strings.Repeat(" ", width-len([]rune(text)))
			if i == 0 {
				b.WriteString(text + gap)
			} else {
				b.WriteString("  " + gap + text)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *standing) cell(c column) string {
	v, ok := s.Spreads[c.key]
	if !ok {
		return "-"
	}
	text := fmt.Sprintf("%.*f", c.digits, v.Median)
	if len(s.Rounds) > 1 && cmp.Compare(v.Least, v.Most) != 0 {
		text += fmt.Sprintf(" (%.*f–%.*f)", c.digits, v.Least, c.digits, v.Most)
	}
	return text
}
