package level

import "testing"

func TestSeverity(t *testing.T) {
	f := func(l Level, want int) {
		t.Helper()
		if got := l.Severity(); got != want {
			t.Fatalf("the severity of %s is %d, want %d", l, got, want)
		}
	}
	f(Emergency, 0)
	f(Alert, 1)
	f(Critical, 2)
	f(Error, 3)
	f(Warning, 4)
	f(Notice, 5)
	f(Info, 6)
	f(Debug, 7)
	f(Trace, 7)
	f(Unknown, 6)
}

func TestParse(t *testing.T) {
	for l := Trace; l <= Emergency; l++ {
		if got, ok := Parse(l.String()); got != l || !ok {
			t.Errorf("%s is read as %s", l, got)
		}
	}
	if got, ok := Parse("web"); ok || got != Unknown {
		t.Errorf("web is read as %s", got)
	}
}
