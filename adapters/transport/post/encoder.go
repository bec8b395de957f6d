// Package post makes an adapter of an encoder and HTTP: records are gathered
// into bodies, bodies are compressed and posted, and what the server answers
// settles the records that were in them.
//
// Containers are dealt to lanes, and each lane has one request under way at a
// time, so that the lines of a container arrive in order. While one body is
// under way the next is gathered.
package post

import (
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

// Encoder turns records into frames and frames into bodies. A body is made of
// groups, which are frames of records that have something in common, told by
// Grouping. All but AppendBody are called by one goroutine at a time; AppendBody
// may be called by others at the same time.
type Encoder interface {
	// The Append of it appends the frame of a record.
	wire.Encoder
	// AppendHeader appends what the group of records of the begun container and
	// the stream s has in common, for AppendBody to find.
	AppendHeader(dst []byte, s record.Stream) []byte
	// AppendBody appends the body made of groups, of which there is one at least.
	AppendBody(dst []byte, groups []Group) []byte
}

// Grouping says which records of a body have a header in common.
type Grouping int

const (
	// Together makes one group of all records, in the order of their arrival.
	Together Grouping = iota
	// ByContainer makes a group of each container.
	ByContainer
	// ByStream makes a group of each stream of each container.
	ByStream
)

// Group is a part of a body.
type Group struct {
	// Header is what the encoder's AppendHeader made.
	Header []byte
	// Size is the sum of the lengths of the frames.
	Size int

	frames []byte
	chunks []chunk
	first  int32
	last   int32
}

// chunk is a run of frames that lie one behind the other; next is the index of
// the group's next one, 0 for none.
type chunk struct{ from, to, next int32 }

// AppendFrames appends the group's frames, one behind the other.
func (g *Group) AppendFrames(dst []byte) []byte {
	for i := g.first; i != 0; i = g.chunks[i].next {
		dst = append(dst, g.frames[g.chunks[i].from:g.chunks[i].to]...)
	}
	return dst
}
