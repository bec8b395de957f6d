package jsonfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"tallyman/collector"
	"tallyman/collector/record"
)

// Reader is a cursor in a Log.
type Reader struct {
	log     *Log
	changed func()
	joiner  joiner

	// gen and off are where the next bytes are read; gen is nil until there is
	// a file.
	gen *generation
	off int64
	// cuts is how many of gen's the reader knows of.
	cuts uint32
	// inJunk says that a line without an end in sight is being passed over;
	// onlyNUL that all of it so far was NUL bytes, as at the start of a file
	// that was truncated while dockerd had it open.
	inJunk, onlyNUL bool
	// fresh says that the last reading came to the end, so that what is behind it was
	// written since.
	fresh bool
	// kept is the oldest generation that Seek may still ask for. Guarded by the
	// log's mutex.
	kept *generation
	// keptOff is the offset in kept before which nothing will be asked for.
	// Guarded by the log's mutex.
	keptOff int64
	// cursor is the position of the next record, named the generation that its
	// name is of.
	cursor record.Position
	named  *generation
}

var _ collector.Reader = (*Reader)(nil)

// Reader returns a cursor that starts at from; see collector.Log.
func (l *Log) Reader(from record.Position, changed func()) (collector.Reader, error) {
	r := &Reader{log: l, changed: changed}
	if n, ok := from.FromEnd(); ok {
		var err error
		if from, err = l.beforeEnd(int(n)); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.chain) == 0 {
		if _, _, err := l.lookLocked(); err != nil {
			return nil, err
		}
	}
	l.addLocked(r)
	err := r.placeLocked(from)
	var lost *collector.LostError
	if err != nil && !errors.As(err, &lost) {
		l.removeLocked(r)
		return nil, err
	}
	l.awaited, l.read = false, true
	r.kept, r.keptOff = r.gen, r.cursor.Off
	return r, err
}

// placeLocked moves the cursor to a position.
func (r *Reader) placeLocked(to record.Position) error {
	r.inJunk = false
	r.joiner.reset(to.Skip)
	l := r.log
	switch {
	case to.IsEnd():
		r.gen, r.off = nil, 0
		if n := len(l.chain); n > 0 {
			r.goToLocked(l.chain[n-1], l.chain[n-1].lastLineEnd())
		}
	case to.IsOldest():
		return r.placeOldestLocked()
	default:
		g, err := l.findLocked(to.Gen)
		if err != nil {
			return err
		}
		if g != nil && to.Off < g.base {
			// Others needed less when it was copied. dockerd may still have all of it.
			if err := l.reachBackLocked(); err != nil {
				return err
			}
		}
		if g == nil || to.Off < g.base && !g.inherited {
			l.root.stats.LostGenerations.Add(1)
			if err := r.placeOldestLocked(); err != nil {
				return err
			}
			return &collector.LostError{Position: to}
		}
		if err := l.unpackLocked(g); err != nil {
			return err
		}
		off := to.Off
		if size := g.size(); size < off {
			// It begins as it did and has lost its end: by a crash of the host, or as
			// a compressed file that is torn. Nothing of what is there is new.
			off = size
			r.joiner.reset(0)
			if g.packed == nil && g.cuts == 0 {
				g.cuts++
				l.tellCut(g)
			}
		}
		r.goToLocked(g, max(off, g.base))
	}
	r.cursor = r.positionLocked()
	return nil
}

func (r *Reader) goToLocked(g *generation, off int64) {
	r.gen, r.off, r.cuts, r.fresh = g, off, g.cuts, false
}

func (r *Reader) placeOldestLocked() error {
	r.joiner.reset(0)
	if err := r.log.reachBackLocked(); err != nil {
		return err
	}
	r.gen, r.off = nil, 0
	if len(r.log.chain) > 0 {
		r.goToLocked(r.log.chain[0], r.log.chain[0].base)
		if err := r.log.unpackLocked(r.gen); err != nil {
			return err
		}
	}
	r.cursor = r.positionLocked()
	return nil
}

// lastLineEnd returns the offset behind the last line feed: a line that is
// being written right now counts as not yet there.
func (g *generation) lastLineEnd() int64 {
	size := g.size()
	buf := make([]byte, 4<<10)
	for end := size; end > 0; {
		start := max(end-int64(len(buf)), 0)
		n, err := g.read(buf[:end-start], start, false)
		if err != nil {
			return size
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return start + int64(i) + 1
		}
		end = start
	}
	return 0
}

// positionLocked returns the position of the next record.
func (r *Reader) positionLocked() record.Position {
	if r.gen == nil {
		return record.Oldest()
	}
	g, at, skip := r.gen, r.off, r.joiner.skip
	if h := r.joiner.hold(); h != nil {
		g, at, skip = h.gen, h.off, skip+h.emitted
	}
	r.named = g
	return record.Position{Gen: g.nameLocked(), Off: at, Skip: skip}
}

func (r *Reader) position() record.Position {
	// The common case needs no lock: still in the same generation, whose
	// name is known, and no line unfinished.
	if r.cursor.Gen.Len > 0 && r.gen == r.named && !r.joiner.holding() {
		return record.Position{Gen: r.cursor.Gen, Off: r.off, Skip: r.joiner.skip}
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return r.positionLocked()
}

// Next fills b with the records after the cursor; see collector.Reader.
func (r *Reader) Next(b *record.Batch) error {
	b.Reset()
	b.Container = r.log.Container()
	if r.gen == nil {
		begun, err := r.begin()
		switch {
		case err != nil:
			return err
		case !begun && r.log.ended.Load():
			return io.EOF
		case !begun:
			return collector.ErrIdle
		}
	}
	b.Start = r.cursor
	for {
		// Whether the generation was already closed has to be known before the
		// read: only then does reading nothing mean that nothing will come.
		next := r.gen.next.Load()
		ended := r.log.ended.Load()
		container := r.log.Container()
		n, err := r.gen.read(b.Block, r.off, r.fresh)
		r.fresh = err == nil && n < len(b.Block)
		if err != nil {
			r.log.root.stats.ReadErrors.Add(1)
			return fmt.Errorf("reading %q: %w", r.gen.path, err)
		}
		before := r.off
		if n > 0 {
			r.parse(b, b.Block[:n])
		}
		moved := r.off != before
		if moved || len(b.Records) > 0 {
			r.trimReturns(b)
			b.More = n == len(b.Block) || r.off < before+int64(n) || next != nil || ended
			b.GivenUp = r.log.givesUp(place{r.gen.serial, before})
			r.cursor = r.position()
			b.End = r.cursor
			if b.Start.Gen.Len == 0 && r.gen.inode == b.Start.Gen.Inode {
				// It had no name when nothing had been written to it.
				b.Start.Gen = b.End.Gen
			}
			return nil
		}
		switch {
		case n == 0 && r.truncated():
			b.Start = r.cursor
		case next != nil:
			if n > 0 {
				r.log.broken(r.gen, r.off)
			}
			if err := r.enter(next); err != nil {
				return err
			}
		case ended:
			if n > 0 {
				r.log.broken(r.gen, r.off)
			}
			r.finish(b)
			if len(b.Records) == 0 {
				return io.EOF
			}
			b.More = true
			return nil
		default:
			if n == 0 && container.Rests() && r.joiner.heldBefore(container.AsOf.UnixNano()) {
				r.finish(b)
				return nil
			}
			return collector.ErrIdle
		}
	}
}

// begin places a cursor whose log had no file when it was made.
func (r *Reader) begin() (begun bool, err error) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if len(r.log.chain) == 0 {
		return false, nil
	}
	first := r.log.chain[0]
	if err := r.log.unpackLocked(first); err != nil {
		return false, err
	}
	r.goToLocked(first, first.base)
	r.kept, r.keptOff = r.gen, r.off
	r.cursor = r.positionLocked()
	return true, nil
}

// enter goes on to the next generation.
func (r *Reader) enter(next *generation) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if err := r.log.unpackLocked(next); err != nil {
		return err
	}
	r.goToLocked(next, next.base)
	r.inJunk = false
	return nil
}

// trimReturns takes off what a terminal puts before each newline.
func (r *Reader) trimReturns(b *record.Batch) {
	if !b.Container.TTY {
		return
	}
	for i := range b.Records {
		b.Records[i].Line = trimReturn(b.Records[i].Line)
	}
}

func trimReturn(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\r'}) }

// finish gives out what is unfinished, for the container has stopped.
func (r *Reader) finish(b *record.Batch) {
	r.joiner.finishAll(b, r.off)
	r.trimReturns(b)
	r.cursor = r.position()
	b.End = r.cursor
}

// truncated finds out whether the file has become shorter than the cursor is
// far, as by an outside "truncate", and then starts at its beginning. A line of
// which only parts have come is lost with them: a position can point to them no
// more, and what is still written of it is another line.
func (r *Reader) truncated() bool {
	if r.gen.size() >= r.off {
		return false
	}
	if r.cut() {
		r.log.tellCut(r.gen)
	}
	return true
}

// tellCut counts and tells that a file was truncated.
func (l *Log) tellCut(g *generation) {
	l.root.stats.Truncations.Add(1)
	l.root.logger.Warn("a log was truncated by someone else than the engine; what was not read before is lost",
		"container", l.Container().Name, "file", g.path)
}

// cut moves the cursor to the beginning of a file that was truncated, and reports
// whether no other reader has been there before.
func (r *Reader) cut() (first bool) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if first = r.cuts == r.gen.cuts; first {
		r.gen.cuts++
		r.log.reported = place{serial: r.gen.serial, off: -1}
	}
	r.goToLocked(r.gen, r.gen.base)
	r.gen.mark = record.Generation{Inode: r.gen.inode}
	r.inJunk = false
	r.joiner.reset(0)
	if r.kept == r.gen {
		r.keptOff = r.off
	}
	r.cursor = r.positionLocked()
	return first
}

// parse takes the records from block, which was read at r.off, and moves r.off
// behind the last that it took.
func (r *Reader) parse(b *record.Batch, block []byte) {
	base := r.off
	// A line that began in an earlier generation makes records resume there,
	// until it ends. All records of a batch resume in one generation, so until
	// then every record is a batch of its own.
	single := r.joiner.holding() && r.joiner.hold().gen != r.gen
	var d decoder
	at := 0
	for at < len(block) {
		i := bytes.IndexByte(block[at:], '\n')
		if i < 0 {
			break
		}
		line := block[at : at+i]
		off := base + int64(at)
		at += i + 1
		r.take(b, &d, line, off, base+int64(at))
		if single && len(b.Records) > 0 {
			break
		}
	}
	if at == 0 && len(block) == len(b.Block) {
		// No record is so long: pass over it to the next line feed, or to where a
		// record begins behind NUL bytes.
		nul := len(block) - len(bytes.TrimLeft(block, "\x00"))
		r.onlyNUL = nul > 0 && (!r.inJunk || r.onlyNUL)
		r.inJunk = true
		if at = len(block); r.onlyNUL {
			at = nul
		}
	}
	r.off = base + int64(at)
}

// take decodes one line, which lies from off to next, and gives out what it
// completes.
func (r *Reader) take(b *record.Batch, d *decoder, line []byte, off, next int64) {
	if r.inJunk || len(line) > 0 && line[0] == 0 {
		wasNUL := !r.inJunk || r.onlyNUL
		r.inJunk = false
		line = bytes.TrimLeft(line, "\x00")
		if !wasNUL || len(line) == 0 {
			r.log.broken(r.gen, off)
			return
		}
	}
	// It is decoded where it will most likely stay.
	n := len(b.Records)
	b.Records = append(b.Records, record.Record{Resume: next})
	whole, err := d.decode(line, &b.Records[n])
	if err == nil && whole && r.joiner.plain() {
		return
	}
	rec := b.Records[n]
	b.Records = b.Records[:n]
	if err != nil {
		r.log.broken(r.gen, off)
		return
	}
	if r.joiner.add(b, &rec, whole, r.gen, off, next, r.log.root.maxLine) {
		r.log.root.stats.Cut.Add(1)
	}
}

// Seek moves the cursor back; see collector.Reader.
func (r *Reader) Seek(to record.Position) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if to.IsOldest() {
		// The reader began before there was a file: its first is the one kept.
		r.inJunk = false
		r.joiner.reset(0)
		r.goToLocked(r.kept, r.kept.base)
		r.cursor = r.positionLocked()
		return nil
	}
	return r.placeLocked(to)
}

// Release lets go of what lies before a position; see collector.Reader.
func (r *Reader) Release(to record.Position) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for g := r.kept; g != nil; g = g.next.Load() {
		if g.named(to.Gen) {
			r.keptOff = to.Off
			if g != r.kept {
				r.kept = g
				r.log.trimLocked(true)
			}
			return
		}
	}
}

// Position returns the cursor; see collector.Reader.
func (r *Reader) Position() record.Position { return r.cursor }

// Lag returns how many bytes lie behind a position; see collector.Reader.
func (r *Reader) Lag(from record.Position) int64 {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.kept == nil {
		return 0
	}
	total, seen := int64(0), false
	for g := r.kept; g != nil; g = g.next.Load() {
		if g.named(from.Gen) {
			total, seen = -from.Off, true
		}
		total += g.size()
	}
	if !seen && !from.IsOldest() {
		return 0
	}
	return max(total, 0)
}

// GivenUp reports whether the log gives up what lies behind a position; see
// collector.Reader.
func (r *Reader) GivenUp(from record.Position) bool {
	if r.log.floor.Load() == nil {
		return false
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for g := r.kept; g != nil; g = g.next.Load() {
		if from.IsOldest() {
			return r.log.givesUp(place{g.serial, g.base})
		}
		if g.named(from.Gen) {
			return r.log.givesUp(place{g.serial, from.Off})
		}
	}
	return false
}

// Close ends the use of the reader.
func (r *Reader) Close() error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	for _, g := range r.log.chain {
		switch {
		case r.kept == nil || g.serial > r.kept.serial:
			g.wanted = true
		case g == r.kept:
			g.wanted = g.wanted || r.keptOff < g.size()
		}
	}
	r.log.removeLocked(r)
	r.log.trimLocked(false)
	r.log.finishLocked()
	return nil
}
