package jsonfile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"tallyman/collector/record"
)

// TestBeforeEnd: a reader that begins n lines before the end reads the last n
// lines, long ones whole, from however many files, and then what comes.
func TestBeforeEnd(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 5))
		root := openRoot(t)
		w := newWriter(t, root.dir)
		w.compress, w.maxFile = seed == 0, 50
		writeRandom(w, random, 110)
		// A line that is being written is not there yet.
		_, err := w.file.WriteString(`{"log":"half`)
		w.must(err)
		log, batch := mustLog(t, root, running(w.id)), record.NewBatch()
		want, _, _ := drain(t, openReader(t, log, record.Oldest()), batch)
		for _, n := range []int{1, 2, 5, len(want) / 2, len(want) - 1, len(want), len(want) + 1, 1 << 30} {
			r := openReader(t, log, record.BeforeEnd(uint32(n)))
			got, _, _ := drain(t, r, batch)
			wantLines(t, got, want[max(0, len(want)-n):])
			w.must(r.Close())
		}
		r := openReader(t, log, record.BeforeEnd(0))
		got, _, _ := drain(t, r, batch)
		wantLines(t, got, nil)
	}
}

// TestBeforeEndOfNothing: a log without a line, and one without a file, are read
// from their beginning.
func TestBeforeEndOfNothing(t *testing.T) {
	root := openRoot(t)
	w := newWriter(t, root.dir)
	log, batch := mustLog(t, root, running(w.id)), record.NewBatch()
	empty := openReader(t, log, record.BeforeEnd(3))
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprint(i))
		w.line(want[i], record.Stdout)
	}
	got, _, _ := drain(t, empty, batch)
	wantLines(t, got, want)
	w.must(os.Remove(w.path(0)))
	if _, err := root.Log(running(w.id)); err != nil {
		t.Fatal(err)
	}
	h := openHistory(t, w)
	if at, err := h.BeforeEnd(3); err != nil || !at.IsOldest() {
		t.Errorf("without a file the position is %v, %v", at, err)
	}
}
