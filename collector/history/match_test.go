package history_test

import (
	"regexp"
	"strings"
	"testing"

	"tallyman/collector/history"
)

// TestMatcher compares what is found with what Go's own engine finds.
func TestMatcher(t *testing.T) {
	lines := []string{
		"", "seq=12777 GET", "seq=12 777", "SEQ=1777 ", "\u017feq=777 get", "Kelvin \u212a777", "a task", "a tas\u212a", "key", "\u212aey",
		"first second", "second first", "FIRST Second", "<a&b>", `say "hi" \ there`, "caf\u00e9 777 ",
	}
	for _, expression := range []string{
		`seq=\d*777 `, `seq`, `key`, `task$`, `(first|second) (second|first)`, `first.*second`, `First`, `fi+rst`, `(ab)?key`, `s{2,3}`, `"hi" \\`, `a&b`,
		`caf\x{e9}.*777`, `^$`, `x*`, `\bget\b`, `[k]ey`, `(?i)KEY`, `(?-i)key`,
	} {
		flags := "(?i)"
		if strings.Contains(expression, "First") || strings.Contains(expression, "KEY") {
			flags = ""
		}
		want := regexp.MustCompile(flags + expression)
		for _, not := range []string{"", "!"} {
			m, err := history.ParseMatcher(not + expression)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				if got := m.Match([]byte(line)); got != (want.MatchString(line) == (not == "")) {
					t.Errorf("%q matches %q: %v", not+expression, line, got)
				}
			}
		}
	}
}
