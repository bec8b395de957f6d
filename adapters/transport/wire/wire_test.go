package wire

import (
	"errors"
	"testing"

	"tallyman/adapters"
)

// Whatever becomes of a batch with rejects, each reject is told of once: now, or
// when its record is sent again.
func TestRejectsOfBrokenBatch(t *testing.T) {
	cause := errors.New("broken")
	rejects := []adapters.Reject{{Index: 3, Err: errors.New("bad")}, {Index: 5, Err: errors.New("bad")}}
	f := func(in error, settled, told int, rejected bool) {
		t.Helper()
		var got error
		withRejects(func(err error) { got = err }, rejects)(in)
		var r *adapters.RejectedError
		if errors.As(got, &r) != rejected {
			t.Fatalf("%v becomes %v", in, got)
		}
		if rejected {
			return
		}
		var p *adapters.PartialError
		if errors.As(got, &p); p == nil && settled != 0 || p != nil && (p.Settled != settled || len(p.Rejects) != told) {
			t.Fatalf("%v becomes %#v, want %d settled and %d of them rejected", in, got, settled, told)
		}
		if !errors.Is(got, cause) {
			t.Fatalf("%v becomes %v", in, got)
		}
	}
	f(nil, 0, 2, true)
	f(cause, 0, 0, false)
	f(adapters.Partial(2, cause), 2, 0, false)
	f(adapters.Partial(3, cause), 3, 0, false)
	f(adapters.Partial(4, cause), 4, 1, false)
	f(adapters.Partial(6, cause), 6, 2, false)
}
