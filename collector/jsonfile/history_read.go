package jsonfile

import (
	"bytes"
	"iter"
	"math"

	"tallyman/collector/record"
)

// How far before a stretch of a log is looked for parts of a line that ends in
// it: at first, and at most.
const (
	lookBack    = 64 << 10
	lookBackMax = 4 << 20
)

// Read returns the lines that end in records that begin between two places of
// one file. find, where there is one, tells where in a text what is looked for
// occurs first, or a negative number, so that other lines need not be decoded:
// it sees the text with JSON's escapes, and lines without what it finds may
// come all the same.
func (h *History) Read(from, to Place, find func([]byte) int) (Chunk, error) {
	h.lines = h.lines[:0]
	h.batch.Reset()
	h.joiner.reset(0)
	continues := false
	if from.Off < lookBack && from.Gen > 0 {
		var err error
		if continues, err = h.endsLong(from.Gen - 1); err != nil {
			return Chunk{}, err
		}
	}
	s, err := h.load(from, to, lookBack)
	if err != nil {
		return Chunk{}, err
	}
	c := Chunk{}
	c.First, c.Last = h.span(s.text)
	switch {
	case s.long || continues:
		if err := h.readParts(from, to); err != nil {
			return Chunk{}, err
		}
	case find == nil:
		h.readAll(s, from.Gen)
	default:
		h.readFound(s, from.Gen, find)
	}
	c.Lines = h.lines
	return c, nil
}

// span returns the times of the first and the last record of a text.
func (h *History) span(text []byte) (first, last int64) {
	for line := range bytes.Lines(text) {
		if at, ok := h.timeOf(line); ok {
			first = at
			break
		}
	}
	for end := len(text); end > 0; {
		begin := bytes.LastIndexByte(text[:end-1], '\n') + 1
		if at, ok := h.timeOf(text[begin:end]); ok {
			return first, at
		}
		end = begin
	}
	return first, first
}

// stretch is a piece of a file: whole records, each with its line feed.
type stretch struct {
	text []byte
	// begin is the offset of the first.
	begin int64
	// long says that one of them, or of those shortly before, is as long as a
	// part of a longer line is.
	long bool
}

// records yields each record, with its line feed and without NUL bytes before it,
// and its offset.
func (s *stretch) records() iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		off := s.begin
		for line := range bytes.Lines(s.text) {
			next := off + int64(len(line))
			if line[0] == 0 {
				line = bytes.TrimLeft(line, "\x00")
			}
			if !yield(next-int64(len(line)), line) {
				return
			}
			off = next
		}
	}
}

// load reads the records that begin between two places of one file, and looks at
// those that lie up to back bytes before.
func (h *History) load(from, to Place, back int64) (stretch, error) {
	g, err := h.unpacked(from.Gen)
	if err != nil {
		return stretch{}, err
	}
	// Whether a record begins at from shows in the byte before.
	base := max(0, from.Off-back-1)
	want := int(to.Off - base)
	var buf []byte
	for spare := 4 << 10; ; spare = headMax {
		if buf, err = h.fill(g, base, want+spare); err != nil {
			return stretch{}, err
		}
		if len(buf) < want+spare || spare == headMax || bytes.IndexByte(buf[want-1:], '\n') >= 0 {
			break
		}
	}
	begin, end := int(from.Off-base), min(want, len(buf))
	// Behind NUL bytes, which a file has that was truncated while dockerd had it
	// open, a record may begin anywhere.
	if begin > 0 && begin <= len(buf) && buf[begin-1] != 0 {
		i := bytes.IndexByte(buf[begin-1:], '\n')
		if i < 0 {
			return stretch{}, nil
		}
		begin += i
	}
	if begin >= end {
		return stretch{begin: base + int64(begin)}, nil
	}
	if i := bytes.IndexByte(buf[end-1:], '\n'); i >= 0 && (buf[end-1] != 0 || end == len(buf)) {
		end += i
	} else {
		end = max(begin, bytes.LastIndexByte(buf[:end], '\n')+1)
	}
	return stretch{text: buf[begin:end], begin: base + int64(begin), long: hasLong(buf[:end])}, nil
}

// fill reads up to n bytes at off into the buffer.
func (h *History) fill(g *generation, off int64, n int) ([]byte, error) {
	if cap(h.buf) < n {
		h.buf = make([]byte, n)
	}
	b := h.buf[:n]
	got := 0
	for got < n {
		k, err := g.read(b[got:], off+int64(got), false)
		if err != nil {
			return nil, err
		}
		if k == 0 {
			break
		}
		got += k
	}
	return b[:got], nil
}

// hasLong reports whether a text, which may begin in the middle of a record, has
// one of partSize bytes. Most of the text is not looked at.
func hasLong(text []byte) bool {
	for len(text) >= partSize {
		i := bytes.LastIndexByte(text[:partSize], '\n')
		if i < 0 {
			return true
		}
		text = text[i+1:]
	}
	return false
}

// endsLong reports whether the last records of a file, or of those before where
// it is short, have one of partSize bytes, so that a line may go on in the next.
func (h *History) endsLong(i int) (bool, error) {
	for ; i >= 0; i-- {
		g, err := h.unpacked(i)
		if err != nil {
			return false, err
		}
		size := g.size()
		s, err := h.load(Place{i, max(0, size-lookBack)}, Place{i, size}, 0)
		if err != nil || s.long || size >= lookBack {
			return s.long, err
		}
	}
	return false, nil
}

func (h *History) take(rec *record.Record, gen int) {
	if h.options.TTY {
		rec.Line = trimReturn(rec.Line)
	}
	h.lines = append(h.lines, HistoryLine{*rec, record.Position{Gen: h.gens[gen].nameLocked(), Off: rec.Resume, Skip: rec.Skip}})
}

// readAll takes every record of a text in which there are no parts.
func (h *History) readAll(s stretch, gen int) {
	for off, line := range s.records() {
		h.decode(line, gen, off+int64(len(line)))
	}
}

// decode takes one record, whose line feed it has, and behind which is next.
func (h *History) decode(line []byte, gen int, next int64) {
	var rec record.Record
	// A short record that has no newline in its text is the end of a line that
	// its program did not end.
	if _, err := h.decoder.decode(line[:len(line)-1], &rec); err == nil {
		rec.Resume = next
		h.take(&rec, gen)
	}
}

// readFound takes those records of a text without parts in which something is
// found.
func (h *History) readFound(s stretch, gen int, find func([]byte) int) {
	for at := 0; at < len(s.text); {
		i := find(s.text[at:])
		if i < 0 {
			return
		}
		begin := bytes.LastIndexByte(s.text[:at+i], '\n') + 1
		end := at + i + bytes.IndexByte(s.text[at+i:], '\n') + 1
		h.decode(bytes.TrimLeft(s.text[begin:end], "\x00"), gen, s.begin+int64(end))
		at = end
	}
}

// readParts takes the lines that end in records between two places of one file,
// joined from their parts wherever these lie.
func (h *History) readParts(from, to Place) error {
	begin, err := h.clean(from, to)
	if err != nil {
		return err
	}
	for p := begin; p.Compare(to) < 0; {
		// What is wanted lies in one file and is loaded at once, since lines point
		// into what was loaded last.
		a, b, ok, err := h.After(p, to, math.MaxInt64/2)
		if err != nil || !ok {
			return err
		}
		s, err := h.load(a, b, 0)
		if err != nil {
			return err
		}
		for off, line := range s.records() {
			at := Place{a.Gen, off}
			h.feed(line, at, at.Compare(from) >= 0)
		}
		p = b
	}
	if h.options.Ended && to.Gen == len(h.gens)-1 && to.Off >= h.gens[to.Gen].lastLineEnd() {
		known := len(h.batch.Records)
		h.joiner.finishAll(&h.batch, to.Off)
		h.takeNew(known, to.Gen)
	}
	return nil
}

// feed gives one record to the joiner, and takes the lines that it completes
// where they are wanted.
func (h *History) feed(line []byte, at Place, wanted bool) {
	next := at.Off + int64(len(line))
	var rec record.Record
	whole, err := h.decoder.decode(line[:len(line)-1], &rec)
	if err != nil {
		return
	}
	known := len(h.batch.Records)
	h.joiner.add(&h.batch, &rec, whole, h.gens[at.Gen], at.Off, next, h.options.MaxLine)
	if wanted {
		h.takeNew(known, at.Gen)
	} else {
		h.batch.Records = h.batch.Records[:known]
	}
}

// takeNew takes the records that the joiner has given out since it had given out
// known of them.
func (h *History) takeNew(known, gen int) {
	if held := h.joiner.hold(); held != nil {
		gen = int(held.gen.serial)
	}
	for i := range h.batch.Records[known:] {
		rec := &h.batch.Records[known+i]
		h.take(rec, gen)
	}
}

// pass returns the place behind the n-th line that is completed from p on.
func (h *History) pass(p Place, n int) (Place, error) {
	h.joiner.reset(0)
	h.batch.Reset()
	for {
		from, to, ok, err := h.After(p, h.End(), record.BlockSize)
		if err != nil || !ok {
			return from, err
		}
		s, err := h.load(from, to, 0)
		if err != nil {
			return p, err
		}
		for off, line := range s.records() {
			h.feed(line, Place{from.Gen, off}, true)
			if len(h.batch.Records) >= n {
				return Place{from.Gen, off + int64(len(line))}, nil
			}
		}
		p = to
	}
}
