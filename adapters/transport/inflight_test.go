package transport

import (
	"fmt"
	"testing"
)

func TestFIFO(t *testing.T) {
	var f fifo[int]
	next, first := 0, 0
	for i := range 1000 {
		for range i % 7 {
			f.push(next)
			next++
		}
		if n := f.len(); n != next-first {
			t.Fatalf("length %d, want %d", n, next-first)
		}
		drop := min(f.len(), i%5)
		for j := range drop {
			if *f.at(j) != first+j {
				t.Fatalf("item %d is %d", j, *f.at(j))
			}
		}
		f.drop(drop)
		first += drop
		if i%11 == 0 && f.len() > 0 {
			f.dropBack(1)
			next--
		}
	}
	if cap(f.items) > 4096 {
		t.Fatalf("the memory has grown to %d items for %d", cap(f.items), f.len())
	}
}

// The ends of frames are compared over the overflow of their 32 bits.
func TestEndsOverflow(t *testing.T) {
	var f inFlight
	base := uint64(1<<32 - 150)
	f.ends.push(uint32(base+100), uint32((base+200)&(1<<32-1)))
	f.batches.push(batch{frames: 2, end: base + 200})
	for acked, want := range map[uint64]int{99: 0, 100: 1, 199: 1} {
		probe := f
		probe.ends.items = append([]uint32(nil), f.ends.items...)
		probe.batches.items = append([]batch(nil), f.batches.items...)
		if _, settled, ok := probe.popFront(base+acked, true); !ok || settled != want {
			t.Errorf("%d bytes: %d frames, want %d", acked, settled, want)
		}
	}
	if _, settled, ok := f.popFront(base+200, false); !ok || settled != 2 {
		t.Error(fmt.Sprint("all bytes: ", settled, ok))
	}
}
