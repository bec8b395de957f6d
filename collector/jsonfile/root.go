// Package jsonfile reads the logs that dockerd's json-file driver writes,
// through rotation, compression, truncation and removal.
//
// A Root watches the folder that holds the containers' folders, one inotify
// watch a container and a slow poll behind it. A Log owns a container's open
// files and the order of its generations. A Reader is a cursor in a Log.
package jsonfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector"
)

// Defaults of Options.
const (
	DefaultMaxLine  = 1 << 20
	DefaultMaxDelay = 5 * time.Millisecond
	DefaultPoll     = 10 * time.Second
)

// keepEnded is how long the files of a removed container that nobody reads are
// kept open: its readers may not have come yet.
const keepEnded = time.Minute

// Options configure a Root. Zero values stand for the defaults.
type Options struct {
	// Dir is the folder that holds a folder for each container.
	Dir string
	// TempDir is where compressed generations are unpacked to nameless files;
	// empty for the system's folder for temporary files.
	TempDir string
	// RescueDir is a folder of the agent's own into which the undelivered rest
	// of deleted files is copied, so that it survives a restart; empty for none.
	RescueDir string
	// Budget bounds the disk that is taken by these copies and by files that
	// dockerd has deleted and some reader still needs, with all else that is
	// under it. Nil for none.
	Budget *collector.Budget
	// MaxLine is the longest line in bytes, at least 64 KiB; what is longer is
	// cut. Lines are joined in memory, so this bounds it.
	MaxLine int
	// MaxDelay is for how long the changes of a busy log are gathered before
	// readers are woken. A log that was quiet is read at once.
	MaxDelay time.Duration
	// Poll is how often logs are looked at without having been announced as
	// changed.
	Poll   time.Duration
	Logger *slog.Logger
}

// Stats count what went wrong while reading.
type Stats struct {
	// Broken counts records that could not be read, Cut lines longer than the
	// maximum.
	Broken, Cut atomic.Int64
	// Truncations counts files truncated by someone else than dockerd.
	Truncations atomic.Int64
	// LostGenerations counts positions whose file was no longer there, Gaps
	// rotations of which some file may never have been seen.
	LostGenerations, Gaps atomic.Int64
	// Rescued counts the bytes copied because dockerd had deleted the file before
	// they were delivered, RescueErrors the copies that were not possible,
	// GivenUp the bytes that were given up for the budget.
	Rescued, RescueErrors, GivenUp atomic.Int64
	// ReadErrors counts errors of the file system.
	ReadErrors atomic.Int64
	// Overflows counts how often the kernel dropped change notices, after which
	// everything is looked at.
	Overflows atomic.Int64
}

// Root gives the logs of all containers of an engine that keeps its files in
// one folder.
type Root struct {
	dir      string
	tempDir  string
	maxLine  int
	maxDelay time.Duration
	pollTime time.Duration
	logger   *slog.Logger
	stats    Stats
	watch    *watch
	vault    *vault // nil when nothing is rescued
	budget   *collector.Budget
	trash    *trash
	// due takes the logs of which a file was closed.
	due chan *Log
	// stakes are the logs with something at stake.
	stakes *stakes
	// unrescued is when it was last said that copies cannot be made. Used by
	// runRescue's goroutine.
	unrescued time.Time
	// beside and largest are what was measured last: the bytes held that are not
	// in the vault, and those of the log that holds most.
	beside, largest atomic.Int64
	// transit is how many of those bytes are being copied to the vault.
	transit atomic.Int64

	mu sync.Mutex
	// logs holds those opened, by container ID; guarded by mu.
	logs map[string]*entry
}

type entry struct {
	log *Log
	// wd is the watch descriptor of the log's folder, -1 when it has none.
	wd int
	// gone is when Sweep first saw that the log had ended and nobody read it.
	gone time.Time
}

// Open returns the Root of a folder. It fails when the folder cannot be listed.
func Open(o Options) (*Root, error) {
	r := &Root{
		dir:      o.Dir,
		tempDir:  o.TempDir,
		maxLine:  o.MaxLine,
		maxDelay: o.MaxDelay,
		pollTime: o.Poll,
		logger:   o.Logger,
		budget:   o.Budget,
		trash:    newTrash(),
		due:      make(chan *Log, 1024),
		stakes:   newStakes(),
		logs:     make(map[string]*entry),
	}
	if r.budget == nil {
		r.budget = collector.NewBudget(math.MaxInt64)
	}
	r.budget.Add(r)
	if r.maxLine == 0 {
		r.maxLine = DefaultMaxLine
	}
	r.maxLine = max(r.maxLine, 4*partSize)
	if r.maxDelay == 0 {
		r.maxDelay = DefaultMaxDelay
	}
	if r.pollTime == 0 {
		r.pollTime = DefaultPoll
	}
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	if _, err := os.ReadDir(o.Dir); err != nil {
		return nil, fmt.Errorf("listing the engine's containers: %w", err)
	}
	if o.RescueDir != "" {
		var err error
		if r.vault, err = openVault(o.RescueDir); err != nil {
			r.logger.Error("what dockerd deletes before it is delivered will not survive a restart", "error", err)
		}
	}
	w, err := newWatch()
	if err != nil {
		r.logger.Warn("changes of logs cannot be watched, so they are polled", "error", err)
	} else if err := w.addRoot(o.Dir); err != nil {
		r.logger.Warn("new containers cannot be watched, so they are polled", "folder", o.Dir, "error", err)
	}
	r.watch = w
	return r, nil
}

// Stats returns the live counters.
func (r *Root) Stats() *Stats { return &r.stats }

// readable reports why a container's folder cannot be listed.
func (r *Root) readable(id string) error {
	_, err := os.ReadDir(filepath.Join(r.dir, id))
	return err
}

// drop forgets the log of a container. Its readers must be closed.
func (r *Root) drop(id string) {
	r.mu.Lock()
	e := r.logs[id]
	delete(r.logs, id)
	r.mu.Unlock()
	if e == nil {
		return
	}
	if e.wd >= 0 {
		r.watch.remove(e.wd)
	}
	e.log.forget()
}

// open watches a container's folder and opens its live file, if it is there.
// created says that the folder has just been made.
func (r *Root) open(id string, created bool) *entry {
	r.mu.Lock()
	e := r.logs[id]
	fresh := e == nil
	if fresh {
		e = &entry{log: newLog(r, id), wd: -1}
		e.log.awaited = created
		r.logs[id] = e
		if r.watch != nil {
			wd, err := r.watch.addLog(e.log)
			switch {
			case err == nil:
				e.wd, e.log.watched = wd, true
			case !errors.Is(err, fs.ErrNotExist):
				r.logger.Warn("a log cannot be watched, so it is polled", "folder", e.log.dir(), "error", err,
					"remedy", "raise fs.inotify.max_user_watches")
			}
		}
	}
	r.mu.Unlock()
	if fresh {
		if err := e.log.loadRescued(); err != nil {
			r.stats.ReadErrors.Add(1)
			r.logger.Error("rescued lines cannot be read", "folder", e.log.dir(), "error", err)
		}
	}
	e.log.look()
	return e
}

// Run watches until ctx ends. It blocks until all that it started has ended and
// closes every file.
func (r *Root) Run(ctx context.Context) {
	var group sync.WaitGroup
	if r.watch != nil {
		group.Go(r.runWatch)
		context.AfterFunc(ctx, r.watch.close)
	}
	group.Go(func() { r.runRescue(ctx) })
	r.emptyTrash(true)
	group.Go(func() { r.runTrash(ctx) })
	group.Go(func() { r.runPoll(ctx) })
	group.Wait()
	r.emptyTrash(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, e := range r.logs {
		e.log.close()
		delete(r.logs, id)
	}
}

// unwatchedPoll is how often a log is looked at that has no watch.
const unwatchedPoll = 250 * time.Millisecond

func (r *Root) runPoll(ctx context.Context) {
	tick := time.NewTicker(min(r.pollTime, unwatchedPoll))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		unwatched := r.watch == nil
		var logs []*Log
		all := time.Since(last) >= r.pollTime
		for _, e := range r.logs {
			if all || e.wd < 0 {
				logs = append(logs, e.log)
				unwatched = unwatched || e.wd < 0
			}
		}
		r.mu.Unlock()
		// Nothing but the slow poll where every log is watched.
		if !unwatched {
			tick.Reset(r.pollTime)
		} else {
			tick.Reset(min(r.pollTime, unwatchedPoll))
		}
		for _, l := range logs {
			l.poll()
		}
		if all {
			last = time.Now()
		}
	}
}

// Sweep lets go of the logs of removed containers that nobody reads; see
// collector.Source. A log that nobody has asked for yet is kept for a while: the
// engine may be slow to tell of its container.
func (r *Root) Sweep() {
	now := time.Now()
	r.mu.Lock()
	var drop []string
	for id, e := range r.logs {
		switch {
		case !e.log.Idle():
		case e.gone.IsZero():
			e.gone = now
		case now.Sub(e.gone) > keepEnded:
			drop = append(drop, id)
		}
	}
	r.mu.Unlock()
	for _, id := range drop {
		r.drop(id)
	}
}
