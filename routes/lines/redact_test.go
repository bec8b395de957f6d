package lines

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func newRedactor(t testing.TB, kinds string, patterns ...string) *Redactor {
	t.Helper()
	r := NewRedactor()
	for _, kind := range strings.Fields(kinds) {
		if err := r.AddPreset(kind); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range patterns {
		if err := r.AddPattern(fmt.Sprint("p", i), p); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestRedact: what is a secret and what only looks like one.
func TestRedact(t *testing.T) {
	r := newRedactor(t, "bearer card email", `password=(\S+)`, `\b\d{3}-\d{2}-\d{4}\b`, `^first|q*`)
	f := func(line, want string) {
		t.Helper()
		plain, buf := r.Redact([]byte("kept"), []byte(line))
		if string(plain) != want {
			t.Errorf("%q becomes\n%q, want\n%q", line, plain, want)
		}
		if !bytes.HasPrefix(buf, []byte("kept")) || line == want && len(buf) != 4 {
			t.Errorf("%q leaves %q in the buffer", line, buf)
		}
	}
	same := func(line string) { t.Helper(); f(line, line) }
	same("")
	same("nothing here")

	f("Authorization: Bearer abc.DEF-123_~+/==", "Authorization: Bearer [redacted:bearer]")
	f(`{"auth":"bearer  0123456789"}`, `{"auth":"bearer  [redacted:bearer]"}`)
	f("BEARER 0123456789 Bearer abcdefgh,x", "BEARER [redacted:bearer] Bearer [redacted:bearer],x")
	same("the bearer of news")
	same("Bearer short")
	same("forbearer 0123456789")
	same("earer 0123456789")

	f("mail to bob.b+x@mail.example.com.", "mail to [redacted:email].")
	f("<a@b.de>,c@d.org;x@y", "<[redacted:email]>,[redacted:email];x@y")
	f("jürgen@müller.de", "[redacted:email]")
	f("a@b.co@c.de", "[redacted:email]@c.de")
	same("root@host and user@10.0.0.1")
	same("@b.de, @decorator")
	same("..@b.de")
	same("a@.de a@b. a@b.c")

	f("card 4111111111111111 ok", "card [redacted:card] ok")
	f("4111 1111 1111 1111 12/27", "[redacted:card] 12/27")
	f("pan=5500-0000-0000-0004;", "pan=[redacted:card];")
	f("378282246310005", "[redacted:card]") // 15 digits.
	f("4222222222222", "[redacted:card]")   // 13 digits.
	f("6304000000000000000,4111111111111111", "[redacted:card],[redacted:card]")
	f("2026 4111111111111111", "2026 [redacted:card]")
	same("4111111111111112")
	same("1763717400123456789")
	same("a4111111111111111 4111111111111111b 94111111111111111")
	same("4111  1111 1111 1111")
	same("41111111111111110000000")
	same("2026-11-21 10:00:00.123456 411111111111")

	f("user=x password=hunter2 z", "user=x password=[redacted:p0] z")
	f("ssn 078-05-1120", "ssn [redacted:p1]")
	same("1078-05-1120")
	f("first first", "[redacted:p2] first")
	f("password=bob@example.com", "password=[redacted:p0]")
}

func TestRedactorErrors(t *testing.T) {
	r := NewRedactor()
	if err := r.AddPreset("phone"); err == nil || err.Error() != `unknown kind "phone"; known are bearer, card, email` {
		t.Errorf("the error is %v", err)
	}
	if err := r.AddPattern("a b", "x"); err == nil {
		t.Error("a name with a blank is taken")
	}
	if err := r.AddPattern("a", "("); err == nil {
		t.Error("a broken expression is taken")
	}
}

// FuzzRedact: what is left has no secret of a kind that was redacted, and lines
// without one stay as they are.
func FuzzRedact(f *testing.F) {
	for _, seed := range []string{"a@b.de", "Bearer abcdefgh==", "4111 1111-1111 1111", "a@b.de4111111111111111", "BEARER Bearer  xxxxxxxx@x.yz"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, p := range presets {
			r := newRedactor(t, p.name)
			before := bytes.Clone(line)
			plain, buf := r.Redact(nil, line)
			if !bytes.Equal(line, before) {
				t.Fatalf("the line was changed from %q to %q", before, line)
			}
			if len(buf) == 0 != bytes.Equal(plain, line) {
				t.Fatalf("%s: %q becomes %q", p.name, line, plain)
			}
			rest := bytes.ReplaceAll(plain, []byte("[redacted:"+p.name+"]"), []byte("\n"))
			if start, end := p.find(rest, 0); len(buf) > 0 && start >= 0 && !bytes.Contains(line, []byte("\n")) {
				t.Fatalf("%s: %q becomes %q, of which %q is left", p.name, line, plain, rest[start:end])
			}
		}
	})
}

// Lines without a secret and lines with one that is known by name cost no
// allocation.
func TestRedactAllocates(t *testing.T) {
	r := newRedactor(t, "bearer card email", `password=\S+`)
	lines := [][]byte{
		[]byte("2026-11-21T10:00:00Z INFO request done in 12 ms"),
		[]byte("mail bob@example.com card 4111111111111111 Authorization: Bearer 0123456789abcdef"),
	}
	var buf []byte
	if n := testing.AllocsPerRun(100, func() {
		buf = buf[:0]
		for _, line := range lines {
			_, buf = r.Redact(buf, line)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzFindCard: card numbers are found where a look at every place finds them.
func FuzzFindCard(f *testing.F) {
	for _, seed := range []string{"4111 1111-1111 1111", "a4111111111111111 5500000000000004", "12 345678901234 4222222222222x 4222222222222", "2026-11-21 10:00:00.123456"} {
		f.Add([]byte(seed), 0)
	}
	f.Fuzz(func(t *testing.T, line []byte, from int) {
		if from < 0 || from > len(line) {
			return
		}
		start, end := findCard(line, from)
		wantStart, wantEnd := firstCard(line, from, len(line))
		if wantEnd == 0 {
			wantStart, wantEnd = -1, -1
		}
		if start != wantStart || end != wantEnd {
			t.Fatalf("in %q from %d it is at %d to %d, want %d to %d", line, from, start, end, wantStart, wantEnd)
		}
	})
}
