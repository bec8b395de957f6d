package apilog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"tallyman/collector/record"
)

// The streams are cut at random places, and the process dies at random places:
// every line comes once, in the engine's order, joined as it was.
func TestRandomCuts(t *testing.T) {
	for _, tty := range []bool{false, true} {
		for _, strict := range []bool{false, true} {
			for seed := range uint64(4) {
				t.Run(fmt.Sprintf("tty=%v/strict=%v/%d", tty, strict, seed), func(t *testing.T) {
					testRandomCuts(t, tty, strict, seed)
				})
			}
		}
	}
}

// randomLog fills an engine's log with lines of two streams whose pieces
// alternate, and returns the lines in the order in which they end.
func randomLog(e *fakeEngine, random *rand.Rand, lines, maxLine int) (want []line) {
	var open [record.Streams]struct {
		pieces []piece
		line   line
		// endless says that the line gets no line feed, pending that it is written
		// and nothing has followed it.
		endless, pending bool
	}
	var ended []line
	at := int64(t0)
	for n := 0; n < lines; {
		i := random.IntN(record.Streams)
		if e.tty {
			i = 0
		}
		o := &open[i]
		if len(o.pieces) == 0 {
			// Now and then a line has been overtaken by others.
			at += int64(random.IntN(3000)) * 1000
			mine := at
			if random.IntN(3) == 0 {
				mine -= int64(random.IntN(8000)) * 1000
			}
			if o.pending && mine == o.line.time {
				mine++
			}
			if o.pending {
				o.pending = false
				ended = append(ended, o.line)
			}
			size := random.IntN(200)
			if random.IntN(10) == 0 {
				size = []int{partSize - 1, partSize, partSize + 1, 2 * partSize, 3 * partSize, 60000}[random.IntN(6)]
			}
			text := fmt.Sprintf("%d ", n)
			text += strings.Repeat("x", max(0, size-len(text)))
			n++
			o.line = line{mine, record.Stream(i), text[:min(len(text), maxLine)], len(text) > maxLine}
			for ; len(text) >= partSize; text = text[partSize:] {
				o.pieces = append(o.pieces, piece{time: mine, stream: o.line.stream, text: []byte(text[:partSize])})
			}
			// Where a run has ended at a piece's end, nothing tells that the line has
			// until the next begins.
			o.endless = !o.line.cut && text == "" && len(o.pieces) > 0 && random.IntN(2) == 0
			if !o.endless {
				o.pieces = append(o.pieces, piece{time: mine, stream: o.line.stream, text: []byte(text), whole: true})
			}
		}
		for k := 1 + random.IntN(3); k > 0 && len(o.pieces) > 0; k-- {
			e.pieces = append(e.pieces, o.pieces[0])
			o.pieces = o.pieces[1:]
			want = append(want, ended...)
			ended = ended[:0]
			if o.endless && len(o.pieces) == 0 {
				o.pending = true
				continue
			}
			// A line that is too long is complete when it is.
			if got := 60000 - 60000%partSize; o.line.cut && len(o.pieces) == (60000-got)/partSize ||
				!o.line.cut && len(o.pieces) == 0 {
				want = append(want, o.line)
			}
		}
	}
	return want
}

func testRandomCuts(t *testing.T, tty, strict bool, seed uint64) {
	t.Parallel()
	random := rand.New(rand.NewPCG(seed, 1))
	e := newFakeEngine()
	e.tty, e.strict = tty, strict
	c := web(true)
	c.TTY = tty
	// Some logs are always read from their beginning.
	least := 200_000
	if c.LogDriver = "journald"; seed%2 == 1 {
		c.LogDriver, least = "local", 8_000_000
	}
	// The longest line is cut with its last piece, the fourth.
	const maxLine = 50000
	want := randomLog(e, random, 600, maxLine)
	var mu sync.Mutex
	cuts := rand.New(rand.NewPCG(seed, 2))
	e.cutAfter = func() int {
		mu.Lock()
		defer mu.Unlock()
		return least + cuts.IntN(500000)
	}
	dir := t.TempDir()
	var got []line
	var saved record.Position
	for len(got) < len(want) {
		a := startAgent(t, dir, e, func(o *Options) { o.MaxLine = maxLine })
		r := a.reader(a.log(c), saved)
		got = append(got, r.read(min(1+random.IntN(250), len(want)-len(got)))...)
		saved = r.Position()
		// The process dies here: the next one finds what is on disk now.
		next := t.TempDir()
		if err := os.CopyFS(next, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		a.stop()
		dir = next
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d is %.60v, want %.60v", i, fmt.Sprint(got[i]), fmt.Sprint(want[i]))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
}
