package jsonfile

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"tallyman/collector/record"
)

// TestDamagedCompressedFile: a compressed file that a crash of the host has
// damaged gives what it holds, and those that follow it are read.
func TestDamagedCompressedFile(t *testing.T) {
	f := func(name string, damage func(packed []byte) []byte) {
		t.Helper()
		root := openRoot(t)
		w := newWriter(t, root.dir)
		w.compress = true
		w.line("first", record.Stdout)
		w.rotate()
		w.line("second", record.Stdout)
		w.rotate()
		w.line("third", record.Stdout)
		packed, err := os.ReadFile(w.path(1))
		w.must(err)
		w.must(os.WriteFile(w.path(1), damage(packed), 0o600))
		l := mustLog(t, root, running(w.id))
		got, _, ended := drain(t, openReader(t, l, record.Oldest()), record.NewBatch())
		if len(got) == 3 {
			got = slices.Delete(got, 1, 2) // All of it could be unpacked.
		}
		if !slices.Equal(got, []string{"first", "third"}) || ended {
			t.Errorf("%s: %q came, the log has ended: %v", name, got, ended)
		}
		if n := root.Stats().Broken.Load(); n < 1 || n > 2 {
			t.Errorf("%s: %d were counted, want the damage and what it leaves of a record", name, n)
		}
	}
	zeros := make([]byte, 100)
	f("empty", func([]byte) []byte { return nil })
	f("zeros only", func([]byte) []byte { return zeros })
	f("zeros behind the header", func(packed []byte) []byte { return append(packed[:10], zeros...) })
	f("garbage behind the header", func(packed []byte) []byte { return append(packed[:10], bytes.Repeat([]byte{0xff}, 100)...) })
	f("zeros behind its end", func(packed []byte) []byte { return append(packed, zeros...) })
	f("torn", func(packed []byte) []byte { return packed[:len(packed)/2] })
}
