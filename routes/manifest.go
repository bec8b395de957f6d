package routes

import (
	"errors"
	"math"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// The reasons under which lines count that are dropped because the user wants it.
const (
	reasonRate    = "rate"
	reasonSampled = "sampled"
)

// What became of a line that was not sent with its batch; a number below lastSlot
// is its place among those that were.
const (
	// slotHeld: its message is not complete, another flight will carry it.
	slotHeld uint32 = math.MaxUint32 - iota
	slotFiltered
	slotSampled
	slotRate
	lastSlot
)

// manifest says what becomes of each line of a batch.
type manifest struct {
	// oldest is the time of the first record, newest that of the last.
	oldest, newest int64
	// passed is what was left out or given up, and lines that another flight has
	// carried and that are settled. held is what other flights are to carry.
	passed record.Account
	held   record.Count
	// lengths has the length of each record that was read.
	lengths []uint32
	// staged says that the lines were looked at; else all were sent as they are,
	// and what follows is empty.
	staged bool
	// slots has the place among those sent of each record that was read.
	slots []uint32
	// sizes says for each that was sent how much of the batch is in it: several
	// lines that were joined, or none for what the route says itself.
	sizes []size
	// carried are lines of earlier flights.
	carried []carry
}

// size is a record.Count of a block.
type size struct{ lines, bytes uint32 }

// carry says that lines of an earlier flight share the fate of a slot.
type carry struct {
	flight *flight
	slot   uint32
	count  record.Count
}

func (m *manifest) reset() {
	clear(m.carried)
	*m = manifest{lengths: m.lengths[:0], slots: m.slots[:0], sizes: m.sizes[:0], carried: m.carried[:0]}
}

// slot returns what became of the n-th record that was read.
func (m *manifest) slot(n int) uint32 {
	if m.staged {
		return m.slots[n]
	}
	return uint32(n)
}

// records returns how many records were sent.
func (m *manifest) records() int {
	if m.staged {
		return len(m.sizes)
	}
	return len(m.lengths)
}

// sizeOf counts what of the batch is in the n-th record that was sent.
func (m *manifest) sizeOf(n int) record.Count {
	if m.staged {
		return record.Count{Lines: int64(m.sizes[n].lines), Bytes: int64(m.sizes[n].bytes)}
	}
	return record.Count{Lines: 1, Bytes: int64(m.lengths[n])}
}

// sum counts what of the batch was sent.
func (m *manifest) sum() record.Count {
	var sum record.Count
	for n := range m.records() {
		sum.Add(m.sizeOf(n))
	}
	return sum
}

// unpass takes a line that is not sent out of what the flight has passed.
func (m *manifest) unpass(slot uint32, n record.Count) {
	enterFate(&m.passed, slot, record.Count{Lines: -n.Lines, Bytes: -n.Bytes})
}

// enter enters lines that are not sent with their batch.
func (m *manifest) enter(slot uint32, n record.Count) {
	if slot == slotHeld {
		m.held.Add(n)
		return
	}
	enterFate(&m.passed, slot, n)
}

// enterFate enters lines that are not sent.
func enterFate(a *record.Account, slot uint32, n record.Count) {
	switch slot {
	case slotFiltered:
		a.Filtered.Add(n)
	case slotSampled:
		a.Drop(reasonSampled, n)
	case slotRate:
		a.Drop(reasonRate, n)
	}
}

// settleFates settles those lines of earlier flights that are not sent, and
// returns the others.
func settleFates(carried []carry) []carry {
	sent := carried[:0]
	for _, c := range carried {
		if c.slot < lastSlot {
			sent = append(sent, c)
			continue
		}
		c.flight.held.Sub(c.count)
		enterFate(&c.flight.passed, c.slot, c.count)
	}
	return sent
}

// verdict is what an adapter has said of a batch.
type verdict struct {
	// settled is how many of the records sent will not be sent again.
	settled int
	// rejects are those of them that are given up. permanent says that all are.
	rejects   []adapters.Reject
	permanent *adapters.PermanentError
}

func (f *flight) verdict() verdict {
	if !f.settled {
		return verdict{}
	}
	v := verdict{settled: f.records()}
	if f.result == nil {
		return v
	}
	// These are allocated, since errors.As takes their addresses.
	var partial *adapters.PartialError
	var rejected *adapters.RejectedError
	var permanent *adapters.PermanentError
	switch {
	case errors.As(f.result, &partial):
		v.settled = min(partial.Settled, v.settled)
		v.rejects = partial.Rejects
	case errors.As(f.result, &rejected):
		v.rejects = rejected.Rejects
	case errors.As(f.result, &permanent):
		v.permanent = permanent
	default:
		v.settled = 0
	}
	return v
}

// refusal returns why the record of a slot is given up, if it is.
func (v *verdict) refusal(slot uint32) (adapters.Reject, bool) {
	if p := v.permanent; p != nil {
		return adapters.Reject{Index: int(slot), Reason: p.Reason, Err: p.Err}, true
	}
	for _, r := range v.rejects {
		if r.Index == int(slot) {
			return r, true
		}
	}
	return adapters.Reject{}, false
}

// enter enters lines that are in the record of a settled slot.
func (v *verdict) enter(a *record.Account, slot uint32, n record.Count) {
	if reject, ok := v.refusal(slot); ok {
		a.Drop(reject.Reason, n)
		return
	}
	a.Delivered.Add(n)
}
