package post

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// The ways to compress a body, as Content-Encoding names them (RFC 9110, section
// 8.4.1): Deflate is the format of zlib. Snappy is the block format, not the
// framed one.
const (
	None    = "none"
	Gzip    = "gzip"
	Deflate = "deflate"
	Zstd    = "zstd"
	Snappy  = "snappy"
)

// Compressor compresses bodies, each by itself. Its memory is reused: one made
// anew for a short body would cost fifty times the work. It is used by one
// goroutine at a time.
type Compressor interface {
	// Append appends src, compressed, to dst, and keeps neither.
	Append(dst, src []byte) ([]byte, error)
}

// NewCompressor returns the Compressor of a name above, nil for None. The level
// is that of Gzip and Deflate, from 1, fast, to 9, small, or -1 for what their
// library chose; 0 stands for 1.
func NewCompressor(name string, level int) (Compressor, error) {
	if level == 0 {
		level = gzip.BestSpeed
	}
	switch name {
	case None:
		return nil, nil //nolint:nilnil // There is nothing to do.
	case Gzip:
		w, err := gzip.NewWriterLevel(nil, level)
		return &flater{writer: w}, err
	case Deflate:
		w, err := zlib.NewWriterLevel(nil, level)
		return &flater{writer: w}, err
	case Zstd:
		// Within a window far smaller than the library's a body compresses as well.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
		return zstder{e}, err
	case Snappy:
		return snappier{}, nil
	}
	return nil, fmt.Errorf("unknown compression %q", name)
}

// flater is a Compressor of a library's writer.
type flater struct {
	writer interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	out output
}

func (f *flater) Append(dst, src []byte) ([]byte, error) {
	f.out.bytes = dst
	f.writer.Reset(&f.out)
	if _, err := f.writer.Write(src); err != nil {
		return dst, err
	}
	err := f.writer.Close()
	dst = f.out.bytes
	f.out.bytes = nil // The buffer is only lent.
	return dst, err
}

// output collects what is written.
type output struct{ bytes []byte }

// Write appends p.
func (o *output) Write(p []byte) (int, error) {
	o.bytes = append(o.bytes, p...)
	return len(p), nil
}

type zstder struct{ encoder *zstd.Encoder }

func (z zstder) Append(dst, src []byte) ([]byte, error) { return z.encoder.EncodeAll(src, dst), nil }

type snappier struct{}

func (snappier) Append(dst, src []byte) ([]byte, error) {
	n := s2.MaxEncodedLen(len(src))
	if n < 0 {
		return dst, fmt.Errorf("a body of %d bytes is too long for snappy", len(src))
	}
	start := len(dst)
	if cap(dst)-start < n {
		dst = append(make([]byte, 0, start+n), dst...)
	}
	return dst[:start+len(s2.EncodeSnappy(dst[start:start+n], src))], nil
}
