package oracle

import (
	"math/bits"
	"time"
)

// maxSeq bounds the bitmaps: a number beyond it is not a line of ours but a
// damaged one. It stands for 128 MiB of bits.
const maxSeq = 1 << 30

// ledger holds what has come of one source.
type ledger struct {
	// seen has a bit for every number that has come; the bit of number n is n-1.
	seen []uint64
	// distinct is how many bits are set, last the highest number that has come.
	distinct, last uint64
	// expected is the number of the last line that was written; zero when nobody
	// has said so.
	expected   uint64
	duplicates uint64
	reordered  uint64
	// newest holds the highest number of each stream: stdout, stderr, unmarked.
	newest [3]uint64
}

// add notes one line. Going back in the numbers is a repetition when the number
// has come before, and a reordering when it has not.
func (l *ledger) add(seq uint64, stream byte) {
	word, bit := (seq-1)/64, uint64(1)<<((seq-1)%64)
	if word >= uint64(len(l.seen)) {
		grown := make([]uint64, max(word+1, uint64(len(l.seen))*2, 64))
		copy(grown, l.seen)
		l.seen = grown
	}
	if l.seen[word]&bit != 0 {
		l.duplicates++
		return
	}
	l.seen[word] |= bit
	l.distinct++
	l.last = max(l.last, seq)
	newest := &l.newest[2]
	switch stream {
	case 'o':
		newest = &l.newest[0]
	case 'e':
		newest = &l.newest[1]
	}
	if seq < *newest {
		l.reordered++
		return
	}
	*newest = seq
}

func (l *ledger) has(seq uint64) bool {
	word := (seq - 1) / 64
	return word < uint64(len(l.seen)) && l.seen[word]&(1<<((seq-1)%64)) != 0
}

// upTo is the highest number that ought to have come.
func (l *ledger) upTo() uint64 {
	if l.expected > 0 {
		return l.expected
	}
	return l.last
}

// missing counts the numbers that ought to have come and have not.
func (l *ledger) missing() uint64 {
	limit := l.upTo()
	var here uint64
	for word, set := range l.seen {
		first := uint64(word) * 64
		if first >= limit {
			break
		}
		if limit-first < 64 {
			set &= 1<<(limit-first) - 1
		}
		here += uint64(bits.OnesCount64(set))
	}
	return limit - here
}

// gaps returns the first ranges of missing numbers.
func (l *ledger) gaps(most int) []Gap {
	var gaps []Gap
	for seq := uint64(1); seq <= l.upTo(); seq++ {
		if l.has(seq) {
			continue
		}
		if n := len(gaps); n > 0 && gaps[n-1].To == seq-1 {
			gaps[n-1].To = seq
			continue
		}
		if len(gaps) == most {
			break
		}
		gaps = append(gaps, Gap{From: seq, To: seq})
	}
	return gaps
}

// histogram counts delays in buckets that are 1/32 of their value wide.
type histogram struct {
	buckets  [64 * 32]uint64
	count    uint64
	greatest time.Duration
}

func (h *histogram) add(delay time.Duration) {
	// Clocks of two processors may disagree by a little.
	delay = max(delay, 0)
	h.buckets[bucketOf(delay)]++
	h.count++
	h.greatest = max(h.greatest, delay)
}

func bucketOf(delay time.Duration) int {
	if delay < 32 {
		return int(delay)
	}
	shift := bits.Len64(uint64(delay)) - 6
	return shift*32 + int(delay>>shift)
}

// quantile returns the upper bound of the bucket that holds the quantile.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	var below uint64
	for i, n := range h.buckets {
		below += n
		if below > rank {
			return min(upperOf(i), h.greatest)
		}
	}
	return h.greatest
}

func upperOf(bucket int) time.Duration {
	if bucket < 64 {
		return time.Duration(bucket)
	}
	shift := bucket/32 - 1
	return time.Duration(bucket-shift*32+1)<<shift - 1
}
