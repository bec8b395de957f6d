package cli

import (
	"regexp"
	"strings"
	"testing"
)

// TestMark: what is looked for is marked in the line, and not in the marks of another
// expression.
func TestMark(t *testing.T) {
	f := func(line, want string, expressions ...string) {
		t.Helper()
		p := linePrinter{output: "text", colour: true}
		for _, text := range expressions {
			p.marked = append(p.marked, regexp.MustCompile(text))
		}
		if got := strings.NewReplacer(markedText, "<", plainText, ">").Replace(p.mark(line)); got != want {
			t.Errorf("%q with %q is %q, want %q", line, expressions, got, want)
		}
	}
	f("status 70", "status 70")
	f("status 70", "status <7><0>", "0", "7")
	f("abcd", "<abc><d>", "bcd", "abc")
	f("abcd", "<abcd>", "abcd", "b")
	f("abcd", "abcd", "x*")
	f("mm", "<m><m>", "m", "m")
}
