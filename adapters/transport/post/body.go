package post

import (
	"time"

	"tallyman/collector/record"
)

// piece is the records of one parcel in a body.
type piece struct {
	parcel *parcel
	n      int
}

// groupKey tells the groups of a body apart. Containers are immutable, so the
// pointer stands for all that is in them.
type groupKey struct {
	container *record.Container
	stream    record.Stream
}

// run is successive records of one group: those up to end.
type run struct{ group, end int32 }

// body holds the frames that one request is to carry. Its memory is reused.
type body struct {
	frames []byte
	// ends has the end of each record's frame.
	ends []int32
	runs []run
	// headers holds the groups' headers, headerEnds where each ends.
	headers    []byte
	headerEnds []int32
	index      map[groupKey]int32
	// last is the newest key and its group.
	last      groupKey
	lastGroup int32
	pieces    []piece
	// told is how many pieces are settled.
	told int
	// since is when the first record came.
	since time.Time

	// groups and chunks are scratch of render.
	groups []Group
	chunks []chunk
}

func newBody() *body { return &body{index: make(map[groupKey]int32)} }

func (b *body) len() int { return len(b.ends) }

// size estimates how long the rendered body is.
func (b *body) size() int {
	const perGroup = 32
	return len(b.frames) + len(b.headers) + perGroup*len(b.headerEnds)
}

func (b *body) reset() {
	b.frames, b.ends, b.runs = b.frames[:0], b.ends[:0], b.runs[:0]
	b.headers, b.headerEnds = b.headers[:0], b.headerEnds[:0]
	clear(b.index)
	clear(b.pieces)
	b.pieces, b.told, b.last = b.pieces[:0], 0, groupKey{}
	clear(b.groups)
}

// group returns the number of the group that key names and makes it where it
// is not known.
func (b *body) group(key groupKey, e Encoder) int32 {
	if key == b.last && len(b.headerEnds) > 0 {
		return b.lastGroup
	}
	g, known := b.index[key]
	b.last, b.lastGroup = key, g
	if known {
		return g
	}
	g = int32(len(b.headerEnds))
	b.index[key], b.lastGroup = g, g
	b.headers = e.AppendHeader(b.headers, key.stream)
	b.headerEnds = append(b.headerEnds, int32(len(b.headers)))
	return g
}

// add appends a frame of p.
func (b *body) add(p *parcel, group int32, frame []byte) {
	if b.len() == 0 {
		b.since = time.Now()
	}
	b.frames = append(b.frames, frame...)
	b.ends = append(b.ends, int32(len(b.frames)))
	if n := len(b.runs); n > 0 && b.runs[n-1].group == group {
		b.runs[n-1].end++
	} else {
		b.runs = append(b.runs, run{group: group, end: int32(b.len())})
	}
	if n := len(b.pieces); n > 0 && b.pieces[n-1].parcel == p {
		b.pieces[n-1].n++
	} else {
		b.pieces = append(b.pieces, piece{parcel: p, n: 1})
	}
}

// frame returns where the i-th record's frame begins.
func (b *body) frame(i int) int32 {
	if i == 0 {
		return 0
	}
	return b.ends[i-1]
}

// render appends the request body of the records from one to another, at least
// one.
func (b *body) render(dst []byte, e Encoder, from, to int) []byte {
	b.groups = b.groups[:0]
	for range b.headerEnds {
		b.groups = append(b.groups, Group{})
	}
	b.chunks = append(b.chunks[:0], chunk{}) // Number 0 stands for none.
	start := 0
	for _, r := range b.runs {
		first, end := max(start, from), min(int(r.end), to)
		start = int(r.end)
		if first >= end {
			continue
		}
		g, number := &b.groups[r.group], int32(len(b.chunks))
		if g.first == 0 {
			g.first = number
		} else {
			b.chunks[g.last].next = number
		}
		g.last = number
		c := chunk{from: b.frame(first), to: b.ends[end-1]}
		g.Size += int(c.to - c.from)
		b.chunks = append(b.chunks, c)
	}
	used := b.groups[:0]
	begin := int32(0)
	for i, end := range b.headerEnds {
		g := b.groups[i]
		g.Header, g.frames, g.chunks = b.headers[begin:end], b.frames, b.chunks
		begin = end
		if g.first != 0 {
			used = append(used, g)
		}
	}
	return e.AppendBody(dst, used)
}
