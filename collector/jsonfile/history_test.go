package jsonfile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyman/collector/record"
)

// kept is a line as a test keeps it.
type kept struct {
	text  string
	time  int64
	after record.Position
}

// writeRandom has a container write lines, long ones and of both streams at
// once, and its log rotated.
func writeRandom(w *writer, random *rand.Rand, steps int) {
	type piece struct {
		rest string
		at   time.Time
	}
	var open [record.Streams]piece
	for n := range steps {
		stream := record.Stream(random.IntN(2))
		p := &open[stream]
		switch {
		case p.rest == "" && random.IntN(6) > 0:
			w.line(fmt.Sprintf("%d %v <needle> %s", n, stream, strings.Repeat("x", random.IntN(200))), stream)
		case p.rest == "":
			*p = piece{longText(n, partSize+random.IntN(6*partSize)), w.tick()}
		case len(p.rest) >= partSize:
			w.write(p.rest[:partSize], stream, p.at)
			p.rest = p.rest[partSize:]
		default:
			w.write(p.rest+"\n", stream, p.at)
			p.rest = ""
		}
		if random.IntN(steps/6) == 0 {
			w.rotate()
		}
	}
	for stream := range open {
		if p := &open[stream]; p.rest != "" {
			for len(p.rest) >= partSize {
				w.write(p.rest[:partSize], record.Stream(stream), p.at)
				p.rest = p.rest[partSize:]
			}
			w.write(p.rest+"\n", record.Stream(stream), p.at)
		}
	}
}

func openHistory(t testing.TB, w *writer) *History {
	t.Helper()
	h, err := OpenHistory(HistoryOptions{Dir: strings.TrimSuffix(w.dir, "/"+w.id), ID: w.id, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func keep(lines []HistoryLine) []kept {
	var list []kept
	for i := range lines {
		l := &lines[i]
		list = append(list, kept{string(l.Line), l.Time, l.After})
	}
	return list
}

// readBack reads from a place to the oldest line, n bytes at a time.
func readBack(t testing.TB, h *History, p Place, n func() int64, find func([]byte) int) []kept {
	t.Helper()
	var all []kept
	for {
		from, to, ok, err := h.Before(p, n())
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		chunk, err := h.Read(from, to, find)
		if err != nil {
			t.Fatal(err)
		}
		all = append(keep(chunk.Lines), all...)
		p = from
	}
}

// readOn reads from a place to the end.
func readOn(t testing.TB, h *History, p Place, n func() int64) []kept {
	t.Helper()
	var all []kept
	for {
		from, to, ok, err := h.After(p, h.End(), n())
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		chunk, err := h.Read(from, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, keep(chunk.Lines)...)
		p = to
	}
}

// wantKept compares lines. The position behind a line is compared unless a line
// of the other stream was unfinished there: whether it was cannot be told from
// what lies before alone.
func wantKept(t testing.TB, what string, got, want []kept) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if w.after.Skip > 0 {
			g.after, w.after = record.Position{}, record.Position{}
		}
		if g != w {
			t.Fatalf("%s: line %d is %.60q at %v, want %.60q at %v", what, i, g.text, g.after, w.text, w.after)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d lines, want %d", what, len(got), len(want))
	}
}

// TestHistoryAgreesWithReader compares a log that is read in pieces of any
// length, in both directions and from any place, with what a Reader gives.
func TestHistoryAgreesWithReader(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			root := openRoot(t)
			w := newWriter(t, root.dir)
			w.compress, w.maxFile = seed%4 == 0, 50
			writeRandom(w, random, 110)
			want := readAllOf(t, root, w)
			size := func() int64 { return 1 + random.Int64N(40000<<(seed%4)) }

			h := openHistory(t, w)
			wantKept(t, "backwards", readBack(t, h, h.End(), size, nil), want)
			wantKept(t, "forwards", readOn(t, h, h.Oldest(), size), want)
			needle := []byte("u003cneedle")
			var some []kept
			for _, k := range readBack(t, h, h.End(), size, func(b []byte) int { return bytes.Index(b, needle) }) {
				if strings.Contains(k.text, "<needle>") {
					some = append(some, k)
				}
			}
			wantKept(t, "found", some, slices.DeleteFunc(slices.Clone(want), func(k kept) bool { return !strings.Contains(k.text, "<needle>") }))
			for range 30 {
				i := random.IntN(len(want))
				p, ok, err := h.Find(want[i].after)
				if err != nil || !ok {
					t.Fatalf("the place of line %d: %v %v", i, ok, err)
				}
				wantKept(t, fmt.Sprintf("behind line %d", i), readOn(t, h, p, size), want[i+1:])
			}
			root.drop(w.id)
		})
	}
}

// readAllOf returns what a Reader gives of a log.
func readAllOf(t testing.TB, root *Root, w *writer) []kept {
	t.Helper()
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	defer r.Close()
	var all []kept
	b := record.NewBatch()
	for {
		if err := r.Next(b); err != nil {
			return all
		}
		for i := range b.Records {
			rec := &b.Records[i]
			all = append(all, kept{string(rec.Line), rec.Time, record.Position{Gen: b.End.Gen, Off: rec.Resume, Skip: rec.Skip}})
		}
	}
}

// TestHistoryAtFindsTimes looks for every line by its time.
func TestHistoryAtFindsTimes(t *testing.T) {
	for _, compress := range []bool{false, true} {
		w := newWriter(t, t.TempDir())
		w.compress, w.maxFile = compress, 50
		var times []int64
		for i := range 20000 {
			w.line(fmt.Sprintf("line %d %s", i, strings.Repeat("y", i%150)), record.Stdout)
			times = append(times, w.clock.UnixNano())
			if i%6000 == 5999 {
				w.rotate()
			}
		}
		h := openHistory(t, w)
		all := func() int64 { return 1 << 40 }
		for _, i := range []int{0, 1, 4999, 5999, 6000, 6001, 11999, 12000, 17000, 19999} {
			for _, early := range []int64{0, 1, 1000} {
				p, err := h.At(times[i] - early)
				if err != nil {
					t.Fatal(err)
				}
				from, to, ok, err := h.After(p, h.End(), all())
				if err != nil || !ok {
					t.Fatalf("compressed %v: nothing behind line %d: %v", compress, i, err)
				}
				chunk, err := h.Read(from, to, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := chunk.Lines[0].Time; got != times[i] || chunk.First != times[i] {
					t.Fatalf("compressed %v: looking for line %d less %d ns: found time %d, want %d", compress, i, early, got, times[i])
				}
			}
		}
		if p, err := h.At(times[len(times)-1] + 1); err != nil || p.Compare(h.End()) < 0 {
			t.Fatalf("after the last line: %v, %v, want the end %v", p, err, h.End())
		}
	}
}

// TestHistoryOfDamage holds a file with NUL bytes, as truncation leaves them, and
// with broken records.
func TestHistoryOfDamage(t *testing.T) {
	w := newWriter(t, t.TempDir())
	_, err := w.file.Write(make([]byte, 300<<10))
	w.must(err)
	w.line("first", record.Stdout)
	_, err = w.file.WriteString("{\"log\":broken\n\n")
	w.must(err)
	w.line("second", record.Stderr)
	_, err = w.file.WriteString(`{"log":"torn`)
	w.must(err)
	for _, n := range []int64{1000, 4096, 1 << 20} {
		h := openHistory(t, w)
		var texts []string
		for _, k := range readBack(t, h, h.End(), func() int64 { return n }, nil) {
			texts = append(texts, k.text)
		}
		wantLines(t, texts, []string{"first", "second"})
	}
}

func TestHistoryOfNothing(t *testing.T) {
	w := newWriter(t, t.TempDir())
	w.must(os.Remove(w.path(0)))
	h := openHistory(t, w)
	if from, to, ok, err := h.Before(h.End(), 100); ok || err != nil {
		t.Errorf("there is something between %v and %v: %v", from, to, err)
	}
	if p, err := h.At(5); err != nil || p != h.End() {
		t.Errorf("a time is at %v, %v", p, err)
	}
	if !h.Position(h.End()).IsOldest() {
		t.Errorf("the end is %v, want the oldest position", h.Position(h.End()))
	}
}
