package spool

import "encoding/binary"

// Mark says how far a log has been copied from its source, in the words of a
// source that can only be asked for what is not older than a time. It travels
// in the header of the block whose records it goes with, so that the two cannot
// disagree after a crash. The writer of a log computes it; the spool only keeps
// it. The zero Mark is the beginning.
type Mark struct {
	// Base is the time, in nanoseconds since the Unix epoch, from which the
	// source is to be asked again. It lies a little before the newest record,
	// because a source's records are not quite in the order of their times.
	Base int64
	// Last is the newest time that was copied.
	Last int64
	// Head is the time of the record that was the newest when the copy began;
	// 0 once it has been copied. Until then the end of the log is not known.
	Head int64
	// Count is how many of the source's records from Base on have been copied,
	// Late how many behind the first of them that are older than Base.
	Count, Late uint32
	// Skip is how many complete lines behind that place have been copied too,
	// while the line that begins there is unfinished.
	Skip uint32
}

// markSize is the length of a Mark on disk.
const markSize = 36

func (m *Mark) put(b []byte) {
	_ = b[markSize-1]
	binary.LittleEndian.PutUint64(b, uint64(m.Base))
	binary.LittleEndian.PutUint64(b[8:], uint64(m.Last))
	binary.LittleEndian.PutUint64(b[16:], uint64(m.Head))
	binary.LittleEndian.PutUint32(b[24:], m.Count)
	binary.LittleEndian.PutUint32(b[28:], m.Late)
	binary.LittleEndian.PutUint32(b[32:], m.Skip)
}

func getMark(b []byte) Mark {
	_ = b[markSize-1]
	return Mark{
		Base:  int64(binary.LittleEndian.Uint64(b)),
		Last:  int64(binary.LittleEndian.Uint64(b[8:])),
		Head:  int64(binary.LittleEndian.Uint64(b[16:])),
		Count: binary.LittleEndian.Uint32(b[24:]),
		Late:  binary.LittleEndian.Uint32(b[28:]),
		Skip:  binary.LittleEndian.Uint32(b[32:]),
	}
}
