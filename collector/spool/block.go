package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"tallyman/collector/record"
)

const (
	// blockBytes is the length after which a block is written, maxRecords the
	// number of records: short lines must not make a batch of any number.
	blockBytes = 64 << 10
	maxRecords = 2048
	// MaxLine is the longest line that a spool takes.
	MaxLine = 16 << 20
	// maxPayload bounds the length that a header may claim.
	maxPayload = MaxLine + 64
)

// blockMagic begins every block.
const blockMagic = 0x4b425954 // "TYBK" on disk

// headerSize is the length of a block's header. The layout, little endian:
//
//	 0 magic  4 length of the payload  8 count of records  12 CRC32C of the payload
//	16 epoch  24 number of the first record  32 its time  40 the last one's time
//	48 mark  84 CRC32C of all before
//
// The epoch is random, so that a line that looks like a block is never taken for
// one. The payload is a sequence of records: the difference of the time to the
// record before as a signed varint; the line's length, shifted by two bits that
// hold the stream and the cut flag, as a varint; the line.
const headerSize = 88

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is a block's header.
type header struct {
	length, count uint32
	sum           uint32
	epoch         uint64
	first         uint64
	firstTime     int64
	lastTime      int64
	mark          Mark
}

// size is the length of the whole block.
func (h *header) size() int64 { return headerSize + int64(h.length) }

// end is the number of the record after the block's last.
func (h *header) end() uint64 { return h.first + uint64(h.count) }

func (h *header) put(b []byte) {
	_ = b[headerSize-1]
	binary.LittleEndian.PutUint32(b, blockMagic)
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint32(b[8:], h.count)
	binary.LittleEndian.PutUint32(b[12:], h.sum)
	binary.LittleEndian.PutUint64(b[16:], h.epoch)
	binary.LittleEndian.PutUint64(b[24:], h.first)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.firstTime))
	binary.LittleEndian.PutUint64(b[40:], uint64(h.lastTime))
	h.mark.put(b[48:])
	binary.LittleEndian.PutUint32(b[84:], crc32.Checksum(b[:84], castagnoli))
}

// What can be wrong with a block.
var (
	// errShort says that the block does not end within the bytes that are there.
	errShort = errors.New("the block is not all there")
	// errHeader says that there is no block here, or that it cannot be told how
	// long it is.
	errHeader = errors.New("there is no block header")
	// errPayload says that the block's records are damaged; its header is not.
	errPayload = errors.New("the block's records are damaged")
)

// getHeader reads the header at the beginning of b.
func getHeader(b []byte, epoch uint64) (header, error) {
	if len(b) < headerSize {
		return header{}, errShort
	}
	if binary.LittleEndian.Uint32(b) != blockMagic || binary.LittleEndian.Uint64(b[16:]) != epoch ||
		binary.LittleEndian.Uint32(b[84:]) != crc32.Checksum(b[:84], castagnoli) {
		return header{}, errHeader
	}
	h := header{
		length:    binary.LittleEndian.Uint32(b[4:]),
		count:     binary.LittleEndian.Uint32(b[8:]),
		sum:       binary.LittleEndian.Uint32(b[12:]),
		epoch:     epoch,
		first:     binary.LittleEndian.Uint64(b[24:]),
		firstTime: int64(binary.LittleEndian.Uint64(b[32:])),
		lastTime:  int64(binary.LittleEndian.Uint64(b[40:])),
		mark:      getMark(b[48:]),
	}
	// A record takes two bytes at least.
	if h.length > maxPayload || h.count == 0 || uint64(h.length) < 2*uint64(h.count) {
		return header{}, errHeader
	}
	return h, nil
}

// getBlock reads the block at the beginning of b. With errShort or errPayload
// the header is that of the block.
func getBlock(b []byte, epoch uint64) (header, []byte, error) {
	h, err := getHeader(b, epoch)
	if err != nil {
		return h, nil, err
	}
	if int64(len(b)) < h.size() {
		return h, nil, errShort
	}
	payload := b[headerSize:h.size()]
	if crc32.Checksum(payload, castagnoli) != h.sum {
		return h, nil, errPayload
	}
	return h, payload, nil
}

// appendRecord appends a record to a payload. before is the time of the record
// before it.
func appendRecord(dst []byte, r *record.Record, before int64) []byte {
	dst = binary.AppendVarint(dst, r.Time-before)
	head := uint64(len(r.Line))<<2 | uint64(r.Stream&1)
	if r.Cut {
		head |= 2
	}
	dst = binary.AppendUvarint(dst, head)
	return append(dst, r.Line...)
}

// appendRecords appends the records of a payload behind the first skip ones.
// Lines point into the payload. off is where the block lies in its segment; a
// record in the middle of a block resumes at the block's beginning.
func appendRecords(dst []record.Record, h *header, payload []byte, off int64, skip uint32) ([]record.Record, error) {
	at, kept := h.firstTime, len(dst)
	for i := range h.count {
		delta, n := binary.Varint(payload)
		if n <= 0 {
			return dst[:kept], errPayload
		}
		payload = payload[n:]
		head, n := binary.Uvarint(payload)
		if n <= 0 || head>>2 > uint64(len(payload)-n) {
			return dst[:kept], errPayload
		}
		length := int(head >> 2)
		line := payload[n : n+length : n+length]
		payload = payload[n+length:]
		at += delta
		if i < skip {
			continue
		}
		r := record.Record{
			Time: at, Line: line, Stream: record.Stream(head & 1), Cut: head&2 != 0,
			Resume: off, Skip: i + 1,
		}
		if i+1 == h.count {
			r.Resume, r.Skip = off+h.size(), 0
		}
		dst = append(dst, r)
	}
	if len(payload) > 0 {
		return dst[:kept], errPayload
	}
	return dst, nil
}

// findBlock returns the offset of the first whole header in b, -1 when there is
// none.
func findBlock(b []byte, epoch uint64) int {
	magic := binary.LittleEndian.AppendUint32(nil, blockMagic)
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], magic)
		if i < 0 {
			return -1
		}
		at += i
		if _, err := getHeader(b[at:], epoch); err == nil {
			return at
		}
	}
}
