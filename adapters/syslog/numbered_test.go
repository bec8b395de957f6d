package syslog

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

// numberedBatches returns batches of lines with a number of seven digits each.
func numberedBatches(total int) []*record.Batch {
	const size = 500
	var batches []*record.Batch
	for i := 0; i < total; i += size {
		lines := make([][]byte, min(size, total-i))
		for j := range lines {
			lines[j] = fmt.Appendf(nil, "number %07d of a line that is neither long nor short", i+j)
		}
		batches = append(batches, adaptertest.NewBatch(web(), lines...))
	}
	return batches
}

// countNumbered counts which lines are not in a file and which are there more
// than once.
func countNumbered(t *testing.T, file string, total int) (missing, repeated int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	seen := make([]int, total)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		_, rest, ok := strings.Cut(lines.Text(), " number ")
		if !ok || len(rest) < 7 {
			// A server that was killed may leave half a line.
			t.Logf("not a whole line: %q", lines.Text())
			continue
		}
		n, err := strconv.Atoi(rest[:7])
		if err != nil || n >= total {
			t.Logf("not a whole line: %q", lines.Text())
			continue
		}
		seen[n]++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, n := range seen {
		switch {
		case n == 0:
			missing++
		default:
			repeated += n - 1
		}
	}
	return missing, repeated
}
