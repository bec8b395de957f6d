package jsonfile

import (
	"testing"

	"tallyman/collector/record"
)

// TestCarriageReturns: of a container with a terminal lines come without the
// carriage return that the terminal puts before each newline, and of others as
// they are.
func TestCarriageReturns(t *testing.T) {
	for _, tty := range []bool{false, true} {
		root := openRoot(t)
		w := newWriter(t, root.dir)
		long := longText(1, 3*partSize)
		for _, text := range []string{"a\r", "b", "c\r\r", "\r", long + "\r"} {
			w.line(text, record.Stdout)
		}
		want := []string{"a\r", "b", "c\r\r", "\r", long + "\r"}
		if tty {
			want = []string{"a", "b", "c\r", "", long}
		}
		c := running(w.id)
		c.TTY = tty
		got, _, _ := drain(t, openReader(t, mustLog(t, root, c), record.Oldest()), record.NewBatch())
		wantLines(t, got, want)
		h := openHistory(t, w)
		h.options.TTY = tty
		var past []string
		for _, k := range readBack(t, h, h.End(), func() int64 { return 1 << 20 }, nil) {
			past = append(past, k.text)
		}
		wantLines(t, past, want)
	}
}
