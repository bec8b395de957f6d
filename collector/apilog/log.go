package apilog

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/collector/spool"
)

// Log is the log of one container. It is copied from the first time that
// somebody asks for a reader.
type Log struct {
	source *Source
	id     string
	// wake tells the follower that something about the container has changed.
	wake chan struct{}

	container atomic.Pointer[record.Container]

	// mu guards all below.
	mu sync.Mutex
	// removed says that the engine does not have the container any more.
	removed bool
	// spooled is the copy, nil while nobody has asked for it.
	spooled *spool.Log
	// stop ends the follower, done is closed when it has ended; nil while there
	// is none.
	stop context.CancelFunc
	done chan struct{}
	// cut ends the follower's present answer, nil while there is none.
	cut context.CancelFunc
	// late cuts the answer when nothing more comes of it though the engine is to
	// end it by itself; nil while that is not so. It is set under mu.
	late atomic.Pointer[time.Timer]
	// unread is since when nobody has read the log; zero while somebody does.
	unread time.Time
}

var _ collector.Log = (*Log)(nil)

// Container returns the container as it is known now.
func (l *Log) Container() *record.Container { return l.container.Load() }

// Reader returns a cursor that starts at from; see collector.Log. The log is
// copied from the engine from then on.
func (l *Log) Reader(from record.Position, changed func()) (collector.Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.openLocked(); err != nil {
		return nil, err
	}
	l.unread = time.Time{}
	l.startLocked()
	return l.spooled.Reader(from, changed)
}

// Begun reports whether all that is written from now on will be copied: where a
// copy begins is asked of the engine after the first Reader.
func (l *Log) Begun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spooled != nil && l.spooled.Begun()
}

func (l *Log) openLocked() error {
	if l.spooled != nil {
		return nil
	}
	spooled, err := l.source.options.Spool.Log(l.id)
	if err != nil {
		return err
	}
	spooled.SetContainer(l.Container())
	l.spooled = spooled
	return nil
}

// startLocked starts the follower unless it runs or has nothing to do.
func (l *Log) startLocked() {
	if l.done != nil {
		return
	}
	ctx, stop := context.WithCancel(l.source.ctx)
	done := make(chan struct{})
	if l.removed || !l.source.start(func() {
		defer close(done)
		l.follow(ctx, l.spooled)
	}) {
		stop()
		l.spooled.End()
		return
	}
	l.stop, l.done = stop, done
}

// The engine sends the rest of a log and ends its answer by itself when the
// container has stopped or was removed, and when the log is not followed. An
// answer of which nothing comes for so long is cut: one that was followed, and
// any other, before whose first record an engine may pass over all older ones.
const (
	stopGrace = 10 * time.Second
	restGrace = 5 * time.Minute
)

// set replaces what is known of the container.
func (l *Log) set(c *record.Container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.container.Store(c)
	if l.spooled != nil {
		l.spooled.SetContainer(c)
	}
	l.changedLocked()
}

// end says that the engine has removed the container.
func (l *Log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed = true
	l.changedLocked()
}

func (l *Log) changedLocked() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
	if l.removed || !l.Container().Running {
		l.endsLocked(stopGrace)
	}
}

// endsLocked has the present answer cut when nothing comes of it for so long.
func (l *Log) endsLocked(silence time.Duration) {
	if l.cut != nil && l.late.Load() == nil {
		l.late.Store(time.AfterFunc(silence, l.cut))
	}
}

// forget stops the copy and removes what has been copied. It does nothing when
// somebody reads the log.
func (l *Log) forget() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spooled == nil || l.spooled.Readers() > 0 {
		return nil
	}
	if l.done != nil {
		l.stop()
		// The follower takes the lock for a moment at a time.
		l.mu.Unlock()
		<-l.done
		l.mu.Lock()
		if l.spooled == nil || l.spooled.Readers() > 0 {
			// Somebody has come meanwhile.
			l.done, l.stop = nil, nil
			l.startLocked()
			return nil
		}
	}
	l.done, l.stop, l.spooled = nil, nil, nil
	return l.source.options.Spool.Remove(l.id)
}

// state returns what the follower has to know.
func (l *Log) state() (c *record.Container, removed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Container(), l.removed
}

// The pause before the engine is asked again grows from the first to the second.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 15 * time.Second
)

// follow copies the log until ctx ends or the container has been removed.
func (l *Log) follow(ctx context.Context, spooled *spool.Log) {
	pause := firstPause
	var down error
	// rested is the end of the container's life up to which all was copied.
	rested, resting := time.Time{}, false
	for ctx.Err() == nil {
		c, removed := l.state()
		switch {
		case removed:
			l.finish(ctx, spooled)
			return
		case !c.Running && resting && c.Finished.Equal(rested):
			l.wait(ctx, -1)
			continue
		}
		begun := time.Now()
		copied, err := l.pass(ctx, spooled, c)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errSilent) {
			continue
		}
		if err == nil && !c.Running {
			rested, resting = c.Finished, true
		}
		down = l.report(c, down, err)
		if copied > 0 || time.Since(begun) > lastPause {
			pause = firstPause
		}
		// Half of the pause is random, so that many logs are not asked for at
		// once when the engine is back.
		l.wait(ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, lastPause)
	}
}

// wait waits, not at all beyond a change of the container; without end when the
// time is below zero.
func (l *Log) wait(ctx context.Context, d time.Duration) {
	var after <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-after:
	}
}

// report counts an error and says the first of an outage, and that it is over.
func (l *Log) report(c *record.Container, down, err error) error {
	switch {
	case err == nil && down != nil:
		l.source.logger.Info("a log is read through the engine again", "container", c.Name)
	case err == nil || errors.Is(err, engine.ErrNotFound):
		// The collector tells of the removal.
	default:
		l.source.stats.Errors.Add(1)
		if down == nil {
			l.source.logger.Warn("a log cannot be read through the engine, trying again from where it left off",
				"container", c.Name, "id", c.ShortID(), "driver", c.LogDriver, "error", err)
		}
		return err
	}
	return nil
}

// finish ends the log of a container that was removed, when all that was copied
// is on disk.
func (l *Log) finish(ctx context.Context, spooled *spool.Log) {
	for spooled.Flush() != nil {
		l.wait(ctx, flushRetry)
		if ctx.Err() != nil {
			return
		}
	}
	// Without this, a reader that waits for the end would wait for ever.
	_ = spooled.SettleEnd()
	spooled.End()
}

// errSilent says that an answer was cut because it told nothing for too long.
var errSilent = errors.New("nothing has come for long")

// pass copies one answer of the engine: of a running container until it stops,
// else all that there is. It returns how many records were new.
func (l *Log) pass(ctx context.Context, spooled *spool.Log, c *record.Container) (copied int64, err error) {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	grace := stopGrace
	if !c.Running {
		grace = restGrace
	}
	// A timer that is moved when it has just fired cuts a second time, which
	// changes nothing.
	heard := func() {
		if late := l.late.Load(); late != nil {
			late.Reset(grace)
		}
	}
	if timeout := l.source.options.Inactivity; timeout > 0 && c.Running {
		var silent atomic.Bool
		timer := time.AfterFunc(timeout, func() { silent.Store(true); cut() })
		ends := heard
		heard = func() { timer.Reset(timeout); ends() }
		defer func() {
			if timer.Stop(); silent.Load() {
				err = errSilent
			}
		}()
	}
	l.mu.Lock()
	l.cut = cut
	if !c.Running || l.removed || !l.Container().Running {
		l.endsLocked(grace)
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cut = nil
		if late := l.late.Swap(nil); late != nil {
			late.Stop()
		}
	}()
	// What an earlier answer left in memory comes first.
	if err := spooled.Flush(); err != nil {
		return 0, err
	}
	if !spooled.Begun() {
		if err := l.source.begin(ctx, spooled, c); err != nil {
			return 0, err
		}
	}
	body, err := l.source.options.Engine.Logs(ctx, c.ID, engine.LogOptions{Since: sinceFor(c.LogDriver, spooled.Mark().Base), Follow: c.Running})
	if err != nil {
		return 0, err
	}
	cp := newCopier(l.source, spooled, c, body)
	cp.heard = heard
	err = errors.Join(cp.run(), body.Close())
	if err != nil || c.Running {
		return cp.copied, err
	}
	rests, err := l.stillRests(ctx, c, cp)
	if rests {
		err = cp.finish()
	}
	return cp.copied, err
}

// stillRests reports whether nothing will continue what a copy has left
// unfinished. It asks the engine, for the container may run again and have begun
// a line, of which the events tell later than the log does.
func (l *Log) stillRests(ctx context.Context, c *record.Container, cp *copier) (bool, error) {
	if cp.joiner.first() == nil {
		now, _ := l.state()
		return !now.Running, nil
	}
	now, err := l.source.options.Engine.Inspect(ctx, c.ID)
	if errors.Is(err, engine.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !now.Running && now.Started.Equal(c.Started) && now.Finished.Equal(c.Finished), nil
}
