package spool

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"tallyman/collector/record"
)

// segmentFile is a segment as a folder lists it.
type segmentFile struct {
	path   string
	number uint64
	size   int64
}

// listSegments returns the segments in a log's folder, oldest first.
func listSegments(files files, dir string) ([]segmentFile, error) {
	entries, err := files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []segmentFile
	for _, e := range entries {
		number, ok := segmentNumber(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, segmentFile{path: filepath.Join(dir, e.Name()), number: number, size: info.Size()})
	}
	slices.SortFunc(list, func(a, b segmentFile) int { return cmp.Compare(a.number, b.number) })
	return list, nil
}

// readSegmentHeader reads the header of a segment's file.
func readSegmentHeader(f file) (segmentHeader, error) {
	var b [segmentHeaderSize]byte
	n, err := readAt(f, b[:], 0)
	if err != nil {
		return segmentHeader{}, err
	}
	return getSegmentHeader(b[:n])
}

// openLog takes up what an earlier life has left of a log.
func (s *Spool) openLog(id string) (*Log, error) {
	l := &Log{
		spool: s, id: id, dir: filepath.Join(s.options.Dir, id), opened: time.Now(),
		readers: make(map[*Reader]struct{}), reported: make(map[place]struct{}), unsettled: true,
	}
	l.container.Store(&record.Container{ID: id})
	l.readDescription()
	list, err := listSegments(s.files, l.dir)
	if err != nil {
		return nil, err
	}
	headers := make([]segmentHeader, len(list))
	for i := range list {
		f, err := s.files.Open(list[i].path, false)
		if err != nil {
			return nil, err
		}
		h, err := readSegmentHeader(f)
		_ = f.Close() // It was only read.
		if err == nil && h.number == list[i].number {
			headers[i], l.epoch = h, h.epoch
		}
	}
	if l.epoch == 0 {
		// Nothing that can be read: the log begins anew, and positions in the
		// old one are not found in it.
		l.discard(list)
		for l.epoch == 0 {
			l.epoch = rand.Uint64()
		}
		return l, nil
	}
	l.number = list[len(list)-1].number
	for i := range list {
		if err := l.takeUp(list[i], headers[i]); err != nil {
			return nil, err
		}
	}
	return l, l.recoverTail()
}

// discard removes files that cannot be read.
func (l *Log) discard(list []segmentFile) {
	for _, seg := range list {
		l.spool.stats.CorruptBlocks.Add(1)
		l.spool.logger.Warn("a spooled file is damaged beyond use and is removed", "container", l.id, "file", seg.path, "bytes", seg.size)
		if err := l.spool.files.Remove(seg.path); err != nil {
			l.spool.stats.WriteErrors.Add(1)
		}
	}
}

// takeUp adds a file to the chain of a log that is being opened. h is zero where
// its header is damaged.
func (l *Log) takeUp(from segmentFile, h segmentHeader) error {
	seg := &segment{path: from.path, number: from.number, first: h.first, before: h.before}
	seg.size.Store(from.size)
	if h.epoch != l.epoch {
		f, err := l.spool.files.Open(from.path, false)
		if err != nil {
			return err
		}
		found := false
		_, err = scan(f, from.size, l.epoch, false, func(_ int64, b *header) bool {
			seg.first, found = b.first, true
			return false
		})
		_ = f.Close() // It was only read.
		if err != nil {
			return err
		}
		if !found {
			l.discard([]segmentFile{from})
			return nil
		}
	}
	if n := len(l.segments); n > 0 {
		l.segments[n-1].end.Store(seg.first)
		l.segments[n-1].next.Store(seg)
	}
	seg.end.Store(seg.first)
	l.segments = append(l.segments, seg)
	return nil
}

// recoverTail finds out where the newest segment ends and cuts off what a crash
// has left behind that.
func (l *Log) recoverTail() error {
	n := len(l.segments)
	if n == 0 {
		return nil
	}
	seg := l.segments[n-1]
	if err := l.holdLocked(seg); err != nil {
		return err
	}
	s, err := scan(seg.file, seg.size.Load(), l.epoch, true, nil)
	if err != nil {
		return fmt.Errorf("reading %q: %w", seg.path, err)
	}
	if s.blocks > 0 {
		l.mark = s.last.mark
		seg.end.Store(s.last.end())
	} else if h, err := readSegmentHeader(seg.file); err == nil {
		l.mark = h.mark
	}
	if torn := seg.size.Load() - s.whole; torn > 0 {
		l.spool.stats.TornBytes.Add(torn)
		l.spool.logger.Info("a crash has torn the end of a spooled log; it is cut off and copied again",
			"container", l.Container().Name, "file", seg.path, "bytes", torn)
		// Where this fails the rest is overwritten, or never read.
		_ = seg.file.Truncate(s.whole)
		seg.size.Store(s.whole)
		l.torn = true
	}
	l.next, l.written = seg.end.Load(), l.mark
	l.unsettled = l.mark.Head != 0
	return nil
}

// descriptionName is the file with what is known of the container.
const descriptionName = "container.json"

// readDescription takes up what was known of the container.
func (l *Log) readDescription() {
	f, err := l.spool.files.Open(filepath.Join(l.dir, descriptionName), false)
	if err != nil {
		return
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	n, err := readAt(f, buf, 0)
	c := &record.Container{}
	if err != nil || json.Unmarshal(buf[:n], c) != nil || c.ID != l.id {
		return
	}
	l.described.Store(c)
	l.container.Store(c)
}

// describe writes what is known of the container beside its log, so that what
// is left of it can be delivered when the engine knows it no more.
func (l *Log) describe(c *record.Container) error {
	plain := *c
	plain.Env = nil
	text, err := json.Marshal(&plain)
	if err != nil {
		return err
	}
	f, err := l.spool.files.Open(filepath.Join(l.dir, descriptionName), true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return errors.Join(err, f.Close())
}
