package record

import "slices"

// Count is a number of lines and of the bytes in them, without newlines.
type Count struct {
	Lines int64 `json:"lines"`
	Bytes int64 `json:"bytes"`
}

// Add adds o to c.
func (c *Count) Add(o Count) { c.Lines, c.Bytes = c.Lines+o.Lines, c.Bytes+o.Bytes }

// Sub takes o from c.
func (c *Count) Sub(o Count) { c.Lines, c.Bytes = c.Lines-o.Lines, c.Bytes-o.Bytes }

// Drop is how much was given up for one reason.
type Drop struct {
	// Reason is a word for a metric's label, such as too_long.
	Reason string `json:"reason"`
	Count
}

// Account says what became of the lines that a route has read: Read is the sum
// of Filtered, Delivered, all of Dropped, and what is in flight. A line counts
// once, however often it is read and sent.
type Account struct {
	Read      Count `json:"read"`
	Filtered  Count `json:"filtered"`
	Delivered Count `json:"delivered"`
	// Dropped has one entry a reason, in the order in which they first came.
	Dropped []Drop `json:"dropped,omitempty"`
	// Gaps is how often lines were lost of which nobody can tell the number,
	// since their file was gone before it was read.
	Gaps int64 `json:"gaps,omitempty"`
}

// Drop counts lines that are given up for a reason.
func (a *Account) Drop(reason string, n Count) {
	i := slices.IndexFunc(a.Dropped, func(d Drop) bool { return d.Reason == reason })
	if i < 0 {
		i = len(a.Dropped)
		a.Dropped = append(a.Dropped, Drop{Reason: reason})
	}
	a.Dropped[i].Add(n)
}

// Add adds o to a.
func (a *Account) Add(o *Account) {
	a.Read.Add(o.Read)
	a.Filtered.Add(o.Filtered)
	a.Delivered.Add(o.Delivered)
	for _, d := range o.Dropped {
		a.Drop(d.Reason, d.Count)
	}
	a.Gaps += o.Gaps
}

// DroppedFor returns what was given up for a reason.
func (a *Account) DroppedFor(reason string) Count {
	for _, d := range a.Dropped {
		if d.Reason == reason {
			return d.Count
		}
	}
	return Count{}
}

// Settled returns the sum of what was filtered, delivered and dropped.
func (a *Account) Settled() Count {
	sum := a.Filtered
	sum.Add(a.Delivered)
	for _, d := range a.Dropped {
		sum.Add(d.Count)
	}
	return sum
}

// Balanced reports whether all that was read and is not in flight is settled.
func (a *Account) Balanced(inFlight Count) bool {
	sum := a.Settled()
	sum.Add(inFlight)
	return sum == a.Read
}

// Clone returns a copy that shares no memory with a.
func (a *Account) Clone() Account {
	b := *a
	b.Dropped = slices.Clone(a.Dropped)
	return b
}

// Since returns what was added to the account after it was as before.
func (a *Account) Since(before *Account) Account {
	d := a.Clone()
	d.Read.Sub(before.Read)
	d.Filtered.Sub(before.Filtered)
	d.Delivered.Sub(before.Delivered)
	for i := range d.Dropped {
		d.Dropped[i].Sub(before.DroppedFor(d.Dropped[i].Reason))
	}
	d.Dropped = slices.DeleteFunc(d.Dropped, func(d Drop) bool { return d.Count == Count{} })
	d.Gaps -= before.Gaps
	return d
}
