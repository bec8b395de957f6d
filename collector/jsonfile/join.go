package jsonfile

import "tallyman/collector/record"

// partSize is the length at which dockerd cuts a line (moby daemon/logger
// defaultBufSize). A part that is shorter was the end of the container's output:
// nothing continues it. Invalid UTF-8 makes a part longer here than it was there.
const partSize = 16 << 10

// part is a line of one stream that has begun and not ended.
type part struct {
	active bool
	// over says that the line has reached the maximum and was given out; what
	// still comes of it is thrown away.
	over bool
	// cut says that the line has lost its end.
	cut  bool
	text []byte
	// time is that of the first part, which dockerd repeats in all others: a
	// record with another time belongs to another line.
	time int64
	// gen and off are where the first part begins.
	gen *generation
	off int64
	// emitted counts the records that have been completed since the line began.
	emitted uint32
}

// joiner puts together the parts of long lines, each stream by itself, and
// knows from where a reader would have to start to see the unfinished ones.
type joiner struct {
	parts [record.Streams]part
	// holding says that a part is active and not over; then the fast path that
	// knows of no parts cannot be taken.
	holding bool
	// skip is how many records to leave out before the first is given out.
	skip uint32
}

// hold returns the earliest line that is unfinished, nil when there is none.
func (j *joiner) hold() *part {
	if !j.holding {
		return nil
	}
	var first *part
	for i := range j.parts {
		p := &j.parts[i]
		if p.active && !p.over && (first == nil ||
			place{p.gen.serial, p.off}.before(place{first.gen.serial, first.off})) {
			first = p
		}
	}
	return first
}

// give counts a completed record and adds it to b unless it is to be skipped.
// next is the offset behind it. It reports whether b can take further records:
// all of a batch's records resume in one generation.
func (j *joiner) give(b *record.Batch, rec *record.Record, next int64) {
	for i := range j.parts {
		j.parts[i].emitted++
	}
	if j.skip > 0 {
		j.skip--
		return
	}
	rec.Resume, rec.Skip = next, 0
	if h := j.hold(); h != nil {
		rec.Resume, rec.Skip = h.off, h.emitted
	}
	b.Records = append(b.Records, *rec)
}

// settle updates holding after a part has begun or ended.
func (j *joiner) settle() {
	j.holding = false
	for i := range j.parts {
		if j.parts[i].active && !j.parts[i].over {
			j.holding = true
		}
	}
}

// add takes a record that is a part, or that may continue one, and gives out
// what it completes. The record lies from off to next in g.
func (j *joiner) add(b *record.Batch, rec *record.Record, whole bool, g *generation, off, next int64, maxLine int) (cut bool) {
	p := &j.parts[rec.Stream]
	if p.active && p.time != rec.Time {
		j.finish(b, rec.Stream, off)
	}
	if !p.active {
		if whole {
			j.give(b, rec, next)
			return false
		}
		*p = part{active: true, time: rec.Time, gen: g, off: off, text: b.TakeBuffer()}
		j.holding = true
	}
	if !p.over {
		room := maxLine - len(p.text)
		p.text = append(p.text, rec.Line[:min(len(rec.Line), room)]...)
		if len(rec.Line) > room {
			p.cut, cut = true, true
			j.finish(b, rec.Stream, next)
			p.active, p.over = true, true
		}
	}
	if whole || len(rec.Line) < partSize {
		j.finish(b, rec.Stream, next)
	}
	return cut
}

// finish gives out the line of a stream that has begun, as far as it has come.
// next is the offset behind it.
func (j *joiner) finish(b *record.Batch, stream record.Stream, next int64) {
	p := &j.parts[stream]
	if !p.active {
		return
	}
	over, line := p.over, record.Record{Time: p.time, Line: p.text, Stream: stream, Cut: p.cut}
	p.active, p.over, p.cut, p.text = false, false, false, nil
	j.settle()
	if !over {
		b.KeepBuffer(line.Line)
		j.give(b, &line, next)
	}
}

// finishAll gives out every unfinished line: nothing will continue them.
func (j *joiner) finishAll(b *record.Batch, next int64) {
	// The line that began first comes first.
	for h := j.hold(); h != nil; h = j.hold() {
		for i := range j.parts {
			if h == &j.parts[i] {
				j.finish(b, record.Stream(i), next)
			}
		}
	}
}

// reset forgets everything, for a cursor that was moved.
func (j *joiner) reset(skip uint32) {
	*j = joiner{skip: skip}
}
