package lines

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAppendPlain: what is left of a line without escape sequences.
func TestAppendPlain(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		if got := string(AppendPlain(nil, []byte(line))); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
	f("", "")
	f("plain", "plain")
	f("\x1b[31mred\x1b[0m and \x1b[1;38;5;208mbold\x1b[m", "red and bold")
	f("\x1b[2K\x1b[1Gdone", "done")
	f("\x1b[?25lhidden\x1b[?25h", "hidden")
	f("\x1b[38:2::255:0:0mcolons", "colons")
	f("\x1b]8;;https://x.example\x1b\\link\x1b]8;;\x1b\\", "link")
	f("\x1b]0;title\atext", "text")
	f("\x1bPq#0\x1b\\sixel", "sixel")
	f("\x1b(Bcharset\x1b7saved\x1bM", "charsetsaved")
	f("\x1b#8aligned", "aligned")
	f("end\x1b", "end")
	f("end\x1b[", "end[")
	f("end\x1b[31", "end[31")
	f("bad \x1b[31\x01m", "bad [31\x01m")
	f("\x1b]0;never ends, so the text is kept", "]0;never ends, so the text is kept")
	f("\x1b]0;a\x1b[1mb", "]0;ab")
	f("\x1b\x1b[1mtwice", "twice")
	f("kept \x9b31m and \xc3\x9b", "kept \x9b31m and \xc3\x9b")
}

func FuzzAppendPlain(f *testing.F) {
	for _, seed := range []string{"\x1b[31mred", "\x1b]8;;x\x1b\\y", "\x1b]0;\a", "\x1b(B", "\x1b\x1b["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		plain := AppendPlain([]byte("before"), line)
		if !strings.HasPrefix(string(plain), "before") || len(plain) > len(line)+6 || HasANSI(plain) {
			t.Fatalf("%q becomes %q", line, plain)
		}
	})
}

// TestWords: which words are searched for before an expression is asked.
func TestWords(t *testing.T) {
	f := func(expression, want string, exact bool) {
		t.Helper()
		p, err := Compile(expression)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, w := range p.words {
			words = append(words, map[bool]string{true: "~"}[w.fold]+string(w.text))
		}
		if got := strings.Join(words, "|"); got != want || p.exact != exact {
			t.Errorf("%q needs %q, exact %v; want %q, %v", expression, got, p.exact, want, exact)
		}
		if p.String() != expression {
			t.Errorf("%q is shown as %q", expression, p)
		}
	}
	f("timeout", "timeout", true)
	f("timeout|refused", "timeout|refused", true)
	f("time(?:out|d out)", "timeout|timed out", true)
	f("(GET|HEAD) /health", "GET /health|HEAD /health", true)
	f("[Ee]rror", "rror", false)
	f("code=[45]02", "code=402|code=502", true)
	f("^start", "start", false)
	f(`status=5\d\d`, "status=5", false)
	f(`user=\w+ action=(login|logout)`, " action=login| action=logout", false)
	f("a+longer", "longer", false)
	f("(?i)Exception", "~exception", true)
	f("(?i)panic|fatal", "~panic|~fatal", true)
	f("/health|(?i)favicon", "/health|~favicon", true)
	f("a(?i)b", "a", false)
	f("(?i)request", "~reque", false)
	f("(?i)timeout at", "~timeout at", true)
	f("(?i)é12", "~12", false)
	f("(abc)?", "", false)
	f("a*|b", "", false)
	f(".*", "", false)
	f(`\d+`, "", false)
	f("", "", false)
	f("(abc){2,3}", "abcabc", false)
}

// FuzzPattern: a pattern matches what package regexp says.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"timeout|refused", "connection refused"}, {"(?i)request|Exception", "REQUEſT"}, {"(?i)kelvin", "\u212aelvin"},
		{"[Ee]rr(or)?|x{2,}", "xx"}, {"a(b|c|)d+$", "acdd"}, {"\\x{fffd}", "\xff"}, {"(?s)^.a\\b", "\na"}, {"(?i)İ", "İ"},
		{"(?i:a)b|c", "Ab"}, {"(?i)[a-d]x", "CX"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, expression string, line []byte) {
		p, err := Compile(expression)
		if err != nil {
			return
		}
		if got, want := p.Match(line), regexp.MustCompile(expression).Match(line); got != want {
			t.Fatalf("%q matches %q: %v, want %v; words %+v", expression, line, got, want, p.words)
		}
	})
}

// TestBucket: as many lines as the limit says pass at once and in every period
// after that, by the lines' own times.
func TestBucket(t *testing.T) {
	var b Bucket
	l := Limit{10, time.Second}
	pass := func(at time.Duration, n int) (passed int) {
		for range n {
			if b.Take(l, int64(time.Hour+at)) {
				passed++
			}
		}
		return passed
	}
	f := func(at time.Duration, want int) {
		t.Helper()
		if got := pass(at, 100); got != want {
			t.Errorf("%d of 100 lines pass at %v, want %d", got, at, want)
		}
	}
	f(0, 10)
	f(99*time.Millisecond, 0)
	f(100*time.Millisecond, 1)
	f(99*time.Millisecond, 0) // The other stream's clock.
	f(time.Second, 9)
	f(time.Minute, 10)
	f(-30*time.Minute, 10) // The clock was set back.
	total := 0
	for at := time.Hour; at < time.Hour+10*time.Second; at += time.Millisecond {
		total += pass(at, 1)
	}
	if total != 109 && total != 110 {
		t.Errorf("%d of 10000 lines pass in 10 s", total)
	}
}

// TestShare: the part of lines that is chosen, always the same ones.
func TestShare(t *testing.T) {
	f := func(text string, part float64) {
		t.Helper()
		s, err := ParseShare(text)
		if err != nil {
			t.Fatal(err)
		}
		const lines = 100_000
		chosen := 0
		for n := range int64(lines) {
			if at := 1763717400_000000000 + n*1000; s.Has(at) {
				if chosen++; !s.Has(at) {
					t.Fatal("a line is chosen once and not again")
				}
			}
		}
		if got := float64(chosen) / lines; math.Abs(got-part) > 0.01 {
			t.Errorf("%q chooses %v", text, got)
		}
	}
	f("0.1", 0.1)
	f("1/4", 0.25)
	f("0.999", 0.999)
	f("1", 1)
	f("1/1", 1)
	for _, text := range []string{"", "0", "-1", "1.5", "1/0", "1/", "2/3", "NaN", "half", "1e-30"} {
		if s, err := ParseShare(text); err == nil {
			t.Errorf("%q is taken for %v", text, s)
		}
	}
}

func TestParseLimit(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		l, err := ParseLimit(text)
		if err != nil || l.String() != want {
			t.Errorf("%q is %v, %v, want %q", text, l, err, want)
		}
	}
	f("100", "100/s")
	f("100/s", "100/s")
	f("6000/m", "6000/m")
	f("1/h", "1/h")
	f("off", "off")
	for _, text := range []string{"", "/s", "0/s", "-1/s", "1/d", "1/", "1.5/s", "2000000000/s", "x"} {
		if l, err := ParseLimit(text); err == nil {
			t.Errorf("%q is taken for %v", text, l)
		}
	}
}
