// Package record holds the words that every part of the agent speaks: the
// container, the records of its log, batches of them, and positions in it.
package record

import "math"

// Stream says which of a container's two output streams a record came from.
type Stream uint8

// The streams of a container. A container with a TTY has only Stdout.
const (
	Stdout Stream = iota
	Stderr
)

// Streams is the number of streams, for tables indexed by Stream.
const Streams = 2

// String returns "stdout" or "stderr", the engine's own words.
func (s Stream) String() string {
	if s == Stderr {
		return "stderr"
	}
	return "stdout"
}

// Record is one line of a container's output.
type Record struct {
	// Time is when the engine took the line, in nanoseconds since the Unix epoch.
	Time int64
	// Line is the text without its newline. It points into the batch's memory.
	Line []byte
	// Resume is the offset, in the generation of the batch's End, from which a
	// reader gets what follows this record, after it has passed over Skip
	// complete records.
	Resume int64
	// Skip is above zero only while a line is still being joined from its parts, or
	// what is too much of one is passed over: Resume then lies before that line's
	// first part.
	Skip   uint32
	Stream Stream
	// Cut says that the line was longer than the maximum and has lost its end.
	Cut bool
}

// Generation names one file of a log that is rotated: its inode, and a checksum
// of its first Len bytes, so that it is found again after a rename, a copy or a
// compression, and so that a reused inode is not taken for it. The bytes are
// the first record, whose time no other generation shares. Of a generation that
// has no record yet Len is 0 and Sum the time at which the file was made, in
// nanoseconds, or 0 where that is not known.
type Generation struct {
	Inode uint64
	Len   uint32
	Sum   uint64
}

// Position is a place in a container's log: the next record to read is the one
// after Skip complete records from offset Off of generation Gen. The zero value
// is the oldest record that can be had.
type Position struct {
	Gen  Generation
	Off  int64
	Skip uint32
}

// endOffset marks the position returned by End. No file can be so long.
const endOffset = math.MaxInt64

// Oldest is the position of the oldest record that can be had.
func Oldest() Position { return Position{} }

// End is the position after the newest record.
func End() Position { return Position{Off: endOffset} }

// BeforeEnd is the position that has n records behind it now, or that of the
// oldest where there are fewer. It is End for none.
func BeforeEnd(n uint32) Position { return Position{Off: endOffset, Skip: n} }

// IsOldest reports whether p was made by Oldest.
func (p Position) IsOldest() bool { return p == Position{} }

// IsEnd reports whether p was made by End.
func (p Position) IsEnd() bool { return p == End() }

// FromEnd returns how many records p, which was made by BeforeEnd, has behind
// it. It is false for other positions, End among them.
func (p Position) FromEnd() (n uint32, ok bool) { return p.Skip, p.Off == endOffset && p.Skip > 0 }
