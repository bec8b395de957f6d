package history_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyman/collector/history"
	"tallyman/collector/jsonfile"
	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// written is a line that a test has put into a container's log.
type written struct {
	container int
	at        int64
	stream    record.Stream
	text      string
}

// begin is the time before the first line.
var begin = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixNano()

// containers writes the log files of n containers, as dockerd does, and returns
// them with their lines in the order of time.
func containers(t testing.TB, n, lines int, text func(i int) string) (string, []*record.Container, []written) {
	t.Helper()
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(uint64(n), uint64(lines)))
	var list []*record.Container
	var files []*os.File
	for i := range n {
		id := fmt.Sprintf("%064x", random.Uint64())
		id = id[48:] + id[:48]
		folder := filepath.Join(dir, id)
		if err := os.Mkdir(folder, 0o710); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(filepath.Join(folder, id+"-json.log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		list = append(list, &record.Container{ID: id, Name: fmt.Sprintf("c%d", i), Running: true})
		files = append(files, file)
	}
	var all []written
	at := begin
	for i := range lines {
		at += 1 + random.Int64N(int64(time.Millisecond))
		w := written{random.IntN(n), at, record.Stream(random.IntN(2)), text(i)}
		all = append(all, w)
		writeLine(t, files[w.container], w)
	}
	return dir, list, all
}

func writeLine(t testing.TB, file *os.File, w written) {
	t.Helper()
	line, err := json.Marshal(struct {
		Log    string `json:"log"`
		Stream string `json:"stream"`
		Time   string `json:"time"`
	}{w.text + "\n", w.stream.String(), time.Unix(0, w.at).UTC().Format(time.RFC3339Nano)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

func targets(dir string, list []*record.Container) []history.Target {
	var all []history.Target
	for _, c := range list {
		all = append(all, history.Target{Container: c, Open: func(history.Stretch) (*history.Past, error) {
			return history.Files(jsonfile.HistoryOptions{Dir: dir, ID: c.ID})
		}})
	}
	return all
}

// got is a line as a scan has given it.
type got struct {
	written
	cursor string
}

// scan returns up to limit lines in the order of the scan, and where to go on.
func scan(t testing.TB, dir string, list []*record.Container, q history.Query, back bool, limit int) ([]got, *history.Cursor) {
	t.Helper()
	s, err := history.NewScan(targets(dir, list), q, back)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var lines []got
	for len(lines) < limit {
		line, done, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return lines, nil
		}
		if line == nil {
			continue
		}
		c := line.Cursor()
		i := slices.Index(list, line.Container)
		lines = append(lines, got{written{i, line.Time, line.Stream, string(line.Line)}, c.String()})
	}
	here := s.Here()
	return lines, &here
}

func want(t testing.TB, what string, lines []got, all []written) {
	t.Helper()
	for i := range min(len(lines), len(all)) {
		if lines[i].written != all[i] {
			t.Fatalf("%s: line %d is %v, want %v", what, i, lines[i].written, all[i])
		}
	}
	if len(lines) != len(all) {
		t.Fatalf("%s: %d lines, want %d", what, len(lines), len(all))
	}
}

func backwards(all []written) []written {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}

const noLimit = 1 << 30

// reparse lets a cursor go through its text.
func reparse(t testing.TB, c *history.Cursor) *history.Cursor {
	t.Helper()
	parsed, err := history.ParseCursor(c.String())
	if err != nil {
		t.Fatal(err)
	}
	return &parsed
}

func TestScanMergesByTime(t *testing.T) {
	dir, list, all := containers(t, 20, 20000, func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("z", i%300)) })
	lines, _ := scan(t, dir, list, history.Query{}, false, noLimit)
	want(t, "forwards", lines, all)
	lines, _ = scan(t, dir, list, history.Query{}, true, noLimit)
	want(t, "backwards", lines, backwards(all))
}

// TestScanGoesOnFromCursors goes through a log a page at a time.
func TestScanGoesOnFromCursors(t *testing.T) {
	dir, list, all := containers(t, 5, 3000, func(i int) string { return fmt.Sprint("line ", i%50, strings.Repeat(".", 200)) })
	match, err := history.ParseMatcher("line (7|11)")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []history.Query{{}, {Match: []*history.Matcher{match}}} {
		var expected []written
		for _, w := range all {
			if q.Match == nil || match.Match([]byte(w.text)) {
				expected = append(expected, w)
			}
		}
		for _, size := range []int{1, 13, 500} {
			for _, back := range []bool{false, true} {
				var paged []got
				for page := q; ; {
					lines, next := scan(t, dir, list, page, back, size)
					paged = append(paged, lines...)
					if next == nil {
						break
					}
					if size == 1 && len(paged) > 200 {
						expectedHere := expected
						if back {
							expectedHere = backwards(expected)
						}
						want(t, "one at a time", paged, expectedHere[:len(paged)])
						break
					}
					if back {
						page.Before = reparse(t, next)
					} else {
						page.After = reparse(t, next)
					}
				}
				switch {
				case size == 1:
				case back:
					want(t, "pages backwards", paged, backwards(expected))
				default:
					want(t, "pages forwards", paged, expected)
				}
			}
		}
	}
}

// TestScanFromALine goes on from the cursor of a single line.
func TestScanFromALine(t *testing.T) {
	dir, list, all := containers(t, 4, 2000, func(i int) string { return fmt.Sprint(i) })
	lines, _ := scan(t, dir, list, history.Query{}, false, noLimit)
	seen := make(map[string]bool)
	for i, line := range lines {
		if seen[line.cursor] {
			t.Fatalf("line %d has the cursor of another", i)
		}
		seen[line.cursor] = true
		if i%97 != 0 {
			continue
		}
		c, err := history.ParseCursor(line.cursor)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := scan(t, dir, list, history.Query{Before: &c}, true, noLimit)
		want(t, "before a line", before, backwards(all[:i]))
		after, _ := scan(t, dir, list, history.Query{After: &c}, false, noLimit)
		want(t, "behind a line", after, all[i+1:])
	}
}

func TestScanFilters(t *testing.T) {
	words := []string{"INFO", "WARN", "ERROR", "DEBUG"}
	dir, list, all := containers(t, 3, 6000, func(i int) string {
		return fmt.Sprintf("%s request %d took <%d> Ms", words[i%4], i, i%9)
	})
	filter := func(keep func(w written) bool) []written {
		return slices.DeleteFunc(slices.Clone(all), func(w written) bool { return !keep(w) })
	}
	matcher := func(query string) *history.Matcher {
		m, err := history.ParseMatcher(query)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	since, until := all[1234].at, all[4321].at
	lines, _ := scan(t, dir, list, history.Query{Since: since, Until: until}, true, noLimit)
	want(t, "by time", lines, backwards(all[1234:4322]))
	lines, _ = scan(t, dir, list, history.Query{Since: since, Until: until}, false, noLimit)
	want(t, "by time, forwards", lines, all[1234:4322])
	lines, _ = scan(t, dir, list, history.Query{Streams: []record.Stream{record.Stderr}}, false, noLimit)
	want(t, "stderr", lines, filter(func(w written) bool { return w.stream == record.Stderr }))
	lines, _ = scan(t, dir, list, history.Query{Level: level.Warning}, false, noLimit)
	want(t, "warnings", lines, filter(func(w written) bool {
		return strings.HasPrefix(w.text, "WARN") || strings.HasPrefix(w.text, "ERROR")
	}))
	for query, re := range map[string]string{
		"error": "(?i)error", "Error": "Error", "REQUEST": "REQUEST", `took <3>`: "took <3>", `t\S+ <3> ms`: "(?i)took <3> ms",
		`request 12\d\d\b`: `request 12\d\d\b`, "w(ar|ax)n": "(?i)warn", `\d{4} took`: `\d{4} took`, "ms$": "(?i)ms$", "ms": "(?i)ms",
	} {
		m := matcher(query)
		oracle := regexp.MustCompile(re)
		lines, _ := scan(t, dir, list, history.Query{Match: []*history.Matcher{m}}, true, noLimit)
		want(t, query, lines, backwards(filter(func(w written) bool { return oracle.MatchString(w.text) })))
		m = matcher("!" + query)
		lines, _ = scan(t, dir, list, history.Query{Match: []*history.Matcher{m}}, true, noLimit)
		want(t, "not "+query, lines, backwards(filter(func(w written) bool { return !oracle.MatchString(w.text) })))
	}
}

// TestScanStaysInOrderWithin states how far a merge may be out of order: a clock
// that was set back moves lines only within their own container.
func TestScanStaysInOrderWithin(t *testing.T) {
	dir, list, all := containers(t, 2, 200, func(i int) string { return fmt.Sprint(i) })
	file, err := os.OpenFile(filepath.Join(dir, list[0].ID, list[0].ID+"-json.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	late := written{0, begin, record.Stdout, "the clock was set back"}
	writeLine(t, file, late)
	lines, _ := scan(t, dir, list, history.Query{}, false, noLimit)
	own := slices.DeleteFunc(slices.Clone(lines), func(g got) bool { return g.container != 0 })
	if last := own[len(own)-1].written; last != late {
		t.Errorf("the last line of its container is %v, want %v", last, late)
	}
	rest := slices.DeleteFunc(lines, func(g got) bool { return g.written == late })
	if !slices.IsSortedFunc(rest, func(a, b got) int { return cmp.Compare(a.at, b.at) }) || len(rest) != len(all) {
		t.Errorf("the other lines are out of order, or not all there: %d of %d", len(rest), len(all))
	}
}

func FuzzParseCursor(f *testing.F) {
	c := history.Cursor{Time: 5, Places: []history.Place{{ID: "0123456789abcdef", Position: record.Position{Off: 7, Skip: 3}, Line: true}}}
	f.Add(c.String())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := history.ParseCursor(text)
		if err != nil {
			return
		}
		again, err := history.ParseCursor(c.String())
		if err != nil || again.Time != c.Time || !slices.Equal(again.Places, c.Places) {
			t.Errorf("%q is read as %v, and that again as %v: %v", text, c, again, err)
		}
	})
}

// FuzzMatcher holds the search for a piece of text to what it stands for: every
// line that matches is found.
func FuzzMatcher(f *testing.F) {
	f.Add("disk", "no DISK \u212a di\u017f\u212a left")
	f.Add("a.b+", "xaab")
	f.Add(`time"out`, `{"msg":"Time\"OUT"}`)
	f.Add(`(?:foo|bar)baz{2,}`, "FOObazzz")
	f.Fuzz(func(t *testing.T, query, text string) {
		m, err := history.ParseMatcher(query)
		if err != nil || strings.ContainsAny(text, "\n") || len(text) > 1000 {
			return
		}
		text = strings.ToValidUTF8(text, "\ufffd")
		dir := t.TempDir()
		id := strings.Repeat("ab", 32)
		if err := os.Mkdir(filepath.Join(dir, id), 0o710); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(filepath.Join(dir, id, id+"-json.log"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		w := written{0, begin, record.Stdout, text}
		writeLine(t, file, w)
		expected := 0
		if m.Match([]byte(text)) {
			expected = 1
		}
		lines, _ := scan(t, dir, []*record.Container{{ID: id}}, history.Query{Match: []*history.Matcher{m}}, true, noLimit)
		if len(lines) != expected {
			t.Errorf("%q finds %d of %q, want %d", query, len(lines), text, expected)
		}
	})
}
