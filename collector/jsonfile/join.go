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
	// still comes of it is thrown away. A reader that began in the middle of that
	// would take it for a line, so the line is held until it ends, or lies so far
	// back that it is let go.
	over, letGo bool
	text        []byte
	// time is that of the first part, which dockerd repeats in all others: a
	// record with another time belongs to another line.
	time int64
	// gen and off are where the first part begins.
	gen *generation
	off int64
	// last is where the last part that has come begins, full the one with which the
	// line was over.
	last, full place
	// began is how much had been read by the joiner when the line began.
	began int64
	// emitted counts the records that have been completed since the line began
	// and that a reader which begins with this line would complete, too.
	emitted uint32
}

// holdOver is how many bytes of a log may follow the beginning of a line that is
// over before it is let go: a program that never ends a line must not hold all
// files of its log.
const holdOver = 4 << 20

// held reports whether a reader has to begin with the line to see it again.
func (p *part) held() bool { return p.active && !p.letGo }

// joiner puts together the parts of long lines, each stream by itself, and
// knows from where a reader would have to start to see the unfinished ones.
type joiner struct {
	// long is nil until the first line has come in parts: of most containers none
	// ever does.
	long *longLines
	// skip is how many records to leave out before the first is given out.
	skip uint32
}

// longLines are the lines that come in parts.
type longLines struct {
	parts [record.Streams]part
	// open is how many of them are active.
	open int
	// holding says that a part is active and not let go; then the fast path that
	// knows of no parts cannot be taken.
	holding bool
	// passed is how many bytes of records were read while parts were active.
	passed int64
}

// plain reports whether a whole record is a line as it is.
func (j *joiner) plain() bool { return j.skip == 0 && (j.long == nil || j.long.open == 0) }

// holding reports whether a line is unfinished and not let go.
func (j *joiner) holding() bool { return j.long != nil && j.long.holding }

// parts returns the lines that come in parts, by their streams.
func (j *joiner) parts() []part {
	if j.long == nil {
		return nil
	}
	return j.long.parts[:]
}

// hold returns the earliest line that is unfinished, nil when there is none.
func (j *joiner) hold() *part {
	if !j.holding() {
		return nil
	}
	var first *part
	for i := range j.long.parts {
		p := &j.long.parts[i]
		if p.held() && (first == nil || p.begins().before(first.begins())) {
			first = p
		}
	}
	return first
}

// heldBefore reports whether lines are unfinished and all of them began before
// t. dockerd closes a log before it calls the container stopped, so when it has
// said so at t nothing will continue them. One that began later is of a run of
// which nobody has told yet.
func (j *joiner) heldBefore(t int64) bool {
	if !j.holding() {
		return false
	}
	for i := range j.long.parts {
		if p := &j.long.parts[i]; p.held() && p.time >= t {
			return false
		}
	}
	return true
}

// begins returns where the line begins.
func (p *part) begins() place { return place{p.gen.serial, p.off} }

// give counts a completed record and adds it to b unless it is to be skipped.
// last is where its last part begins, next the offset behind all that was read.
func (j *joiner) give(b *record.Batch, rec *record.Record, last place, next int64) {
	parts := j.parts()
	for i := range parts {
		// What has all its parts before a line's first is not seen from there,
		// though it may be known only later that it has ended.
		if p := &parts[i]; p.active && !last.before(p.begins()) {
			p.emitted++
		}
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
func (l *longLines) settle() {
	l.holding = false
	for i := range l.parts {
		if l.parts[i].held() {
			l.holding = true
		}
	}
}

// add takes a record that is a part, or that may continue one, and gives out
// what it completes. The record lies from off to next in g.
func (j *joiner) add(b *record.Batch, rec *record.Record, whole bool, g *generation, off, next int64, maxLine int) (cut bool) {
	if j.long == nil {
		if whole {
			j.give(b, rec, place{g.serial, off}, next)
			return false
		}
		j.long = new(longLines)
	}
	l := j.long
	l.pass(next - off)
	p := &l.parts[rec.Stream]
	if p.active && p.time != rec.Time {
		j.finish(b, rec.Stream, off, false)
	}
	if !p.active {
		if whole {
			j.give(b, rec, place{g.serial, off}, next)
			return false
		}
		*p = part{active: true, time: rec.Time, gen: g, off: off, began: l.passed, text: b.TakeBuffer()}
		l.holding = true
		l.open++
	}
	p.last = place{g.serial, off}
	if !p.over {
		room := maxLine - len(p.text)
		p.text = append(p.text, rec.Line[:min(len(rec.Line), room)]...)
		cut = len(rec.Line) > room
	}
	switch {
	case whole || len(rec.Line) < partSize:
		j.finish(b, rec.Stream, next, cut)
	case cut:
		line := p.line(rec.Stream, true)
		p.over, p.full, p.text = true, p.last, nil
		b.KeepBuffer(line.Line)
		j.give(b, &line, p.last, next)
	}
	return cut
}

// pass lets go of lines that are over, when so much more has been read.
func (l *longLines) pass(bytes int64) {
	l.passed += bytes
	for i := range l.parts {
		if p := &l.parts[i]; p.held() && p.over && l.passed-p.began > holdOver {
			p.letGo = true
			l.settle()
		}
	}
}

func (p *part) line(stream record.Stream, cut bool) record.Record {
	return record.Record{Time: p.time, Line: p.text, Stream: stream, Cut: cut}
}

// finish gives out the line of a stream that has begun, as far as it has come.
// next is the offset behind it, cut says that it has lost its end.
func (j *joiner) finish(b *record.Batch, stream record.Stream, next int64, cut bool) {
	l := j.long
	p := &l.parts[stream]
	if !p.active {
		return
	}
	line := p.line(stream, cut)
	p.active, p.text = false, nil
	l.open--
	l.settle()
	if p.over {
		l.passRest(p)
		return
	}
	b.KeepBuffer(line.Line)
	j.give(b, &line, p.last, next)
}

// passRest counts the rest of a line that was thrown away, for lines since whose
// beginning nothing else of it has come: seen again from there it is taken for a
// line.
func (l *longLines) passRest(p *part) {
	for i := range l.parts {
		if q := &l.parts[i]; q.active && p.full.before(q.begins()) && !p.last.before(q.begins()) {
			q.emitted++
		}
	}
}

// finishAll gives out every unfinished line: nothing will continue them.
func (j *joiner) finishAll(b *record.Batch, next int64) {
	// The line that began first comes first.
	for h := j.hold(); h != nil; h = j.hold() {
		for i := range j.long.parts {
			if h == &j.long.parts[i] {
				j.finish(b, record.Stream(i), next, false)
			}
		}
	}
}

// reset forgets everything, for a cursor that was moved.
func (j *joiner) reset(skip uint32) {
	*j = joiner{skip: skip}
}
