package history_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallyman/collector/history"
	"tallyman/collector/record"
)

// engineLog is a log as an engine gives it.
type engineLog struct {
	lines []record.Record
	// most bounds the copies that are made of it, copies counts them.
	most, copies int
}

// newEngineLog makes lines of all kinds, of which some have the same time, or are
// older than those before them.
func newEngineLog(n, most int) *engineLog {
	random := rand.New(rand.NewPCG(1, 2))
	l := &engineLog{most: most}
	at := int64(begin)
	for i := range n {
		if i%5 != 0 {
			at += 1 + random.Int64N(1e8)
		}
		text := []byte(fmt.Sprintf("line %d \x1b[1m\"quoted\\ \xff\x00 <é> %s", i, strings.Repeat("x", random.IntN(200))))
		if i%97 == 50 {
			text = append(text, bytes.Repeat([]byte("long "), 8000)...)
		}
		mine := at
		if i%7 == 3 {
			mine -= random.Int64N(1e8)
		}
		l.lines = append(l.lines, record.Record{Time: mine, Line: text, Stream: record.Stream(i % 3 % 2)})
	}
	return l
}

func (l *engineLog) target(t *testing.T) history.Target {
	c := &record.Container{ID: strings.Repeat("ab", 32), Name: "copied"}
	return history.Target{Container: c, Open: func(w history.Stretch) (*history.Past, error) {
		l.copies++
		w.Most = l.most
		return history.Copy(t.TempDir(), w, false, func(give func(*record.Record) error) error {
			lines := l.lines
			if w.Last > 0 {
				lines = lines[max(0, len(lines)-w.Last):]
			}
			for i := range lines {
				r := lines[i]
				if r.Time < w.Since || w.Until != 0 && r.Time > w.Until {
					continue
				}
				if err := give(&r); err != nil {
					return err
				}
			}
			return nil
		})
	}}
}

// read scans to the end, or to a number of lines.
func (l *engineLog) read(t *testing.T, q history.Query, back bool, limit int) (texts []string, cursors []history.Cursor, here, end history.Cursor) {
	t.Helper()
	scan, err := history.NewScan([]history.Target{l.target(t)}, q, back)
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	for len(texts) < limit {
		line, done, err := scan.Step()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
		if line != nil {
			texts, cursors = append(texts, line.Stream.String()+string(line.Line)), append(cursors, line.Cursor())
		}
	}
	return texts, cursors, scan.Here(), scan.End()
}

// TestCopiedPast reads a log that is copied, in one and in many copies, in both
// directions, at once and page by page.
func TestCopiedPast(t *testing.T) {
	for _, most := range []int{0, 150_000} {
		l := newEngineLog(3000, most)
		var want []string
		for _, r := range l.lines {
			want = append(want, r.Stream.String()+string(r.Line))
		}
		same := func(what string, got, want []string) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("copies of %d bytes: %s: %d lines, want %d", most, what, len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("copies of %d bytes: %s: line %d is %.60q, want %.60q", most, what, i, got[i], want[i])
				}
			}
		}
		forth, cursors, here, _ := l.read(t, history.Query{}, false, noLimit)
		same("forth", forth, want)
		if more, _, _, _ := l.read(t, history.Query{After: &here}, false, noLimit); len(more) != 0 {
			t.Errorf("%d lines come behind the end", len(more))
		}
		for _, last := range []int{0, 200} {
			back, _, _, end := l.read(t, history.Query{Last: last}, true, noLimit)
			slices.Reverse(back)
			same("back", back, want)
			if more, _, _, _ := l.read(t, history.Query{After: &end}, false, noLimit); len(more) != 0 {
				t.Errorf("%d lines come behind the end", len(more))
			}
		}
		if most != 0 && l.copies < 20 {
			t.Errorf("%d copies were made of a log that is much longer than one", l.copies)
		}
		for _, back := range []bool{true, false} {
			var paged []string
			q := history.Query{Last: 300}
			for {
				page, _, here, _ := l.read(t, q, back, 299)
				if paged = append(paged, page...); len(page) < 299 {
					break
				}
				q = history.Query{Before: &here}
				if !back {
					q = history.Query{After: &here}
				}
			}
			if back {
				slices.Reverse(paged)
			}
			same(fmt.Sprint("page by page, back ", back), paged, want)
		}
		for _, i := range []int{0, 1, 1234, 1235, 2999} {
			before, _, _, _ := l.read(t, history.Query{Before: &cursors[i]}, true, 10)
			slices.Reverse(before)
			same(fmt.Sprint("before line ", i), before, want[max(0, i-10):i])
			after, _, _, _ := l.read(t, history.Query{After: &cursors[i]}, false, 10)
			same(fmt.Sprint("after line ", i), after, want[i+1:min(len(want), i+11)])
		}
		since, until := l.lines[501].Time, l.lines[899].Time
		bounded, _, _, _ := l.read(t, history.Query{Since: since, Until: until}, false, noLimit)
		var between []string
		for i, r := range l.lines {
			if r.Time >= since && r.Time <= until {
				between = append(between, want[i])
			}
		}
		same("between two times", bounded, between)
	}
}

// TestClean: what a killed process has left is removed, and nothing else.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".history-123/copy/copy-json.log", "spool/a"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := history.Clean(dir); err != nil {
		t.Fatal(err)
	}
	// Reading a copied log leaves nothing behind.
	past, err := history.Copy(dir, history.Stretch{}, false, func(give func(*record.Record) error) error {
		return give(&record.Record{Time: begin, Line: []byte("line")})
	})
	if err != nil {
		t.Fatal(err)
	}
	past.Close()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "spool" {
		t.Errorf("the folder has %v: %v", left, err)
	}
}
