package post

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// What is compressed is appended, and comes out as it went in, again and again.
func TestCompressors(t *testing.T) {
	readAll := func(r io.Reader, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	for name, unpack := range map[string]func([]byte) ([]byte, error){
		Gzip:    func(b []byte) ([]byte, error) { return readAll(gzip.NewReader(bytes.NewReader(b))) },
		Deflate: func(b []byte) ([]byte, error) { return readAll(zlib.NewReader(bytes.NewReader(b))) },
		Zstd: func(b []byte) ([]byte, error) {
			d, err := zstd.NewReader(nil)
			if err != nil {
				return nil, err
			}
			defer d.Close()
			return d.DecodeAll(b, nil)
		},
		Snappy: func(b []byte) ([]byte, error) { return s2.Decode(nil, b) },
	} {
		for _, level := range []int{-1, 0, 1, 9} {
			c, err := NewCompressor(name, level)
			if err != nil {
				t.Fatal(err)
			}
			for _, length := range []int{0, 1, 100_000, 10} {
				src := bytes.Repeat([]byte("x"), length)
				packed, err := c.Append([]byte("before"), src)
				if err != nil {
					t.Fatal(err)
				}
				packed, ok := bytes.CutPrefix(packed, []byte("before"))
				if got, err := unpack(packed); !ok || err != nil || !bytes.Equal(got, src) || len(packed) > 10_000 {
					t.Errorf("%s %d: %d bytes became %d, and %d again: %v", name, level, length, len(packed), len(got), err)
				}
			}
		}
	}
	if c, err := NewCompressor(None, 0); c != nil || err != nil {
		t.Errorf("none is %v, %v", c, err)
	}
	for _, bad := range []func() (Compressor, error){
		func() (Compressor, error) { return NewCompressor("lzma", 1) },
		func() (Compressor, error) { return NewCompressor(Gzip, 10) },
	} {
		if _, err := bad(); err == nil {
			t.Error("a compression that is not known is taken")
		}
	}
}
