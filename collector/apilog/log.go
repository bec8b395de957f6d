package apilog

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
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

	// mu guards all below.
	mu        sync.Mutex
	container *record.Container
	// removed says that the engine does not have the container any more.
	removed bool
	// spooled is the copy, nil while nobody has asked for it.
	spooled *spool.Log
	// stop ends the follower, done is closed when it has ended; nil while there
	// is none.
	stop context.CancelFunc
	done chan struct{}
	// cut ends the follower's present answer, nil while there is none. late cuts
	// it when the engine has not ended it itself.
	cut  context.CancelFunc
	late *time.Timer
	// unread is since when nobody has read the log; zero while somebody does.
	unread time.Time
}

var _ collector.Log = (*Log)(nil)

// Container returns the container as it is known now.
func (l *Log) Container() *record.Container {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.container
}

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

func (l *Log) openLocked() error {
	if l.spooled != nil {
		return nil
	}
	spooled, err := l.source.options.Spool.Log(l.id)
	if err != nil {
		return err
	}
	spooled.SetContainer(l.container)
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

// stopGrace is how long an answer may still take after its container has stopped
// or was removed: the engine sends the rest and ends it by itself.
const stopGrace = 10 * time.Second

// set replaces what is known of the container.
func (l *Log) set(c *record.Container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.container = c
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
	if (l.removed || !l.container.Running) && l.cut != nil && l.late == nil {
		l.late = time.AfterFunc(stopGrace, l.cut)
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
	return l.container, l.removed
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

// pass copies one answer of the engine: of a running container until it stops,
// else all that there is. It returns how many records were new.
func (l *Log) pass(ctx context.Context, spooled *spool.Log, c *record.Container) (int64, error) {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	l.mu.Lock()
	l.cut = cut
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cut = nil
		if l.late != nil {
			l.late.Stop()
			l.late = nil
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
	body, err := l.source.options.Engine.Logs(ctx, c.ID, engine.LogOptions{Since: spooled.Mark().Base, Follow: c.Running})
	if err != nil {
		return 0, err
	}
	cp := newCopier(l.source, spooled, c, body)
	err = errors.Join(cp.run(), body.Close())
	if now, _ := l.state(); err == nil && !c.Running && !now.Running {
		err = cp.finish()
	}
	return cp.copied, err
}
