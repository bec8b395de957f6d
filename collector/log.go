// Package collector knows which containers a host has and gives each one's log.
package collector

import (
	"errors"

	"tallyman/collector/record"
)

// ErrIdle is returned by Reader.Next when there is nothing to read now. The
// reader's changed function is called when that may no longer be so.
var ErrIdle = errors.New("nothing to read now")

// Log is one container's output, oldest to newest. Its methods may be called
// from any goroutine.
type Log interface {
	// Container returns the container as it is known now.
	Container() *record.Container
	// Reader returns a cursor of the caller's own that starts at from. It calls
	// changed, which must not block and may be called from any goroutine, when
	// data may have come or the log has ended. A position that cannot be found
	// any more yields a reader at the oldest record and a *LostError.
	Reader(from record.Position, changed func()) (Reader, error)
}

// Reader is a cursor in a Log. It is used by one goroutine at a time.
type Reader interface {
	// Next fills b with the records after the cursor, reusing its memory, and
	// moves the cursor behind them. b may come back without a record though the
	// cursor moved. Next returns ErrIdle when there is nothing to read now,
	// io.EOF when the container is gone and everything has been read, and any
	// other error when reading failed; the cursor then stays where it was.
	Next(b *record.Batch) error
	// Seek moves the cursor back to a position that Next has given and Release
	// has not passed.
	Seek(to record.Position) error
	// Release says that nothing before to will be asked for again, so that the
	// log can let go of the files that hold it.
	Release(to record.Position)
	// GivenUp reports whether the log gives up what lies behind a position that
	// Release has not passed, for want of space: the reader is then to be read
	// on, though what it gives can only be counted. It may be called from any
	// goroutine; changed is called when it becomes true.
	GivenUp(from record.Position) bool
	// Position returns the cursor: the place of the next record.
	Position() record.Position
	// Lag returns how many bytes of the log lie behind a position that Release
	// has not passed. It may be called from any goroutine.
	Lag(from record.Position) int64
	// Close ends the use of the reader.
	Close() error
}

// LostError says that a position's generation is no longer there, so that
// records between it and the oldest that can be had are lost.
type LostError struct {
	// Position is the one that was asked for.
	Position record.Position
}

func (e *LostError) Error() string {
	return "the log was rotated away past the saved position"
}
