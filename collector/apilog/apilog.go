// Package apilog reads the logs of containers through the engine's API, for
// those that are not files which can be read: other logging drivers, of which
// the engine keeps a copy or a cache, and engines whose files are out of reach.
// What it reads it copies to a spool, from which any number of readers go on at
// their own pace.
//
// It is the second choice after the files themselves. A log is asked for again,
// after any interruption, from a time a little before the newest record that was
// copied, and what was copied already is left out by its number. So nothing is
// lost between the engine and the spool that the engine still has. It is never
// asked from "now" on.
//
// What the engine does not promise cannot be promised here. dockerd itself skips
// to the newest file when a log is rotated faster than it is read, without a
// sign in the answer: a container that floods loses lines, up to about half of
// them. Nothing in the answer tells a silence from a loss, so this is not
// noticed while a stream is open. When a stream is opened again and does not
// reach back to what was read last, that is counted and said. Engines up to
// 20.10 send lines of a rotated file a second time, which is passed on. The
// engine's cache for drivers that cannot be read may itself drop lines. With a
// TTY, what a container left without a newline when it ended is glued to the
// next run's first line where both are read from the past.
package apilog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/collector/spool"
)

// Defaults of Options.
const (
	DefaultMaxLine  = 1 << 20
	DefaultMaxDelay = 5 * time.Millisecond
	DefaultKeep     = time.Minute
)

// Options configure a Source. Zero values stand for the defaults.
type Options struct {
	Engine engine.LogReader
	// Spool is where logs are copied to. It is to be closed after Run has
	// returned.
	Spool *spool.Spool
	// History says of a container that is met for the first time how many of the
	// newest records that the engine already has of its log are copied, all where
	// it is below zero. Where it is 0 there is no past for any reader. Nil copies
	// everything; a reader that starts at the end passes over it.
	History func(*record.Container) int
	// Saved returns the positions of a container's log from which somebody would
	// go on after a restart. With it, a log that nobody reads is forgotten, and
	// copied anew when somebody asks for it. Nil keeps it.
	Saved func(containerID string) []record.Position
	// MaxLine is the longest line in bytes; what is longer is cut.
	MaxLine int
	// MaxDelay is for how long the lines of a busy log are gathered before
	// readers see them.
	MaxDelay time.Duration
	// Inactivity is after how long without a record the engine is asked anew,
	// should it have forgotten the stream; 0 is never. Nothing is copied twice
	// for it.
	Inactivity time.Duration
	// Keep is for how long the copy of a log is kept that nobody reads.
	Keep   time.Duration
	Logger *slog.Logger
}

// Stats count what has happened.
type Stats struct {
	// Broken counts records without a time, Cut lines over the maximum.
	Broken, Cut atomic.Int64
	// Gaps counts streams that did not reach back to what was read before.
	Gaps atomic.Int64
	// Repeats counts the records that were left out because they had been copied.
	Repeats atomic.Int64
	// Errors counts the streams that could not be opened or broke.
	Errors atomic.Int64
}

// Source gives the logs of all containers that the engine can read.
type Source struct {
	options Options
	logger  *slog.Logger
	stats   Stats
	opened  time.Time
	// ctx ends with Run.
	ctx    context.Context
	cancel context.CancelFunc

	// mu guards all below.
	mu   sync.Mutex
	logs map[string]*Log
	// refused holds why the engine cannot read a container's log, nil when it
	// can, of those that have been asked for.
	refused map[string]error
	// followers counts the goroutines that copy; none is added once closed.
	followers sync.WaitGroup
	closed    bool
	// begun tells Run that something may be copied.
	begun chan struct{}
}

var _ collector.Source = (*Source)(nil)

// New returns a Source that copies nothing until a reader is asked for. Run is to
// be called.
func New(o Options) *Source {
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	o.MaxLine = min(o.MaxLine, spool.MaxLine)
	if o.MaxDelay == 0 {
		o.MaxDelay = DefaultMaxDelay
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Source{
		options: o, logger: o.Logger, opened: time.Now(),
		logs: make(map[string]*Log), refused: make(map[string]error), begun: make(chan struct{}, 1),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Stats returns the live counters.
func (s *Source) Stats() *Stats { return &s.stats }

// probeTime bounds the question whether the engine can read a log. When it
// passes, the log is taken to be readable, and reading it tells.
const probeTime = 5 * time.Second

// Log returns the log of a container; see collector.Source.
func (s *Source) Log(c *record.Container) (collector.Log, error) {
	s.mu.Lock()
	l := s.logs[c.ID]
	s.mu.Unlock()
	if l != nil {
		l.set(c)
		return l, nil
	}
	if err := s.probe(c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l = s.logs[c.ID]
	if l == nil {
		l = &Log{source: s, id: c.ID, wake: make(chan struct{}, 1)}
		l.container.Store(c)
		s.logs[c.ID] = l
		s.rouse()
	}
	return l, nil
}

// probe finds out whether the engine can read a log.
func (s *Source) probe(c *record.Container) error {
	switch c.LogDriver {
	case "json-file", "local":
		return nil
	case "":
		return errors.New("the container was removed before the engine could be asked how its log is kept")
	}
	s.mu.Lock()
	refused, known := s.refused[c.ID]
	s.mu.Unlock()
	if known {
		return refused
	}
	ctx, cancel := context.WithTimeout(s.ctx, probeTime)
	defer cancel()
	body, err := s.options.Engine.Logs(ctx, c.ID, engine.LogOptions{Last: 1})
	if err == nil {
		_ = body.Close() // Its content is not wanted.
	}
	if errors.Is(err, engine.ErrUnreadable) {
		refused = fmt.Errorf("the logging driver %q keeps nothing that the engine could read; start the container with "+
			"--log-driver=json-file or --log-driver=local, or without --log-opt cache-disabled=true", c.LogDriver)
	} else if err != nil {
		// Not an answer to the question.
		return nil
	}
	s.mu.Lock()
	s.refused[c.ID] = refused
	s.mu.Unlock()
	return refused
}

// End says that the engine has removed a container; see collector.Source.
func (s *Source) End(id string) {
	s.mu.Lock()
	l := s.logs[id]
	delete(s.refused, id)
	s.mu.Unlock()
	if l != nil {
		l.end()
	}
}

// Orphans returns containers of whose log an earlier life has left something that
// somebody was still to have; see collector.Source.
func (s *Source) Orphans() []*record.Container {
	var left []*record.Container
	for _, id := range s.options.Spool.Containers() {
		s.mu.Lock()
		_, open := s.logs[id]
		s.mu.Unlock()
		if open || s.options.Saved != nil && !s.saved(id) {
			continue
		}
		spooled, err := s.options.Spool.Log(id)
		if err != nil {
			s.logger.Error("the copy of a log cannot be read", "id", id, "error", err)
			continue
		}
		c := *spooled.Container()
		if !spooled.Described() {
			s.logger.Error("the copy of a log does not say whose it is", "id", id)
		}
		c.Running, c.PID, c.Status = false, 0, "removed"
		left = append(left, &c)
	}
	return left
}

// saved reports whether somebody would go on in a log after a restart.
func (s *Source) saved(id string) bool {
	return s.options.Saved != nil && len(s.options.Saved(id)) > 0
}

// Sweep forgets the logs that nobody reads or would go on with; see
// collector.Source.
func (s *Source) Sweep() {
	now := time.Now()
	s.mu.Lock()
	logs := make(map[string]*Log, len(s.logs))
	for id, l := range s.logs {
		logs[id] = l
	}
	s.mu.Unlock()
	for id, l := range logs {
		if !l.idle(now, s.options.Keep, s.options.Saved != nil) || s.saved(id) {
			continue
		}
		err := l.forget()
		if err != nil {
			s.logger.Warn("removing the copy of a log", "id", id, "error", err)
		}
		if _, removed := l.state(); removed {
			s.mu.Lock()
			delete(s.logs, id)
			s.mu.Unlock()
		}
	}
	if s.options.Saved == nil || now.Sub(s.opened) < s.options.Keep {
		return
	}
	for _, id := range s.options.Spool.Containers() {
		if logs[id] == nil && !s.saved(id) {
			if err := s.options.Spool.Remove(id); err != nil {
				s.logger.Warn("removing the copy of a log", "id", id, "error", err)
			}
		}
	}
}

// idle reports whether nobody has read the log for a while. Without forgetting,
// only the log of a removed container counts as idle.
func (l *Log) idle(now time.Time, keep time.Duration, forgetting bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.removed && (!forgetting || l.spooled == nil) || l.spooled != nil && l.spooled.Readers() > 0 {
		l.unread = time.Time{}
		return false
	}
	if l.unread.IsZero() {
		l.unread = now
	}
	return now.Sub(l.unread) >= keep
}

// start runs a follower, unless Run has ended.
func (s *Source) start(follow func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.followers.Go(follow)
	s.rouse()
	return true
}

// rouse has Run look at the spool again: there may be something in it.
func (s *Source) rouse() {
	select {
	case s.begun <- struct{}{}:
	default:
	}
}

// Run copies until ctx ends; see collector.Source. It has the spool made durable
// once a second, while it holds a log.
func (s *Source) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	awake := true
	var failed error
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.begun:
			if !awake {
				awake = true
				timer.Reset(time.Second)
			}
		case <-timer.C:
			failed = s.sync(failed)
			if awake = s.options.Spool.Busy(); awake {
				timer.Reset(time.Second)
			}
		}
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.followers.Wait()
	s.sync(failed)
}

// sync says the first error of an outage, and that it is over.
func (s *Source) sync(before error) error {
	err := s.options.Spool.Sync()
	switch {
	case err != nil && before == nil:
		s.logger.Error("the spool cannot be made durable, trying again", "error", err)
	case err == nil && before != nil:
		s.logger.Info("the spool is durable again")
	}
	return err
}
