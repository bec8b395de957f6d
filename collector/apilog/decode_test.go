package apilog

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tallyman/collector/record"
)

func decodeAll(t *testing.T, d decoder) (pieces []piece, err error) {
	t.Helper()
	for {
		var p piece
		if err = d.next(&p); err != nil {
			return pieces, err
		}
		p.text = bytes.Clone(p.text)
		pieces = append(pieces, p)
	}
}

func newFrames(in io.Reader) *frames { return &frames{in: bufio.NewReaderSize(in, 32<<10)} }

func newRaw(in io.Reader) *raw {
	return &raw{in: bufio.NewReaderSize(in, 32<<10), partSize: partSize}
}

func TestDecode(t *testing.T) {
	want := []piece{
		{time: t0 + 123456789, stream: record.Stdout, text: []byte("one"), whole: true, timed: true},
		{time: t0 + 123456790, stream: record.Stdout, text: bytes.Repeat([]byte("x"), partSize), timed: true},
		{time: t0 + 123456790, stream: record.Stdout, text: nil, whole: true, timed: true},
		{time: t0 + 2e9, stream: record.Stdout, text: []byte("end"), timed: true},
	}
	for _, tty := range []bool{false, true} {
		var all []byte
		for i := range want {
			all = append(all, encode(&want[i], tty)...)
		}
		for name, in := range map[string]io.Reader{"at once": bytes.NewReader(all), "byte by byte": iotest.OneByteReader(bytes.NewReader(all))} {
			var d decoder = newFrames(in)
			if tty {
				d = newRaw(in)
			}
			got, err := decodeAll(t, d)
			if err != io.EOF || len(got) != len(want) {
				t.Fatalf("%s, tty %v: %d pieces, %v", name, tty, len(got), err)
			}
			for i := range want {
				text := string(want[i].text)
				if tty && want[i].whole {
					text += "\r"
				}
				if g := got[i]; string(g.text) != text || g.time != want[i].time || g.whole != want[i].whole || !g.timed {
					t.Errorf("%s, tty %v: piece %d is %+.60v", name, tty, i, g)
				}
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"an endless frame":     "\x01\x00\x00\x00\xff\xff\xff\xff",
		"no frame":             "2026-11-21T01:05:47.000000000Z a line\n",
		"an error in a frame":  "\x03\x00\x00\x00\x00\x00\x00\x05oh no",
		"half a header":        "\x01\x00\x00",
		"half a frame":         "\x01\x00\x00\x00\x00\x00\x00\x05ab",
		"half of a long frame": "\x01\x00\x00\x00\x00\x10\x00\x00ab",
	} {
		if got, err := decodeAll(t, newFrames(strings.NewReader(in))); err == io.EOF || len(got) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	d := newFrames(strings.NewReader("\x01\x00\x00\x00\x00\x20\x00\x01ab"))
	if _, err := decodeAll(t, d); err == nil || cap(d.long) > 0 {
		t.Errorf("memory for %d bytes was made for a frame that is too long: %v", cap(d.long), err)
	}
	if _, err := decodeAll(t, newRaw(strings.NewReader("Error grabbing logs: oh no\n"))); err == io.EOF {
		t.Error("an error of the engine was taken for a line")
	}
}

func FuzzDecode(f *testing.F) {
	for _, tty := range []bool{false, true} {
		f.Add(encode(&piece{time: t0, text: []byte("a line"), whole: true}, tty))
		f.Add(encode(&piece{time: t0, stream: record.Stderr, text: bytes.Repeat([]byte("x"), partSize)}, tty))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range []decoder{newFrames(bytes.NewReader(data)), newRaw(bytes.NewReader(data))} {
			total := 0
			for {
				var p piece
				if d.next(&p) != nil {
					break
				}
				total += len(p.text)
			}
			if total > len(data) {
				t.Fatalf("%d bytes came of %d", total, len(data))
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	frame := encode(&piece{time: t0 + 123456789, text: bytes.Repeat([]byte("x"), 200), whole: true}, false)
	in := bytes.NewReader(bytes.Repeat(frame, 1000))
	d := newFrames(in)
	var p piece
	b.SetBytes(200)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.next(&p); err == io.EOF {
			in.Reset(bytes.Repeat(frame, 1000))
			d.in.Reset(in)
		}
	}
}
