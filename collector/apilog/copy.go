package apilog

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/collector/spool"
)

// Where the engine cuts lines. The driver that sends them to CloudWatch has a
// length of its own, and so has the cache beside it.
const (
	partSize    = 16 << 10
	awsPartSize = 262118
)

func partSizeOf(driver string) int {
	if driver == "awslogs" {
		return awsPartSize
	}
	return partSize
}

// copier copies one answer of the engine into the spool.
type copier struct {
	source *Source
	log    *spool.Log
	name   string

	decoder decoder
	tracker tracker
	joiner  joiner
	flusher *flusher
	// from is the time before which nothing is taken until something is not older:
	// an answer may hold more than was wanted.
	from int64
	// head is the mark's, for as long as the end of the log is not known.
	head int64
	// copied counts the records that were new.
	copied int64
	// heard is called with each record of the answer.
	heard func()
}

// newDecoder returns the decoder of an answer about a container.
func newDecoder(c *record.Container, body io.Reader) decoder {
	part := partSizeOf(c.LogDriver)
	if c.TTY {
		return &raw{in: bufio.NewReaderSize(body, part+(16<<10)), partSize: part}
	}
	return &frames{in: bufio.NewReaderSize(body, 32<<10)}
}

// newCopier returns a copier that goes on from the log's mark.
func newCopier(s *Source, log *spool.Log, c *record.Container, body io.Reader) *copier {
	mark := log.Mark()
	cp := &copier{
		source: s, log: log, name: c.Name, tracker: newTracker(mark), head: mark.Head, from: mark.Base,
		flusher: &flusher{log: log, delay: s.options.MaxDelay},
	}
	cp.decoder = newDecoder(c, &watchedReader{in: body, before: cp.flusher.idle})
	cp.joiner = joiner{
		skip: mark.Skip, maxLine: s.options.MaxLine, partSize: partSizeOf(c.LogDriver), tty: c.TTY, give: cp.give,
	}
	return cp
}

// run copies to the end of the answer, which is no error. What was copied is in
// the spool's files when it returns without one.
func (cp *copier) run() error {
	defer cp.flusher.stop()
	var p piece
	for {
		err := cp.decoder.next(&p)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return cp.log.Flush()
		}
		if err != nil {
			// What came before is good.
			return errors.Join(err, cp.log.Flush())
		}
		if err := cp.take(&p); err != nil {
			return err
		}
	}
}

func (cp *copier) take(p *piece) error {
	cp.heard()
	if !p.timed && cp.source.stats.Broken.Add(1) == 1 {
		cp.source.logger.Warn("the engine sent a record without a time, which is taken to have that of the one before; further ones are only counted",
			"container", cp.name)
	}
	if p.time < cp.from {
		return nil
	}
	cp.from = 0
	// A record of the other stream may be newer and yet come before the head.
	if cp.head != 0 && p.time > cp.head+slack {
		if err := cp.settle(); err != nil {
			return err
		}
	}
	wanted, gap := cp.tracker.wanted(p.time)
	if gap {
		cp.source.stats.Gaps.Add(1)
		cp.source.logger.Error("the engine has no more of a log what was read of it last: it was rotated or cut while it was not read, and lines may be lost",
			"container", cp.name, "last", time.Unix(0, cp.tracker.leaveLast).UTC(), "next", time.Unix(0, p.time).UTC())
	}
	if !wanted {
		cp.source.stats.Repeats.Add(1)
		return nil
	}
	cp.copied++
	if err := cp.joiner.split(p); err != nil {
		return err
	}
	before := cp.tracker.mark()
	cp.tracker.see(p.time)
	cut, err := cp.joiner.add(p, before)
	if cut {
		cp.source.stats.Cut.Add(1)
	}
	if err == nil && cp.head != 0 && p.time == cp.head && p.whole {
		err = cp.settle()
	}
	return err
}

// settle says that all has been copied that there was when the copy began.
func (cp *copier) settle() error {
	cp.head = 0
	return cp.log.SettleEnd()
}

// give appends a line that is complete.
func (cp *copier) give(r *record.Record) error {
	mark := cp.tracker.mark()
	mark.Head = cp.head
	return cp.log.Append(r, cp.joiner.hold(mark))
}

// finish ends the copy of a container that does not run: what is unfinished
// stays so.
func (cp *copier) finish() error {
	if err := cp.joiner.finishAll(); err != nil {
		return err
	}
	if err := cp.settle(); err != nil {
		return err
	}
	return cp.log.Flush()
}

// begin gives a new log its beginning: with history as much of it as is wanted,
// and then the log's end is known when the record has been copied that is the
// newest now; without, that record.
func (s *Source) begin(ctx context.Context, log *spool.Log, c *record.Container) error {
	history := -1
	if s.options.History != nil {
		history = s.options.History(c)
	}
	// This answer is never followed.
	ctx, cancel := context.WithTimeout(ctx, restGrace)
	defer cancel()
	body, err := s.options.Engine.Logs(ctx, c.ID, engine.LogOptions{Last: max(history, 1)})
	if err != nil {
		return err
	}
	var p piece
	oldest, newest := int64(0), int64(0)
	d := newDecoder(c, body)
	for err == nil {
		if err = d.next(&p); err == nil && p.timed {
			if newest = p.time; oldest == 0 {
				oldest = newest
			}
			// The two streams are not quite in the order of their times.
			oldest = min(oldest, p.time)
		}
	}
	if err := errors.Join(body.Close(), ignoreEOF(err)); err != nil {
		return err
	}
	mark := spool.Mark{Head: newest}
	switch {
	case newest == 0 || history < 0:
	case history == 0:
		// All records of that time, of which there are hardly ever two.
		mark = spool.Mark{Base: newest, Last: newest, Count: 1 << 31}
	default:
		mark.Base = oldest
	}
	return log.Begin(mark)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// watchedReader calls before ahead of each read, which may block.
type watchedReader struct {
	in     io.Reader
	before func()
}

func (r *watchedReader) Read(b []byte) (int, error) {
	r.before()
	return r.in.Read(b)
}

// flushRetry is the pause after the spool could not be written.
const flushRetry = time.Second

// flusher writes what was copied when nothing more is to be had: at once when it
// has not done so for a while, so that a single line arrives without delay, and
// else a little later, so that a flood is not written line by line.
type flusher struct {
	log   *spool.Log
	delay time.Duration

	mu sync.Mutex
	// last is when the log was flushed; guarded by mu.
	last time.Time
	// timer is set while a flush is due; guarded by mu.
	timer *time.Timer
	// stopped says that none is to be set any more; guarded by mu.
	stopped bool
	// due counts the flush that is due or under way.
	due sync.WaitGroup
}

// idle says that a read is about to wait.
func (f *flusher) idle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer != nil || f.stopped {
		return
	}
	if wait := f.delay - time.Since(f.last); wait > 0 {
		f.laterLocked(wait)
		return
	}
	f.flushLocked()
}

func (f *flusher) flushLocked() {
	err := f.log.Flush()
	f.last = time.Now()
	if err != nil && !f.stopped {
		f.laterLocked(flushRetry)
	}
}

func (f *flusher) laterLocked(wait time.Duration) {
	f.due.Add(1)
	f.timer = time.AfterFunc(wait, func() {
		defer f.due.Done()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.timer = nil
		if !f.stopped {
			f.flushLocked()
		}
	})
}

// stop ends the flusher and waits for a flush that is under way.
func (f *flusher) stop() {
	f.mu.Lock()
	f.stopped = true
	if f.timer != nil && f.timer.Stop() {
		f.due.Done()
	}
	f.mu.Unlock()
	f.due.Wait()
}
