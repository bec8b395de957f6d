//go:build !race

package routes

import "testing"

// TestStagesAllocate: what is done with lines costs no allocation. With the race
// detector sync.Pool forgets some of what package regexp keeps in it.
func TestStagesAllocate(t *testing.T) {
	for _, options := range []string{
		"filter.sources=stdout", tenFilters + "&redact=bearer,card,email", "ansi=strip&sample=1/2", "multiline=java", "multiline=^[0-9]",
	} {
		b := newBench(t, options, 120)
		if n := testing.AllocsPerRun(20, b.run); n > 1 {
			t.Errorf("%s: %v allocations for %d lines", options, n, len(b.records))
		}
	}
}
