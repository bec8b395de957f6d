package history

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
)

// Stretch is the part of a log that is wanted.
type Stretch struct {
	// Since and Until bound the time, in nanoseconds since the Unix epoch, both
	// inclusive; 0 stands for no bound.
	Since, Until int64
	// Back says that the newest lines are wanted first.
	Back bool
	// Most is how many bytes a copy has at most, 0 for 64 MiB.
	Most int
	// Last says that so many lines from the end will do for now; 0 for no such
	// hint.
	Last int
}

// Past is what a Scan reads of one container's log: the engine's files, or a copy
// of what the engine tells. It is used by one goroutine.
type Past struct {
	*jsonfile.History
	// copied says that it is a copy, in which positions are times: files of ours
	// would be others each time.
	copied bool
	// partial says that the copy lacks what lies further in the direction that
	// was asked for.
	partial bool
}

// Files returns the past that is in the engine's files. The caller closes it.
func Files(o jsonfile.HistoryOptions) (*Past, error) {
	files, err := jsonfile.OpenHistory(o)
	if err != nil {
		return nil, err
	}
	return &Past{History: files}, nil
}

// copyPrefix begins the names of the folders in which copies are made.
const copyPrefix = ".history-"

// Clean removes from a folder for temporary files what is left of copies in whose
// making a process was killed.
func Clean(tempDir string) error {
	left, err := filepath.Glob(filepath.Join(tempDir, copyPrefix+"*"))
	if err != nil {
		return fmt.Errorf("looking for old copies of logs in %q: %w", tempDir, err)
	}
	var errs []error
	for _, dir := range left {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// copyMost is how many bytes of lines a copy has at most, in two files.
const copyMost = 64 << 20

// errEnough ends the reading of a log.
var errEnough = errors.New("there is enough of the log")

// Copy returns a past that is copied to a nameless file in a folder for temporary
// files. read gives the lines of a stretch, oldest first; ended says that the
// container has stopped. Of a longer log the lines nearest to where the stretch
// begins are copied. The caller closes it.
func Copy(tempDir string, s Stretch, ended bool, read func(give func(*record.Record) error) error) (*Past, error) {
	const id = "copy"
	dir, err := os.MkdirTemp(tempDir, copyPrefix)
	if err != nil {
		return nil, fmt.Errorf("making a folder for a copy of a log: %w", err)
	}
	// What is open stays readable.
	defer func() { _ = os.RemoveAll(dir) }()
	// The first of the last records may be the rest of a line that was cut.
	c := copier{path: filepath.Join(dir, id, id+"-json.log"), back: s.Back, most: s.Most, partial: s.Last > 0, dropFirst: s.Last > 0}
	if c.most == 0 {
		c.most = copyMost
	}
	if err := os.Mkdir(filepath.Dir(c.path), 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for a copy of a log: %w", err)
	}
	if err := c.open(); err != nil {
		return nil, err
	}
	err = read(c.give)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err := errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	files, err := jsonfile.OpenHistory(jsonfile.HistoryOptions{Dir: dir, ID: id, TempDir: tempDir, Ended: ended})
	if err != nil {
		return nil, err
	}
	return &Past{History: files, copied: true, partial: c.partial}, nil
}

// copier writes lines as dockerd does.
type copier struct {
	path string
	back bool
	// partial says that there were more lines than are kept, dropFirst that the
	// next is not to be.
	partial, dropFirst bool
	file               *os.File
	out                *bufio.Writer
	size, most         int
	buf                []byte
}

func (c *copier) open() (err error) {
	if c.file, err = os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return fmt.Errorf("copying a log: %w", err)
	}
	c.out, c.size = bufio.NewWriterSize(c.file, 64<<10), 0
	return nil
}

func (c *copier) close() error {
	if err := errors.Join(c.out.Flush(), c.file.Close()); err != nil {
		return fmt.Errorf("copying a log: %w", err)
	}
	return nil
}

// give writes a line. Of too many the newest stay where the newest are wanted
// first, else the oldest.
func (c *copier) give(r *record.Record) error {
	if c.dropFirst {
		c.dropFirst = false
		return nil
	}
	if c.size > c.most/2 && c.back {
		if err := c.close(); err != nil {
			return err
		}
		_, err := os.Stat(c.path + ".1")
		c.partial = c.partial || err == nil
		if err := os.Rename(c.path, c.path+".1"); err != nil {
			return fmt.Errorf("copying a log: %w", err)
		}
		if err := c.open(); err != nil {
			return err
		}
	} else if c.size > c.most {
		c.partial = true
		return errEnough
	}
	// dockerd cuts lines at this length.
	const part = 16 << 10
	for text := r.Line; ; text = text[part:] {
		c.buf = appendJSON(c.buf[:0], text[:min(part, len(text))], len(text) <= part, r)
		c.size += len(c.buf)
		if _, err := c.out.Write(c.buf); err != nil {
			return fmt.Errorf("copying a log: %w", err)
		}
		if len(text) <= part {
			break
		}
	}
	return nil
}

// appendJSON appends a record of a json-file log. Bytes that are no UTF-8 stay as
// they are.
func appendJSON(dst, text []byte, last bool, r *record.Record) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, `{"log":"`...)
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		default:
			dst = append(dst, b)
		}
	}
	if last {
		dst = append(dst, `\n`...)
	}
	dst = append(append(append(dst, `","stream":"`...), r.Stream.String()...), `","time":"`...)
	dst = time.Unix(0, r.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, "\"}\n"...)
}

// TimePosition returns the position of a line in a log that has no files: its
// time and a checksum, by which it is known again among others of the same time.
func TimePosition(r *record.Record) record.Position {
	sum := crc32.Update(uint32(r.Stream), crc32.IEEETable, r.Line)
	return record.Position{Gen: record.Generation{Sum: uint64(r.Time)}, Off: int64(sum)}
}

// TimeOf returns the time of a position that TimePosition has made. It is false
// for others.
func TimeOf(pos record.Position) (int64, bool) {
	return int64(pos.Gen.Sum), pos.Gen.Inode == 0 && pos.Gen.Len == 0 && pos.Gen.Sum != 0
}

// Position returns the position of a place; see jsonfile.History.
func (p *Past) Position(at jsonfile.Place) record.Position {
	if !p.copied {
		return p.History.Position(at)
	}
	for {
		from, to, ok, err := p.Before(at, leastPiece)
		if err != nil || !ok {
			return record.Oldest()
		}
		chunk, err := p.History.Read(from, to, nil)
		if err != nil {
			return record.Oldest()
		}
		if n := len(chunk.Lines); n > 0 {
			return TimePosition(&chunk.Lines[n-1].Record)
		}
		at = from
	}
}

// edge returns the position of the line that is furthest in a direction. It is
// false where there is none.
func (p *Past) edge(back bool) (record.Position, bool, error) {
	if !back {
		pos := p.Position(p.End())
		return pos, !pos.IsOldest(), nil
	}
	for at := p.Oldest(); ; {
		from, to, ok, err := p.After(at, p.End(), leastPiece)
		if err != nil || !ok {
			return record.Position{}, false, err
		}
		chunk, err := p.Read(from, to, nil)
		if err != nil {
			return record.Position{}, false, err
		}
		if len(chunk.Lines) > 0 {
			return chunk.Lines[0].After, true, nil
		}
		at = to
	}
}

// Find returns the place of a position; see jsonfile.History. In a copy it is
// behind the position's line or, where that is not there, before what is newer.
func (p *Past) Find(pos record.Position) (jsonfile.Place, bool, error) {
	at, timed := TimeOf(pos)
	switch {
	case !p.copied || pos.IsOldest() || pos.IsEnd():
		return p.History.Find(pos)
	case !timed:
		return jsonfile.Place{}, false, nil
	}
	var places [3]jsonfile.Place
	for i, t := range []int64{at - slack, at + 1, at + slack} {
		var err error
		if places[i], err = p.At(t); err != nil {
			return jsonfile.Place{}, false, err
		}
	}
	begin, newer := places[0], places[1]
	for {
		from, to, ok, err := p.After(begin, places[2], mostPiece)
		if err != nil || !ok {
			return newer, true, err
		}
		chunk, err := p.History.Read(from, to, nil)
		if err != nil {
			return begin, false, err
		}
		for i := range chunk.Lines {
			l := &chunk.Lines[i]
			if TimePosition(&l.Record) == pos {
				return jsonfile.Place{Gen: from.Gen, Off: l.After.Off}, true, nil
			}
		}
		begin = to
	}
}

// Read returns the lines between two places; see jsonfile.History.
func (p *Past) Read(from, to jsonfile.Place, find func([]byte) int) (jsonfile.Chunk, error) {
	chunk, err := p.History.Read(from, to, find)
	if p.copied {
		for i := range chunk.Lines {
			chunk.Lines[i].After = TimePosition(&chunk.Lines[i].Record)
		}
	}
	return chunk, err
}
