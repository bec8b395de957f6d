package record

// BlockSize is how many bytes of a log a reader takes in one turn. A container
// that floods yields to the others after so many.
const BlockSize = 256 << 10

// Batch is what a reader fills and an adapter sends: records of one container,
// oldest first. Its memory is reused: nothing in it, nor any Line, is valid
// after the next call that fills it.
type Batch struct {
	// Container is the container as it was when the records were read.
	Container *Container
	// Records are the lines, in the order of the log.
	Records []Record
	// Start is the position before the first record, End the one after the last
	// and after whatever the reader passed over behind it.
	Start, End Position
	// More says that the reader stopped because its block was full: there may
	// be more to read without waiting for a change.
	More bool
	// GivenUp says that the log gives up these records, for want of space: they
	// are to be counted and not to be sent.
	GivenUp bool
	// Lost is how many records before the first cannot be had any more. They are
	// told once to each reader, also when it is moved back.
	Lost int64

	// Block is the memory that a reader reads into and that lines point into.
	Block []byte
	// joined holds the memory of lines that were put together from parts.
	joined [][]byte
	// spare holds buffers of earlier joined lines, for reuse.
	spare [][]byte
}

// NewBatch returns a batch with a block of BlockSize bytes.
func NewBatch() *Batch {
	return &Batch{Block: make([]byte, BlockSize)}
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	b.Container = nil
	b.Records = b.Records[:0]
	b.Start, b.End = Position{}, Position{}
	b.More, b.GivenUp, b.Lost = false, false, 0
	// Joined lines are rare and may be as long as the longest line allowed, so
	// one spare buffer a stream is all that is kept.
	for i, buf := range b.joined {
		if len(b.spare) < Streams {
			b.spare = append(b.spare, buf[:0])
		}
		b.joined[i] = nil
	}
	b.joined = b.joined[:0]
}

// TakeBuffer returns an empty buffer for a line that is put together from parts.
func (b *Batch) TakeBuffer() []byte {
	if n := len(b.spare); n > 0 {
		buf := b.spare[n-1]
		b.spare = b.spare[:n-1]
		return buf
	}
	return make([]byte, 0, 64<<10)
}

// KeepBuffer hands the memory of a joined line to b, which owns it from then on.
func (b *Batch) KeepBuffer(buf []byte) { b.joined = append(b.joined, buf) }

// Bytes returns the sum of the lengths of the lines.
func (b *Batch) Bytes() int {
	n := 0
	for i := range b.Records {
		n += len(b.Records[i].Line)
	}
	return n
}
