package apilog

import (
	"tallyman/collector/record"
	"tallyman/collector/spool"
)

// part is a line of one stream that has begun and not ended.
type part struct {
	active bool
	// over says that the line has reached the maximum and was given out; what
	// still comes of it is thrown away.
	over bool
	text []byte
	// time is that of the first piece, which the engine repeats in all others:
	// a piece with another time belongs to another line.
	time int64
	// mark holds before the first piece, emitted counts the lines that have been
	// completed since and that would be again, if one began with this line.
	mark    spool.Mark
	emitted uint32
	// first and last are the numbers of the pieces with which it begins and as far
	// as it has come, full is that with which it was over.
	first, last, full uint64
}

// joiner puts the pieces of long lines together, each stream by itself.
type joiner struct {
	parts [record.Streams]part
	// pieces counts the pieces.
	pieces uint64
	// skip is how many lines to leave out before the first is given out.
	skip uint32
	// maxLine is the longest line in bytes, partSize the length at which the
	// engine cuts one. A piece without a line feed that is shorter was the end of
	// the container's output: nothing continues it.
	maxLine, partSize int
	// tty says that lines end with a carriage return too.
	tty bool
	// give takes a line that is complete.
	give func(*record.Record) error
}

// hold returns the mark from which the unfinished lines are seen again, if there
// are any; now is the mark that holds if there are none.
func (j *joiner) hold(now spool.Mark) spool.Mark {
	first := j.first()
	if first == nil {
		now.Skip = j.skip
		return now
	}
	m := first.mark
	m.Head = now.Head
	m.Skip = first.emitted + j.skip
	return m
}

// first returns the unfinished line that began first, nil when there is none.
func (j *joiner) first() *part {
	var first *part
	for i := range j.parts {
		if p := &j.parts[i]; p.active && (first == nil || p.first < first.first) {
			first = p
		}
	}
	return first
}

// emit counts a line that is complete and gives it out unless it is to be left
// out. last is the number of its last piece.
func (j *joiner) emit(r *record.Record, last uint64) error {
	for i := range j.parts {
		// What has all its pieces before a line's first is not seen from there,
		// though it may be known only later that it has ended.
		if p := &j.parts[i]; p.active && last >= p.first {
			p.emitted++
		}
	}
	if j.skip > 0 {
		j.skip--
		return nil
	}
	return j.give(r)
}

// split ends the unfinished line that a piece does not continue. It is called
// before the piece is counted as seen.
func (j *joiner) split(p *piece) error {
	if open := &j.parts[p.stream]; open.active && open.time != p.time {
		return j.finish(p.stream, false)
	}
	return nil
}

// add takes a piece, and gives out the line that it completes. before is the
// mark that held before the piece. It reports whether a line was cut.
func (j *joiner) add(p *piece, before spool.Mark) (cut bool, err error) {
	j.pieces++
	open := &j.parts[p.stream]
	ends := p.whole || len(p.text) < j.partSize
	if !open.active {
		if ends {
			cut = len(p.text) > j.maxLine
			return cut, j.line(p.time, p.stream, p.text[:min(len(p.text), j.maxLine)], p.whole, cut, j.pieces)
		}
		*open = part{active: true, first: j.pieces, time: p.time, mark: before, text: open.text[:0]}
	}
	open.last = j.pieces
	if !open.over {
		room := j.maxLine - len(open.text)
		open.text = append(open.text, p.text[:min(len(p.text), room)]...)
		if len(p.text) > room {
			// The line stays active: seen again from its beginning it must come
			// out the same.
			open.over, open.full = true, j.pieces
			if err := j.line(open.time, p.stream, open.text, false, true, open.last); err != nil {
				return true, err
			}
			cut = true
		}
	}
	if ends {
		return cut, j.finish(p.stream, p.whole)
	}
	return cut, nil
}

// finish gives out the line of a stream that has begun, as far as it has come.
func (j *joiner) finish(stream record.Stream, whole bool) error {
	p := &j.parts[stream]
	if !p.active {
		return nil
	}
	over, text := p.over, p.text
	p.active, p.over = false, false
	if cap(text) > 128<<10 {
		p.text = nil
	} else {
		p.text = text[:0]
	}
	if over {
		j.passTail(p)
		return nil
	}
	return j.line(p.time, stream, text, whole, false, p.last)
}

// passTail counts the rest of a line that was thrown away, for lines since whose
// beginning nothing else of it has come: seen again from there it is taken for a
// line.
func (j *joiner) passTail(p *part) {
	for i := range j.parts {
		if q := &j.parts[i]; q.active && p.full < q.first && p.last >= q.first {
			q.emitted++
		}
	}
}

func (j *joiner) line(at int64, stream record.Stream, text []byte, whole, cut bool, last uint64) error {
	if n := len(text); j.tty && whole && !cut && n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	return j.emit(&record.Record{Time: at, Line: text, Stream: stream, Cut: cut}, last)
}

// finishAll gives out every unfinished line, the one that began first first:
// nothing will continue them.
func (j *joiner) finishAll() error {
	for p := j.first(); p != nil; p = j.first() {
		for i := range j.parts {
			if p != &j.parts[i] {
				continue
			}
			if err := j.finish(record.Stream(i), false); err != nil {
				return err
			}
		}
	}
	return nil
}
