package apilog

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"tallyman/collector/record"
)

// piece is a record as the engine sends it: a line, or one of the parts of a
// long one.
type piece struct {
	time   int64
	stream record.Stream
	// text is without its time and line feed, and valid until the next piece is
	// asked for.
	text []byte
	// whole says that a line feed ended it.
	whole bool
	// timed says that a time stood before it. Without, time is that of the piece
	// before.
	timed bool
}

// decoder takes an engine's answer apart. next returns io.EOF at its end.
type decoder interface {
	next(p *piece) error
}

// The engine's time: 2006-01-02T15:04:05.000000000Z, and a space.
const (
	secondLength = len("2006-01-02T15:04:05")
	timeLength   = secondLength + len(".000000000Z")
)

// clock parses the engine's times. Most lines share their second with the line
// before, so it keeps that second's text and value.
type clock struct {
	second [secondLength]byte
	nanos  int64
	last   int64
}

// cut takes the time from the front of text.
func (c *clock) cut(text []byte) (at int64, rest []byte, ok bool) {
	if len(text) > timeLength && text[timeLength] == ' ' && text[secondLength] == '.' && text[timeLength-1] == 'Z' {
		if at, ok := c.parse(text[:timeLength]); ok {
			c.last = at
			return at, text[timeLength+1:], true
		}
	}
	// Other engines speak this API too, and write shorter times.
	const longest = len(time.RFC3339Nano)
	if i := bytes.IndexByte(text[:min(len(text), longest+1)], ' '); i > secondLength {
		if at, err := time.Parse(time.RFC3339Nano, string(text[:i])); err == nil {
			c.last = at.UnixNano()
			return c.last, text[i+1:], true
		}
	}
	return c.last, text, false
}

func (c *clock) parse(text []byte) (int64, bool) {
	if string(text[:secondLength]) != string(c.second[:]) {
		at, err := time.Parse("2006-01-02T15:04:05", string(text[:secondLength]))
		if err != nil {
			return 0, false
		}
		copy(c.second[:], text)
		c.nanos = at.UnixNano()
	}
	fraction := int64(0)
	for _, d := range text[secondLength+1 : timeLength-1] {
		d -= '0'
		if d > 9 {
			return 0, false
		}
		fraction = fraction*10 + int64(d)
	}
	return c.nanos + fraction, true
}

// maxFrame bounds what a frame may claim to hold. Engines cut lines at 16 KiB,
// and at 256 KiB for one driver; others may send a line in one piece.
const maxFrame = 2 << 20

// The types of frames.
const (
	frameStdout = 1
	frameStderr = 2
	frameError  = 3
)

// frames decodes the answer about a container without a TTY: frames of a type,
// three zeros, the length as four bytes, big endian, and as many bytes.
type frames struct {
	in    *bufio.Reader
	clock clock
	// used is what the last piece took of in.
	used int
	// long holds a frame that is longer than the memory of in.
	long []byte
}

func (d *frames) next(p *piece) error {
	// It was there a moment ago.
	_, _ = d.in.Discard(d.used)
	d.used = 0
	head, err := d.in.Peek(8)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	kind, length := head[0], binary.BigEndian.Uint32(head[4:])
	if kind > frameError || head[1] != 0 || head[2] != 0 || head[3] != 0 || length > maxFrame {
		return fmt.Errorf("the engine sent %q where a frame should begin", head)
	}
	text, err := d.payload(int(length))
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if kind == frameError {
		return fmt.Errorf("the engine says: %q", bytes.TrimSpace(text[:min(len(text), 1024)]))
	}
	*p = piece{stream: record.Stdout}
	if kind == frameStderr {
		p.stream = record.Stderr
	}
	p.time, text, p.timed = d.clock.cut(text)
	p.text, p.whole = bytes.CutSuffix(text, []byte{'\n'})
	return nil
}

// payload returns the length bytes behind the header.
func (d *frames) payload(length int) ([]byte, error) {
	if 8+length <= d.in.Size() {
		b, err := d.in.Peek(8 + length)
		if err != nil {
			return nil, err
		}
		d.used = 8 + length
		return b[8:], nil
	}
	_, _ = d.in.Discard(8)
	if cap(d.long) < length {
		d.long = make([]byte, length)
	}
	d.long = d.long[:length]
	_, err := io.ReadFull(d.in, d.long)
	return d.long, err
}

// raw decodes the answer about a container with a TTY: lines with a time before
// each, and no frames. A part of a long line ends after partSize bytes without a
// line feed, and the next begins with the time again.
type raw struct {
	in       *bufio.Reader
	clock    clock
	partSize int
	used     int
	// within says that a line has begun and not ended.
	within bool
}

var grabbing = []byte("Error grabbing logs: ")

func (d *raw) next(p *piece) error {
	_, _ = d.in.Discard(d.used)
	d.used = 0
	most := timeLength + 1 + d.partSize
	seen := 0
	for {
		b, err := d.in.Peek(d.in.Buffered())
		if i := bytes.IndexByte(b[seen:min(len(b), most)], '\n'); err == nil && i >= 0 {
			d.used = seen + i + 1
			return d.take(p, b[:seen+i], true)
		}
		if err == nil && len(b) >= most {
			d.used = most
			return d.take(p, b[:most], false)
		}
		seen = len(b)
		if _, err := d.in.Peek(seen + 1); err != nil {
			if seen == 0 || !errors.Is(err, io.EOF) {
				return err
			}
			d.used = seen
			b, _ := d.in.Peek(seen)
			return d.take(p, b, false)
		}
	}
}

func (d *raw) take(p *piece, text []byte, whole bool) error {
	*p = piece{stream: record.Stdout, whole: whole}
	p.time, p.text, p.timed = d.clock.cut(text)
	if !p.timed && !d.within && bytes.HasPrefix(text, grabbing) {
		return fmt.Errorf("the engine says: %q", text)
	}
	if !p.timed && !whole && len(text) > d.partSize {
		// Without a time before it, the part is shorter by as much.
		d.used -= len(text) - d.partSize
		p.text = text[:d.partSize]
	}
	d.within = !whole
	return nil
}
