package routes_test

import (
	"slices"
	"strings"

	"tallyman/collector/record"
)

// wanted returns the numbers below end of the lines that the filter wants.
func (w *world) wanted(l *fakeLog, end int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []int
	for n, e := range l.entries[:min(end, len(l.entries))] {
		if !e.junk && w.wants(e) {
			list = append(list, n)
		}
	}
	return list
}

func (w *world) wants(e entry) bool {
	return slices.Contains(w.sources, e.stream) && !(w.drops && strings.HasSuffix(e.text, "!"))
}

func (w *world) log(id string) *fakeLog {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logs[slices.IndexFunc(w.logs, func(l *fakeLog) bool { return l.id() == id })]
}

// checkPosition fails the test when a position is kept that lies behind
// something that is not settled.
func (w *world) checkPosition(id string, at record.Position) {
	l := w.log(id)
	l.mu.Lock()
	end, ok := l.indexLocked(at)
	l.mu.Unlock()
	if !ok {
		w.t.Errorf("position %v of %s cannot be found", at, id)
	}
	if w.loose {
		return
	}
	settled := w.book.settledSet(id)
	for _, n := range w.wanted(l, end) {
		if !settled[n] {
			w.t.Errorf("position %d of %s is kept though line %d has not arrived", end, id, n)
			return
		}
	}
}

// checkGone fails the test when the position of a log is forgotten before all
// of it is settled.
func (w *world) checkGone(id string) {
	l := w.log(id)
	l.mu.Lock()
	ended, end := l.ended, len(l.entries)
	l.mu.Unlock()
	if !ended {
		w.t.Errorf("the position of %s is forgotten though its log goes on", id)
	}
	w.checkPosition(id, place(end))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[id] = true
}

// checkAccount fails the test unless the account of a container, which has come
// through all lives, tells of each of its lines once.
func (w *world) checkAccount(l *fakeLog) {
	c, ok := w.ended[l.id()]
	if !ok {
		w.t.Errorf("the account of %s is not kept", l.id())
		return
	}
	var wanted, left record.Count
	for _, e := range l.entries {
		n := record.Count{Lines: 1, Bytes: int64(len(e.text))}
		switch {
		case e.junk:
		case w.wants(e):
			wanted.Add(n)
		default:
			left.Add(n)
		}
	}
	got := c.Delivered
	for _, d := range c.Dropped {
		got.Add(d.Count)
	}
	if w.loose {
		got.Add(c.Filtered)
		wanted.Add(left)
		if got != wanted {
			w.t.Errorf("the account of %s has %+v, there was %+v", l.id(), got, wanted)
		}
		if n := len(w.book.settledSet(l.id())); int64(n) < c.Delivered.Lines {
			w.t.Errorf("the account of %s has %d lines delivered, %d came", l.id(), c.Delivered.Lines, n)
		}
	} else if got != wanted || c.Filtered != left {
		w.t.Errorf("the account of %s has %+v delivered or dropped and %+v filtered, want %+v and %+v", l.id(), got, c.Filtered, wanted, left)
	}
	if !c.Balanced(record.Count{}) {
		w.t.Errorf("the account of %s is not balanced: %+v", l.id(), c)
	}
	generations := record.Account{}
	for _, g := range c.Generations {
		generations.Add(&g.Account)
		if !g.Balanced(record.Count{}) {
			w.t.Errorf("the account of %s in %+v is not balanced: %+v", l.id(), g.Generation, g.Account)
		}
	}
	if sum := generations.Settled(); sum.Lines > c.Read.Lines {
		w.t.Errorf("the generations of %s have %+v, more than %+v", l.id(), sum, c.Read)
	}
}

// checkMessages fails the test when lines were joined that do not follow each
// other in one stream of one container, or were joined out of order.
func (w *world) checkMessages() {
	for _, message := range w.book.joined {
		id, last := parseLine(message[0])
		entries := w.log(id).entries
		for _, text := range message[1:] {
			other, n := parseLine(text)
			between := func(e entry) bool { return !e.junk && e.stream == entries[last].stream }
			if other != id || n <= last || entries[n].stream != entries[last].stream || slices.ContainsFunc(entries[last+1:n], between) {
				w.t.Errorf("%q was joined", message)
				break
			}
			if !strings.HasSuffix(text, "+") {
				w.t.Errorf("%q begins a message and was joined in %q", text, message)
			}
			last = n
		}
	}
	if w.joins && len(w.book.joined) == 0 {
		w.t.Error("nothing was joined")
	}
}

// checkOrder fails the test unless the lines of each stream came in order. One
// that was refused and lies behind a message that was open may come later.
func (w *world) checkOrder(l *fakeLog) {
	for stream := range record.Stream(record.Streams) {
		last, seen := -1, make(map[int]bool)
		for _, n := range w.book.has(l.id()) {
			if l.entries[n].stream != stream || seen[n] || w.book.given[l.id()][n] {
				continue
			}
			if seen[n] = true; n < last {
				w.t.Errorf("line %d of %s came behind %d", n, l.id(), last)
			}
			last = n
		}
	}
}
