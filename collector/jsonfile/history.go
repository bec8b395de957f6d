package jsonfile

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"tallyman/collector/record"
)

// HistoryOptions say whose past is opened.
type HistoryOptions struct {
	// Dir is the folder that holds a folder for each container, ID the
	// container's.
	Dir, ID string
	// TempDir is where compressed generations are unpacked to nameless files;
	// empty for the system's folder for temporary files.
	TempDir string
	// MaxLine is as in Options.
	MaxLine int
	// TTY says that the container has a terminal, which puts a carriage return
	// before each newline.
	TTY bool
	// Ended says that the container has stopped, so that an unfinished last line
	// is all there will be of it.
	Ended bool
}

// History reads the past of a container's log in any order: by place, by time,
// and backwards. It has the files open that were in the container's folder when
// it was made, and shares nothing with a Log, so that no look into the past
// keeps a file alive that a route has done with. It is used by one goroutine.
type History struct {
	options HistoryOptions
	// gens are the files, oldest first; their serials are their indexes.
	gens    []*generation
	decoder decoder
	joiner  joiner
	batch   record.Batch
	buf     []byte
	lines   []HistoryLine
}

// Place is an offset in one of a History's files, by its index.
type Place struct {
	Gen int
	Off int64
}

// Compare orders places from old to new.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Gen, q.Gen), cmp.Compare(p.Off, q.Off))
}

// HistoryLine is a line and where its log goes on behind it, which names the line
// as well.
type HistoryLine struct {
	record.Record
	// After is the position that a Reader would have behind the line.
	After record.Position
}

// Chunk is what one Read gives. Its lines are valid until the next Read.
type Chunk struct {
	// Lines are in the order of the log.
	Lines []HistoryLine
	// First and Last are the times of the first and the last record that was
	// looked at; both are 0 where there was none.
	First, Last int64
}

// OpenHistory opens the past of a container. A container without a log file has
// an empty one. The caller closes it.
func OpenHistory(o HistoryOptions) (*History, error) {
	if o.MaxLine == 0 {
		o.MaxLine = DefaultMaxLine
	}
	folder := logAt(o.Dir, o.ID)
	gens, err := folder.scan()
	if err != nil {
		return nil, fmt.Errorf("opening the log files of container %q: %w", o.ID, err)
	}
	for i, g := range gens {
		g.serial = int64(i)
	}
	return &History{options: o, gens: gens}, nil
}

// Close closes the files.
func (h *History) Close() {
	closeAll(h.gens)
	h.gens = nil
}

// Oldest returns the place of the oldest line.
func (h *History) Oldest() Place { return Place{} }

// End returns the place behind the newest line that is complete.
func (h *History) End() Place {
	n := len(h.gens)
	if n == 0 {
		return Place{}
	}
	return Place{n - 1, h.gens[n-1].lastLineEnd()}
}

// Position returns the position of a place at which no line is unfinished, as
// Readers take it.
func (h *History) Position(p Place) record.Position {
	if p.Gen >= len(h.gens) {
		return record.Oldest()
	}
	return record.Position{Gen: h.gens[p.Gen].nameLocked(), Off: p.Off}
}

// Distance returns how many bytes of text lie between two places. That of
// compressed files is taken from their own trailer.
func (h *History) Distance(from, to Place) int64 {
	if from.Compare(to) >= 0 {
		return 0
	}
	n := to.Off - from.Off
	for i := from.Gen; i < to.Gen; i++ {
		n += h.gens[i].textSize()
	}
	return n
}

// textSize is size for a file that may not be unpacked yet.
func (g *generation) textSize() int64 {
	if g.file != nil || g.packed == nil {
		return g.size()
	}
	info, err := g.packed.Stat()
	if err != nil || info.Size() < 4 {
		return 0
	}
	// The last four bytes are the length modulo 2^32 (RFC 1952, section 2.3.1).
	var tail [4]byte
	if _, err := g.packed.ReadAt(tail[:], info.Size()-4); err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(tail[:]))
}

// unpacked returns a generation whose text can be read.
func (h *History) unpacked(i int) (*generation, error) {
	g := h.gens[i]
	return g, g.unpack(h.options.TempDir)
}

// Before returns the place that is n bytes before another in the same file, or
// the end of the file before where there is nothing before it in its own. It is
// false at the oldest.
func (h *History) Before(p Place, n int64) (from, to Place, ok bool, err error) {
	for p.Off == 0 {
		if p.Gen == 0 {
			return p, p, false, nil
		}
		g, err := h.unpacked(p.Gen - 1)
		if err != nil {
			return p, p, false, err
		}
		p = Place{p.Gen - 1, g.size()}
	}
	return Place{p.Gen, max(0, p.Off-n)}, p, true, nil
}

// After is Before in the other direction: the stretch of at most n bytes that
// begins at p. It is false where nothing lies between p and limit.
func (h *History) After(p, limit Place, n int64) (from, to Place, ok bool, err error) {
	for p.Compare(limit) < 0 {
		g, err := h.unpacked(p.Gen)
		if err != nil {
			return p, p, false, err
		}
		end := g.size()
		if p.Gen == limit.Gen {
			end = limit.Off
		}
		if p.Off < end {
			return p, Place{p.Gen, min(end, p.Off+n)}, true, nil
		}
		p = Place{p.Gen + 1, 0}
	}
	return p, p, false, nil
}

// Find returns the place of a position. It is false when its file is no longer
// there, and so nothing that is older either.
func (h *History) Find(pos record.Position) (Place, bool, error) {
	switch {
	case pos.IsOldest():
		return h.Oldest(), true, nil
	case pos.IsEnd():
		return h.End(), true, nil
	}
	for _, sameInode := range []bool{true, false} {
		for i, g := range h.gens {
			if !g.is(pos.Gen, sameInode) {
				continue
			}
			g, err := h.unpacked(i)
			if err != nil {
				return Place{}, false, err
			}
			if at := (Place{i, min(pos.Off, g.size())}); pos.Skip == 0 {
				return at, true, nil
			}
			at, err := h.pass(Place{i, pos.Off}, int(pos.Skip))
			return at, true, err
		}
	}
	return Place{}, false, nil
}
