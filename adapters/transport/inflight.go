package transport

// keepItems is up to how many items an empty fifo keeps memory for.
const keepItems = 64 << 10

// fifo is a queue in one slice, whose memory is used again.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

// at returns the i-th item from the front.
func (f *fifo[T]) at(i int) *T { return &f.items[f.head+i] }

// push appends items at the back. Before the slice would grow, what is left
// moves to its start.
func (f *fifo[T]) push(items ...T) {
	if f.head > 0 && len(f.items)+len(items) > cap(f.items) {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, items...)
}

// drop removes the n items at the front.
func (f *fifo[T]) drop(n int) {
	clear(f.items[f.head : f.head+n])
	if f.head += n; f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
		if cap(f.items) > keepItems {
			f.items = nil
		}
	}
}

// dropBack removes the n items at the back.
func (f *fifo[T]) dropBack(n int) {
	clear(f.items[len(f.items)-n:])
	f.items = f.items[:len(f.items)-n]
}

// inFlight holds what is to be known of the batches that are not settled: where
// their frames end in the connection's bytes, and whom to tell. Ends are the low
// 32 bits of a byte count; what is in flight is always far below 2 GiB.
type inFlight struct {
	ends    fifo[uint32]
	batches fifo[batch]
}

// batch is one call of Commit.
type batch struct {
	// frames is how many of the ends are this batch's, end the last of them.
	frames int
	end    uint64
	// torn says that not all of the batch was encoded, for the connection broke
	// on the way: it is never wholly delivered.
	torn bool
	done func(error)
}

// acknowledged counts the frames, from the given one on, that lie wholly within
// the first acked bytes.
func (f *inFlight) acknowledged(from, frames int, acked uint64) int {
	for i := range frames {
		if int32(*f.ends.at(from + i)-uint32(acked)) > 0 {
			return i
		}
	}
	return frames
}

// popFront takes the oldest batch when it is settled: because all of it is
// acknowledged, or because the connection is broken. settled is the number of
// its frames that are acknowledged.
func (f *inFlight) popFront(acked uint64, broken bool) (b batch, settled int, ok bool) {
	if f.batches.len() == 0 {
		return batch{}, 0, false
	}
	b = *f.batches.at(0)
	whole := b.end <= acked && !b.torn
	if !whole && !broken {
		return batch{}, 0, false
	}
	settled = b.frames
	if !whole {
		settled = f.acknowledged(0, b.frames, acked)
	}
	f.batches.drop(1)
	f.ends.drop(b.frames)
	return b, settled, true
}

// popBack takes the newest batch when it is not wholly written.
func (f *inFlight) popBack(written, acked uint64) (b batch, settled int, ok bool) {
	n := f.batches.len()
	if n == 0 || f.batches.at(n-1).end <= written {
		return batch{}, 0, false
	}
	b = *f.batches.at(n - 1)
	settled = f.acknowledged(f.ends.len()-b.frames, b.frames, acked)
	f.batches.dropBack(1)
	f.ends.dropBack(b.frames)
	return b, settled, true
}
