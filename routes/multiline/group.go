package multiline

// The most that is joined to one message: more goes to another.
const (
	MaxLines = 1000
	MaxBytes = 256 << 10
)

// keptBytes is how much memory of a message that is over is kept for the next.
const keptBytes = 64 << 10

// Group is the message of one stream that is being put together. Its zero value
// is empty.
type Group struct {
	// Time is the engine's time of the first line, Last that of the last, in
	// nanoseconds since the Unix epoch. Cut says that a line had lost its end.
	Time, Last int64
	Cut        bool

	state state
	lines int
	// borrowed says that single is the only line so far, in the caller's memory;
	// else text has all of them.
	borrowed bool
	single   []byte
	text     []byte
}

// Lines returns how many lines the message has.
func (g *Group) Lines() int { return g.lines }

// Next says what a line is: with joins it belongs to the message, else it begins
// another, after this one was taken. Then it is to be given to Add, with next.
func (g *Group) Next(r *Rule, separator string, line []byte) (next Step, joins bool) {
	state, joins, ends := r.next(g.state, line)
	if g.lines == MaxLines || g.lines > 0 && g.size()+len(separator)+len(line) > MaxBytes {
		joins = false
	}
	return Step{state, ends}, joins
}

// Step is what a line does to a message.
type Step struct {
	state state
	// Ends says that the line is the last of its message.
	Ends bool
}

func (g *Group) size() int {
	if g.borrowed {
		return len(g.single)
	}
	return len(g.text)
}

// Add adds a line. It is the caller's memory, and has to last until Take or Keep.
func (g *Group) Add(step Step, separator string, line []byte, at int64, cut bool) {
	g.state = step.state
	g.lines++
	g.Last = at
	g.Cut = g.Cut || cut
	if g.lines == 1 {
		g.Time, g.single, g.borrowed = at, line, true
		return
	}
	g.Keep()
	g.text = append(append(g.text, separator...), line...)
}

// Keep copies what is in the caller's memory.
func (g *Group) Keep() {
	if g.borrowed {
		g.text = append(g.text[:0], g.single...)
		g.single, g.borrowed = nil, false
	}
}

// Take empties the group and returns the message: a line that is alone in the
// caller's own memory, anything else appended to buf, which is returned too.
func (g *Group) Take(buf []byte) (message, grown []byte) {
	message = g.single
	if !g.borrowed {
		start := len(buf)
		buf = append(buf, g.text...)
		message = buf[start:len(buf):len(buf)]
	}
	g.Discard()
	return message, buf
}

// Discard empties the group.
func (g *Group) Discard() {
	if cap(g.text) > keptBytes {
		g.text = nil
	}
	*g = Group{text: g.text[:0]}
}
