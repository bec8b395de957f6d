package jsonfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// TestReaderModel lets a random container write while a reader follows, is
// killed and resumes from a position it has given, and compares the lines of
// each stream with what was written.
func TestReaderModel(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
}

// longText returns n bytes with many escapes, no part of which is like another.
func longText(seed, n int) string {
	var text []byte
	for i := 0; len(text) < n; i++ {
		text = fmt.Appendf(text, "%d\"%d\t", seed, i)
	}
	return string(text[:n]) + "."
}

func runModel(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	root := openRoot(t)
	w := newWriter(t, root.dir)
	w.compress = random.IntN(2) == 0
	// Only where nothing is rotated away can a killed reader find it again.
	kills := random.IntN(2) == 0
	if kills {
		w.maxFile = 1000
	}
	l := mustLog(t, root, running(w.id))
	r := openReader(t, l, record.Oldest())
	b := record.NewBatch()
	b.Block = b.Block[:64<<10+random.IntN(64<<10)]

	var want, got []string // in the order in which the lines end
	type piece struct{ text, rest string }
	var open [record.Streams]piece
	var times [record.Streams]time.Time

	step := func() {
		stream := record.Stream(random.IntN(2))
		p := &open[stream]
		if p.text == "" {
			if random.IntN(4) > 0 {
				text := fmt.Sprintf("%d %v", len(want), stream)
				w.line(text, stream)
				want = append(want, text)
				return
			}
			text := longText(len(want), random.IntN(6*partSize))
			times[stream] = w.tick()
			*p = piece{text: text, rest: text}
		}
		if len(p.rest) >= partSize {
			w.write(p.rest[:partSize], stream, times[stream])
			p.rest = p.rest[partSize:]
			return
		}
		w.write(p.rest+"\n", stream, times[stream])
		want = append(want, p.text)
		*p = piece{}
	}
	read := func() {
		for {
			err := r.Next(b)
			if errors.Is(err, collector.ErrIdle) {
				return
			}
			if err != nil {
				t.Fatalf("reading: %v", err)
			}
			// What a crash after some of the batch would resume from.
			if n := len(b.Records); n > 0 && random.IntN(6) == 0 {
				k := random.IntN(n + 1)
				for i := range k {
					got = append(got, string(b.Records[i].Line))
				}
				at := b.Start
				at.Skip += uint32(k)
				if k > 0 && random.IntN(2) == 0 {
					last := b.Records[k-1]
					at = record.Position{Gen: b.End.Gen, Off: last.Resume, Skip: last.Skip}
				}
				if !kills || random.IntN(2) == 0 {
					if err := r.Seek(at); err != nil {
						t.Fatalf("seeking: %v", err)
					}
					continue
				}
				_ = r.Close()
				root.drop(w.id)
				var err error
				root, err = Open(Options{Dir: root.dir, TempDir: t.TempDir(), Poll: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				l = mustLog(t, root, running(w.id))
				r = openReader(t, l, at)
				continue
			}
			for i := range b.Records {
				got = append(got, string(b.Records[i].Line))
			}
			r.Release(b.End)
		}
	}
	for range 200 {
		switch random.IntN(20) {
		case 0:
			// dockerd rotates a file that is full, never an empty one.
			step()
			w.rotate()
			if random.IntN(3) > 0 {
				l.look()
			} else {
				// Two rotations between looks: the chain is followed by inode.
				step()
				w.rotate()
				l.look()
			}
			read()
		case 1, 2, 3:
			read()
		default:
			step()
		}
	}
	l.look()
	read()
	wantLines(t, got, want)
	_ = r.Close()
	root.drop(w.id)
}
