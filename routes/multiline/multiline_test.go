package multiline

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// joinAll joins lines as a stream's.
func joinAll(r *Rule, lines []string) []string {
	var all []string
	var g Group
	var buf []byte
	take := func() {
		var message []byte
		message, buf = g.Take(buf)
		all = append(all, string(message))
	}
	for i, line := range lines {
		step, joins := g.Next(r, DefaultSeparator, []byte(line))
		if !joins && g.Lines() > 0 {
			take()
		}
		if g.Add(step, DefaultSeparator, []byte(line), int64(i), false); step.Ends {
			take()
		}
		if i%3 == 0 {
			g.Keep()
		}
	}
	if g.Lines() > 0 {
		take()
	}
	return all
}

// TestCorpus: the messages of each language, as its programs write them, come out
// of their lines again.
func TestCorpus(t *testing.T) {
	for _, name := range Presets() {
		text, err := os.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		rule, err := NewRule(name, First)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n---8<---\n")
		got := joinAll(rule, strings.Split(strings.Join(want, "\n"), "\n"))
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("%s: message %d is\n%s\nwant\n%s", name, i, at(got, i), at(want, i))
				break
			}
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(none)"
}

// TestModes: what a pattern means in Logspout's modes.
func TestModes(t *testing.T) {
	f := func(mode, pattern, lines, want string) {
		t.Helper()
		m, err := ParseMode(mode)
		if err != nil {
			t.Fatal(err)
		}
		rule, err := NewPattern(pattern, m)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(strings.Join(joinAll(rule, strings.Fields(lines)), "|"), "\n", " ")
		if got != want {
			t.Errorf("%s %q: %q becomes %q, want %q", mode, pattern, lines, got, want)
		}
	}
	f("first", "^A", "A1 b c A2 A3 d", "A1 b c|A2|A3 d")
	f("first", "^A", "b c A1", "b c|A1")
	f("nonfirst", "^b", "A1 b1 b2 A2 A3 b3", "A1 b1 b2|A2|A3 b3")
	f("nonfirst", "^b", "b1 b2 A", "b1 b2|A")
	f("last", ";$", "a b; c; d e", "a b;|c;|d e")
	f("nonlast", ",$", "a, b, c d e, f", "a, b, c|d|e, f")
	if _, err := ParseMode("middle"); err == nil || err.Error() != `unknown mode "middle"; known are first, nonfirst, last, nonlast` {
		t.Errorf("the error is %v", err)
	}
}

// TestBounds: a message that never ends is cut into parts.
func TestBounds(t *testing.T) {
	rule, err := NewPattern("^start", First)
	if err != nil {
		t.Fatal(err)
	}
	short := joinAll(rule, slices.Repeat([]string{"x"}, 2*MaxLines+1))
	if len(short) != 3 || strings.Count(short[0], "\n") != MaxLines-1 || short[2] != "x" {
		t.Errorf("there are %d messages", len(short))
	}
	long := joinAll(rule, slices.Repeat([]string{strings.Repeat("x", MaxBytes/2)}, 3))
	if len(long) != 3 {
		t.Errorf("there are %d messages", len(long))
	}
	if huge := joinAll(rule, []string{strings.Repeat("x", 2*MaxBytes), "y"}); len(huge) != 2 {
		t.Errorf("there are %d messages", len(huge))
	}
}

// TestOptions: what options mean, and that they are shown as they are read.
func TestOptions(t *testing.T) {
	f := func(query, want string, rule bool, wait time.Duration) {
		t.Helper()
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		o, shown := Default(), make(url.Values)
		if err := o.Parse(values); err != nil {
			t.Fatal(err)
		}
		if o.Set(shown); shown.Encode() != want || (o.Rule != nil) != rule || o.Wait != wait {
			t.Errorf("%q is shown as %q, want %q: %+v", query, shown.Encode(), want, o)
		}
	}
	same := func(query string, wait time.Duration) { t.Helper(); f(query, query, true, wait) }
	f("", "", false, DefaultWait)
	same("multiline=java", DefaultWait)
	same("multiline=%5E%5Cd&multiline.flush=2s&multiline.mode=last&multiline.optin=true&multiline.separator=+", 2*time.Second)
	f("multiline=%5Ex&multiline.mode=first&multiline.flush=500ms", "multiline=%5Ex", true, DefaultWait)
	bad := func(query, want string) {
		t.Helper()
		values, _ := url.ParseQuery(query)
		o := Default()
		if err := o.Parse(values); err == nil || err.Error() != want {
			t.Errorf("%q says\n%v, want\n%s", query, err, want)
		}
	}
	bad("multiline=jaba", `bad value "jaba" of option "multiline": unknown preset "jaba"; known are dotnet, go, java, python, ruby; a pattern of letters only is written ^jaba`)
	bad("multiline=(", "bad value \"(\" of option \"multiline\": error parsing regexp: missing closing ): `(`")
	bad("multiline=java&multiline.mode=last", `option "multiline.mode" is for a pattern in option "multiline"`)
	bad("multiline.mode=last", `option "multiline.mode" is for a pattern in option "multiline"`)
	bad("multiline.mode=x", `bad value "x" of option "multiline.mode": unknown mode "x"; known are first, nonfirst, last, nonlast`)
	bad("multiline.flush=0s", `bad value "0s" of option "multiline.flush": it is a time such as 500ms or 2s, up to 1m0s`)
	bad("multiline.flush=5", `bad value "5" of option "multiline.flush": it is a time such as 500ms or 2s, up to 1m0s`)
	bad("multiline.optin=perhaps", `bad value "perhaps" of option "multiline.optin": known are true, false`)
	word, err := NewPattern("START", First)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := NewRule(word.String(), First); err != nil || again.String() != word.String() {
		t.Errorf("a pattern of letters is shown as %q: %v", word, err)
	}
}

// FuzzPresets: whatever the lines are, every one of them is in the messages once
// and in order.
func FuzzPresets(f *testing.F) {
	for _, name := range Presets() {
		text, err := os.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range Presets() {
			rule, err := NewRule(name, First)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(joinAll(rule, strings.Split(text, "\n")), "\n"); got != text {
				t.Fatalf("%s: %q becomes %q", name, text, got)
			}
		}
	})
}
