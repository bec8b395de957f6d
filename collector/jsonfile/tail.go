package jsonfile

import (
	"path/filepath"

	"tallyman/collector/record"
)

// tailPiece is how much of a file is looked at at once on the way back from its
// end, in bytes.
const tailPiece = 256 << 10

// beforeEnd returns the position that has n lines behind it, or that of the
// oldest line where there are fewer. It does not need the log's mutex: however
// much is read, nobody waits for it.
func (l *Log) beforeEnd(n int) (record.Position, error) {
	h, err := OpenHistory(HistoryOptions{
		Dir: filepath.Dir(l.dir()), ID: filepath.Base(l.dir()), TempDir: l.root.tempDir, MaxLine: l.root.maxLine,
	})
	if err != nil {
		return record.Position{}, err
	}
	defer h.Close()
	return h.BeforeEnd(n)
}

// BeforeEnd returns the position that has n lines behind it that are complete, or
// that of the oldest line where there are fewer.
func (h *History) BeforeEnd(n int) (record.Position, error) {
	for at := h.End(); ; {
		from, to, ok, err := h.Before(at, tailPiece)
		if err != nil || !ok {
			return record.Oldest(), err
		}
		chunk, err := h.Read(from, to, nil)
		if err != nil {
			return record.Position{}, err
		}
		// It is the place behind the line before them.
		if before := len(chunk.Lines) - n - 1; before >= 0 {
			return chunk.Lines[before].After, nil
		}
		n -= len(chunk.Lines)
		at = from
	}
}
