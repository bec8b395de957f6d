// Package spool keeps on disk the logs of containers that cannot be read where
// they are, one bounded log for each container, until every reader has had them.
//
// A log is a chain of segments, files of a few MiB; a segment is a sequence of
// blocks, each with a checksum, the number of its first record and the mark of
// how far the source has been copied. A log has one writer and any number of
// readers, which read what has been written to the file and nothing else.
//
// What is written survives the end of the process at once, for it is in the
// kernel's cache. It survives the end of the host from the next Sync on, which
// the owner calls about once a second, and when a segment is closed. A tail that
// a crash has torn is cut off when the log is opened; since mark and records are
// one block, the writer then copies again from before it. A damaged block
// anywhere costs that block alone, and how many records that were is known from
// the numbers of those that follow.
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// Defaults of Options.
const (
	DefaultBudget      = 1 << 30
	DefaultSegmentSize = 4 << 20
	DefaultSettle      = 30 * time.Second
)

// Options configure a Spool. Zero values stand for the defaults.
type Options struct {
	// Dir is the folder that holds a folder for each container. It is made with
	// the first log.
	Dir string
	// Budget bounds how many bytes all logs together may take on disk, with all
	// else that is under it; nil stands for one of DefaultBudget. Past it the
	// oldest segments of the largest log are removed, delivered or not. One
	// segment a container always stays, so it is to be larger than that.
	Budget *collector.Budget
	// SegmentSize is the length in bytes after which a segment is closed.
	SegmentSize int64
	// Settle is for how long after a log was opened nothing is removed from it
	// as delivered: its readers may not all have come yet.
	Settle time.Duration
	// Saved returns the positions in a container's log from which somebody would
	// go on after a restart. It is called without any lock of the spool held.
	// Nil when no positions are kept.
	Saved  func(containerID string) []record.Position
	Logger *slog.Logger
}

// Stats count what has happened to a spool.
type Stats struct {
	// CorruptBlocks counts blocks that could not be read, TornBytes what was cut
	// off when logs were opened after a crash.
	CorruptBlocks, TornBytes atomic.Int64
	// Dropped counts the records that readers have passed over, each reader by
	// itself.
	Dropped atomic.Int64
	// EvictedSegments and EvictedBytes count what was removed for the budget.
	EvictedSegments, EvictedBytes atomic.Int64
	// WriteErrors counts failed writes and syncs, ReadErrors failed reads.
	WriteErrors, ReadErrors atomic.Int64
}

// Spool holds the logs of one folder. Its methods may be called from any
// goroutine.
type Spool struct {
	options Options
	files   files
	logger  *slog.Logger
	stats   Stats
	// total is how many bytes all segments take.
	total atomic.Int64
	// warned is when an eviction was last said; used by GiveUp, of which the
	// budget makes one call at a time.
	warned time.Time

	// mu guards both below. It is taken before the locks of a log.
	mu   sync.Mutex
	logs map[string]*Log
	// closed holds the bytes of the logs that are on disk and not open.
	closed map[string]int64
}

// Open returns the spool of a folder with what earlier lives have left there.
func Open(o Options) (*Spool, error) { return open(o, diskFiles{}) }

func open(o Options, files files) (*Spool, error) {
	if o.Budget == nil {
		o.Budget = collector.NewBudget(DefaultBudget)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Spool{options: o, files: files, logger: o.Logger, logs: make(map[string]*Log), closed: make(map[string]int64)}
	entries, err := files.ReadDir(o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the spool: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		segments, err := listSegments(files, filepath.Join(o.Dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("listing the spool: %w", err)
		}
		bytes := int64(0)
		for _, seg := range segments {
			bytes += seg.size
		}
		s.closed[e.Name()] = bytes
		s.total.Add(bytes)
	}
	o.Budget.Add(s)
	return s, nil
}

// Stats returns the live counters.
func (s *Spool) Stats() *Stats { return &s.stats }

// Held returns how many bytes all logs take on disk; see collector.Hoard.
func (s *Spool) Held() int64 { return s.total.Load() }

// Log returns the log of a container, opening or making it.
func (s *Spool) Log(containerID string) (*Log, error) {
	if containerID == "" || filepath.Base(containerID) != containerID || containerID == ".." || containerID == "." {
		return nil, fmt.Errorf("bad container ID %q", containerID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[containerID]; l != nil {
		return l, nil
	}
	l, err := s.openLog(containerID)
	if err != nil {
		return nil, fmt.Errorf("opening the spooled log of container %q: %w", containerID, err)
	}
	s.total.Add(l.bytes() - s.closed[containerID])
	delete(s.closed, containerID)
	s.logs[containerID] = l
	return l, nil
}

// Containers returns the IDs of all containers that have a log here.
func (s *Spool) Containers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.logs)+len(s.closed))
	for id := range s.logs {
		ids = append(ids, id)
	}
	for id := range s.closed {
		ids = append(ids, id)
	}
	return ids
}

// Remove removes the log of a container with everything in it. It must have
// neither a writer nor readers.
func (s *Spool) Remove(containerID string) error {
	l, err := s.Log(containerID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.logs, containerID)
	s.mu.Unlock()
	return l.remove()
}

// openLogs returns the logs that are open.
func (s *Spool) openLogs() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := make([]*Log, 0, len(s.logs))
	for _, l := range s.logs {
		logs = append(logs, l)
	}
	return logs
}

// Busy reports whether any log is open.
func (s *Spool) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.logs) > 0
}

// Sync makes durable what was written since the last call, and removes the
// segments that nobody needs any more. It is to be called about once a second while
// the spool is busy.
func (s *Spool) Sync() error {
	var errs error
	for _, l := range s.openLogs() {
		if err := l.sync(); err != nil {
			s.stats.WriteErrors.Add(1)
			errs = errors.Join(errs, err)
		}
		l.trim(false)
	}
	return errs
}

// warnEvery is how often evictions are said at most.
const warnEvery = time.Minute

// Largest returns how many bytes the largest log takes; see collector.Hoard.
func (s *Spool) Largest() int64 {
	l := s.fattest(nil)
	if l == nil {
		return 0
	}
	return l.bytes()
}

// GiveUp removes what is delivered, or else the oldest segment of the largest
// log; see collector.Hoard.
func (s *Spool) GiveUp(int64) int64 {
	before := s.total.Load()
	for _, l := range s.openLogs() {
		l.trim(true)
	}
	if freed := before - s.total.Load(); freed > 0 {
		return freed
	}
	stuck := make(map[*Log]bool)
	for {
		l := s.fattest(stuck)
		if l == nil {
			return 0
		}
		bytes, records, err := l.evict()
		if err != nil || bytes == 0 {
			stuck[l] = true
			continue
		}
		s.stats.EvictedSegments.Add(1)
		s.stats.EvictedBytes.Add(bytes)
		if now := time.Now(); now.Sub(s.warned) > warnEvery {
			s.warned = now
			s.logger.Warn("the spool is full: the oldest undelivered lines of the largest log are given up; this is said once a minute at most",
				"container", l.Container().Name, "id", l.Container().ShortID(), "lines", records, "bytes", bytes, "budget", s.options.Budget.Limit())
		}
		return bytes
	}
}

// fattest returns the log with the most bytes that is not among those left out.
func (s *Spool) fattest(without map[*Log]bool) *Log {
	var largest *Log
	bytes, id := int64(0), ""
	s.mu.Lock()
	for _, l := range s.logs {
		if n := l.bytes(); n > bytes && !without[l] {
			largest, bytes = l, n
		}
	}
	for closed, n := range s.closed {
		if n > bytes {
			largest, bytes, id = nil, n, closed
		}
	}
	s.mu.Unlock()
	if id == "" {
		return largest
	}
	l, err := s.Log(id)
	if err != nil || without[l] {
		return largest
	}
	return l
}

// Close writes what is in memory, makes it durable and closes all files.
// Nothing of the spool may be used any more.
func (s *Spool) Close() error {
	var errs error
	for _, l := range s.openLogs() {
		errs = errors.Join(errs, l.Flush(), l.sync())
		l.closeFiles()
	}
	return errs
}
