package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
)

// segmentMagic begins every segment.
const segmentMagic = "tyspool1"

// segmentHeaderSize is the length of a segment's header: magic, epoch, number,
// number of the first record, length of the segment before it, mark, CRC32C.
const segmentHeaderSize = 80

// segmentSuffix ends the name of a segment's file; before it stands its number.
const segmentSuffix = ".seg"

// segmentHeader is what a segment says of itself.
type segmentHeader struct {
	epoch, number, first uint64
	// before is the length of the segment before this one, so that a position
	// at its end is known to have lost nothing when it has been removed.
	before int64
	// mark is the log's when the segment was made: a segment without a block
	// has it all the same.
	mark Mark
}

func (h *segmentHeader) put(b []byte) {
	_ = b[segmentHeaderSize-1]
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint64(b[8:], h.epoch)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.first)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.before))
	h.mark.put(b[40:])
	binary.LittleEndian.PutUint32(b[76:], crc32.Checksum(b[:76], castagnoli))
}

func getSegmentHeader(b []byte) (segmentHeader, error) {
	if len(b) < segmentHeaderSize || string(b[:8]) != segmentMagic ||
		binary.LittleEndian.Uint32(b[76:]) != crc32.Checksum(b[:76], castagnoli) {
		return segmentHeader{}, errors.New("the segment's header is damaged")
	}
	return segmentHeader{
		epoch:  binary.LittleEndian.Uint64(b[8:]),
		number: binary.LittleEndian.Uint64(b[16:]),
		first:  binary.LittleEndian.Uint64(b[24:]),
		before: int64(binary.LittleEndian.Uint64(b[32:])),
		mark:   getMark(b[40:]),
	}, nil
}

// segment is one file of a log. Bytes at an offset never change once they count
// in size, but for damage.
type segment struct {
	path   string
	number uint64
	// first is the number of its first record, before the length of the
	// segment before it. Immutable.
	first  uint64
	before int64
	// size is how far the file has been written, header and all.
	size atomic.Int64
	// end is the number of the record after its last.
	end atomic.Uint64
	// next is the segment after this one, nil while this one is written to.
	next atomic.Pointer[segment]
	// gone says that the file has been removed.
	gone atomic.Bool

	// The log's mutex guards both below. users counts the writer and the
	// readers that are in the segment; file is open while there are any.
	users int
	file  file
}

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, segmentSuffix) }

// segmentNumber reads the number in a file's name.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && number > 0
}

// readAt fills b from off on as far as the file goes.
func readAt(f io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := f.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// damage is a stretch of a segment that holds no readable block.
type damage struct {
	off, length int64
	// torn says that no readable block follows.
	torn bool
}

// scanned is what a walk over a segment's blocks tells.
type scanned struct {
	// whole is the end of the last readable block.
	whole int64
	// last is that block's header, where there is one.
	last   header
	blocks int
	// records counts those in readable blocks.
	records   uint64
	firstTime int64
	damages   []damage
}

// scan walks over the blocks of a file of the given size. With check it reads
// the records too and compares their checksums; else it goes by the headers. It
// calls visit, where there is one, with each readable block and its offset, and
// ends early when visit says false.
func scan(f io.ReaderAt, size int64, epoch uint64, check bool, visit func(off int64, h *header) bool) (scanned, error) {
	s := scanned{whole: segmentHeaderSize}
	buf := make([]byte, headerSize, blockBytes+headerSize)
	for off := int64(segmentHeaderSize); off < size; {
		buf = buf[:min(headerSize, size-off)]
		n, err := readAt(f, buf, off)
		if err != nil {
			return s, err
		}
		h, err := getHeader(buf[:n], epoch)
		if err == nil && off+h.size() > size {
			err = errShort
		}
		if err == nil && check {
			if int64(cap(buf)) < h.size() {
				buf = make([]byte, h.size())
			}
			buf = buf[:h.size()]
			if n, err = readAt(f, buf, off); err != nil {
				return s, err
			}
			_, _, err = getBlock(buf[:n], epoch)
		}
		if err == nil {
			if s.blocks == 0 {
				s.firstTime = h.firstTime
			}
			s.blocks++
			s.records += uint64(h.count)
			s.last, s.whole = h, off+h.size()
			if visit != nil && !visit(off, &h) {
				return s, nil
			}
			off += h.size()
			continue
		}
		next, err := resync(f, off, size, epoch, &h, err)
		if err != nil {
			return s, err
		}
		s.damages = append(s.damages, damage{off: off, length: next - off, torn: next >= size})
		off = next
	}
	return s, nil
}

// resync returns where to go on behind a block at off that cannot be read,
// which is size when nothing follows. why and h are what getBlock gave.
func resync(f io.ReaderAt, off, size int64, epoch uint64, h *header, why error) (int64, error) {
	if errors.Is(why, errPayload) {
		return min(off+h.size(), size), nil
	}
	buf := make([]byte, blockBytes)
	for at := off + 1; at < size; {
		n, err := readAt(f, buf[:min(int64(len(buf)), size-at)], at)
		if err != nil {
			return 0, err
		}
		if i := findBlock(buf[:n], epoch); i >= 0 {
			return at + int64(i), nil
		}
		if n < len(buf) {
			break
		}
		// A header may lie across the end of what was read.
		at += int64(n - headerSize + 1)
	}
	return size, nil
}
