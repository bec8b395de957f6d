package jsonfile

import "tallyman/collector/record"

// clean returns a place at or before from at which no line was unfinished that
// ends before to. It looks back for it by lookBackMax bytes; a line that is
// longer loses its beginning.
func (h *History) clean(from, to Place) (Place, error) {
	at := from
	for n := int64(lookBack); n <= lookBackMax; n *= 2 {
		begin, _, ok, err := h.Before(at, n)
		if err != nil {
			return from, err
		}
		if !ok {
			return h.Oldest(), nil
		}
		at = begin
		found, ok, err := h.cleanFrom(begin, from, to)
		if err != nil || ok {
			return found, err
		}
	}
	return at, nil
}

// cleanFrom is clean by what lies from begin on.
func (h *History) cleanFrom(begin, from, to Place) (Place, bool, error) {
	var w watcher
	if begin == h.Oldest() {
		return begin, true, nil
	}
	for p := begin; ; {
		a, b, ok, err := h.After(p, to, record.BlockSize)
		if err != nil {
			return from, false, err
		}
		if !ok {
			return w.clean, w.found && w.clean.Compare(from) <= 0, nil
		}
		s, err := h.load(a, b, 0)
		if err != nil {
			return from, false, err
		}
		for off, line := range s.records() {
			var rec record.Record
			if text, ok := h.decoder.envelope(line[:len(line)-1], &rec); ok {
				_, whole := trimNewline(text)
				w.see(&rec, whole || len(text) < partSize, Place{a.Gen, off + int64(len(line))})
			}
		}
		p = b
	}
}

// watcher finds the first place at which no stream has an unfinished line, in
// records that begin in the middle of a log.
type watcher struct {
	// seen says of which streams there was a record, and open that its last one
	// was a part.
	seen, open [record.Streams]bool
	// last is the time of each stream's last record.
	last [record.Streams]int64
	// newest is the latest time of a line that has begun among these records,
	// 0 while none is known to have.
	newest int64
	clean  Place
	found  bool
}

// see takes in a record, behind which is next.
func (w *watcher) see(rec *record.Record, whole bool, next Place) {
	i := rec.Stream
	switch {
	case w.seen[i]:
		if rec.Time > w.last[i] {
			w.newest = max(w.newest, rec.Time)
		}
	case w.newest == 0 || rec.Time < w.newest:
		// All parts have the time of the first: this one's line may have begun
		// before the records that were seen.
		w.found = false
	}
	w.seen[i], w.open[i], w.last[i] = true, !whole, rec.Time
	if !w.found && w.open == [record.Streams]bool{} {
		w.clean, w.found = next, true
	}
}
