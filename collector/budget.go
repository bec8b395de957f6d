package collector

import "sync"

// Hoard is a store of lines that exist nowhere else any more.
type Hoard interface {
	// Held returns how many bytes of disk it takes.
	Held() int64
	// Largest returns how many of them belong to the container that has most.
	Largest() int64
	// GiveUp gives up that container's oldest lines, about as many bytes as
	// asked for, and returns how many Held is lower for it; 0 when nothing can
	// be given up.
	GiveUp(bytes int64) int64
}

// Budget bounds the disk space of several hoards together. Past it the container
// that holds most gives up its oldest lines, so that one that floods does not
// cost the others theirs. Its methods may be called from any goroutine.
type Budget struct {
	limit int64

	// balancing is held while room is made.
	balancing sync.Mutex

	mu     sync.Mutex
	hoards []Hoard // guarded by mu
}

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Add puts a hoard under the budget.
func (b *Budget) Add(h Hoard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hoards = append(b.hoards, h)
}

// Limit returns the budget in bytes.
func (b *Budget) Limit() int64 { return b.limit }

// Held returns how many bytes all hoards take.
func (b *Budget) Held() int64 {
	total := int64(0)
	for _, h := range b.list() {
		total += h.Held()
	}
	return total
}

func (b *Budget) list() []Hoard {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hoards[:len(b.hoards):len(b.hoards)]
}

// Balance gives up lines until the budget is kept, or nothing is left to give
// up. It returns at once while another goroutine is at it.
func (b *Budget) Balance() {
	if b.Held() <= b.limit || !b.balancing.TryLock() {
		return
	}
	defer b.balancing.Unlock()
	stuck := make(map[Hoard]bool)
	for {
		over := b.Held() - b.limit
		if over <= 0 {
			return
		}
		var largest Hoard
		most := int64(0)
		for _, h := range b.list() {
			if n := h.Largest(); n > most && !stuck[h] {
				largest, most = h, n
			}
		}
		if largest == nil {
			return
		}
		stuck[largest] = largest.GiveUp(over) == 0
	}
}
