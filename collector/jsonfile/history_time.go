package jsonfile

import (
	"bytes"

	"tallyman/collector/record"
)

// At returns the place of the first record that is not older than a time, in
// nanoseconds since the Unix epoch. Times are taken to grow along the log.
func (h *History) At(t int64) (Place, error) {
	i := len(h.gens) - 1
	for ; i > 0; i-- {
		if first, ok := h.firstTime(i); ok && first < t {
			break
		}
	}
	if i < 0 {
		return Place{}, nil
	}
	g, err := h.unpacked(i)
	if err != nil {
		return Place{}, err
	}
	lo, hi := int64(0), g.size()
	for hi-lo > record.BlockSize {
		mid := lo + (hi-lo)/2
		at, ok, err := h.timeBehind(Place{i, mid}, hi)
		if err != nil {
			return Place{}, err
		}
		if !ok || at >= t {
			hi = mid
		} else {
			lo = mid
		}
	}
	return h.firstFrom(Place{i, lo}, t)
}

// timeBehind returns the time of the first record that begins at or behind a
// place and before end. It is false where there is none.
func (h *History) timeBehind(p Place, end int64) (int64, bool, error) {
	for n := int64(1 << 10); p.Off < end; n *= 8 {
		to := Place{p.Gen, min(end, p.Off+n)}
		s, err := h.load(p, to, 0)
		if err != nil {
			return 0, false, err
		}
		for _, line := range s.records() {
			if at, ok := h.timeOf(line); ok {
				return at, true, nil
			}
		}
		p = to
	}
	return 0, false, nil
}

// firstFrom is At by looking at every record from p on.
func (h *History) firstFrom(p Place, t int64) (Place, error) {
	end := h.End()
	for {
		from, to, ok, err := h.After(p, end, record.BlockSize)
		if err != nil || !ok {
			return from, err
		}
		s, err := h.load(from, to, 0)
		if err != nil {
			return p, err
		}
		for off, line := range s.records() {
			if time, ok := h.timeOf(line); ok && time >= t {
				return Place{from.Gen, off}, nil
			}
		}
		p = to
	}
}

// firstTime returns the time of a file's first record.
func (h *History) firstTime(i int) (int64, bool) {
	return h.timeOf(h.gens[i].firstRecord())
}

// timeOf returns the time of a record, with or without its line feed, and leaves
// the text as it is.
func (h *History) timeOf(line []byte) (int64, bool) {
	line = bytes.TrimLeft(bytes.TrimSuffix(line, []byte{'\n'}), "\x00")
	var rec record.Record
	if _, ok := h.decoder.envelope(line, &rec); ok {
		return rec.Time, true
	}
	_, err := h.decoder.decodeAny(line, &rec)
	return rec.Time, err == nil
}
