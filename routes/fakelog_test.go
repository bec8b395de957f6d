package routes_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// perFile is how many entries a generation of a fakeLog has.
const perFile = 50

// entry is one line of a fakeLog, or damage that a reader passes over.
type entry struct {
	text   string
	stream record.Stream
	junk   bool
	// at is the engine's time, that of the entry's number when 0.
	at time.Duration
}

// fakeLog is a Log in memory. Its readers check that they are used as the
// interface says.
type fakeLog struct {
	t         *testing.T
	container atomic.Pointer[record.Container]
	// block is how many entries a reader takes in one turn, and timeOf the time
	// of an entry.
	block  int
	timeOf func(n int) int64

	// using is held by all methods of readers and, as with real logs, while
	// changed is called.
	using sync.Mutex
	// mu guards all below. It is taken after using.
	mu      sync.Mutex
	entries []entry
	ended   bool
	readers map[*fakeReader]struct{}
	opened  int
	reads   int
	// openErr, readErr and seekErr fail the calls of that name.
	openErr, readErr, seekErr error
	// unsettled says that readers that begin at the end have no place yet.
	unsettled bool
	// lost says that every place was rotated away, until that was noticed.
	lost bool
	// floor is before which entry everything is given up; onGiveUp is told of
	// the lines that a reader gets so marked.
	floor    int
	onGiveUp func(lines []string)
	// onLag is called by the next Lag before it looks.
	onLag func()
}

func newLog(t *testing.T, c record.Container) *fakeLog {
	l := &fakeLog{t: t, block: 10, readers: make(map[*fakeReader]struct{})}
	l.timeOf = func(n int) int64 { return int64(1000 + n) }
	l.container.Store(&c)
	return l
}

func (l *fakeLog) Container() *record.Container { return l.container.Load() }

func (l *fakeLog) id() string { return l.Container().ID }

// change changes the log and tells its readers.
func (l *fakeLog) change(f func()) {
	l.using.Lock()
	defer l.using.Unlock()
	l.mu.Lock()
	f()
	readers := maps.Clone(l.readers)
	l.mu.Unlock()
	for r := range readers {
		r.changed()
	}
}

// lock is for the methods of readers.
func (l *fakeLog) lock() (unlock func()) {
	l.using.Lock()
	l.mu.Lock()
	return func() { l.mu.Unlock(); l.using.Unlock() }
}

func (l *fakeLog) add(entries ...entry) {
	l.change(func() { l.entries = append(l.entries, entries...) })
}

// write appends n numbered lines to stdout.
func (l *fakeLog) write(n int) {
	l.change(func() {
		for range n {
			l.entries = append(l.entries, entry{text: line(l.id(), len(l.entries))})
		}
	})
}

// end says that the container has been removed.
func (l *fakeLog) end() { l.change(func() { l.ended = true }) }

func (l *fakeLog) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.readers)
}

// line is the text of entry n of a container's log.
func line(id string, n int) string { return fmt.Sprintf("%s:%d", id, n) }

func parseLine(text string) (id string, n int) {
	id, digits, _ := strings.Cut(text, ":")
	if _, err := fmt.Sscan(digits, &n); err != nil {
		panic(err)
	}
	return id, n
}

// place returns the position of an entry.
func place(n int) record.Position {
	inode := uint64(1 + n/perFile)
	return record.Position{Gen: record.Generation{Inode: inode, Len: 1, Sum: inode}, Off: int64(n % perFile)}
}

// index returns the entry at a position, false when there is none.
func (l *fakeLog) indexLocked(p record.Position) (int, bool) {
	if p.IsOldest() {
		return 0, true
	}
	if n, ok := p.FromEnd(); ok || p.IsEnd() {
		return max(0, len(l.entries)-int(n)), true
	}
	if p.Gen.Inode == 0 || l.lost {
		return 0, false
	}
	n := int(p.Gen.Inode-1)*perFile + int(p.Off)
	for skip := p.Skip; skip > 0; n++ {
		if n >= len(l.entries) {
			return 0, false
		}
		if !l.entries[n].junk {
			skip--
		}
	}
	return n, n <= len(l.entries)
}

func (l *fakeLog) Reader(from record.Position, changed func()) (collector.Reader, error) {
	defer l.lock()()
	l.opened++
	if l.openErr != nil {
		return nil, l.openErr
	}
	r := &fakeReader{log: l, changed: changed}
	l.readers[r] = struct{}{}
	at, ok := l.indexLocked(from)
	r.at, r.released = at, at
	if r.cursor = place(at); len(l.entries) == 0 {
		// There is no file yet, and so no place in one.
		r.cursor = record.Oldest()
	}
	if l.unsettled {
		r.cursor, r.waits = record.Oldest(), true
	}
	if !ok {
		l.lost = false
		return r, &collector.LostError{Position: from}
	}
	return r, nil
}

// fakeReader is a cursor in a fakeLog.
type fakeReader struct {
	log     *fakeLog
	changed func()
	inUse   atomic.Bool
	closed  atomic.Bool

	// cursor is used by one goroutine at a time. The log's mutex guards at,
	// released and waits, which says that the cursor waits for its place.
	cursor       record.Position
	at, released int
	waits        bool
}

// use fails the test when the reader is used by two at once or after Close.
func (r *fakeReader) use() func() {
	if r.inUse.Swap(true) {
		r.log.t.Error("a reader is used by two goroutines at once")
	}
	if r.closed.Load() {
		r.log.t.Error("a reader is used after it was closed")
	}
	return func() { r.inUse.Store(false) }
}

func (r *fakeReader) Next(b *record.Batch) error {
	defer r.use()()
	l := r.log
	defer l.lock()()
	l.reads++
	if l.readErr != nil {
		return l.readErr
	}
	if r.waits && l.unsettled {
		return collector.ErrIdle
	}
	if r.waits {
		r.cursor, r.waits = place(r.at), false
	}
	b.Reset()
	b.Container, b.Start = l.Container(), r.cursor
	if r.at == len(l.entries) {
		if l.ended {
			return io.EOF
		}
		return collector.ErrIdle
	}
	block := b.Block[:0]
	var lines []string
	b.GivenUp = r.at < l.floor
	for range l.block {
		if r.at == len(l.entries) {
			break
		}
		e := l.entries[r.at]
		if !e.junk {
			from := len(block)
			block = append(block, e.text...)
			lines = append(lines, e.text)
			b.Records = append(b.Records, record.Record{
				Time: cmp.Or(int64(e.at), l.timeOf(r.at)), Line: block[from:], Stream: e.stream, Resume: int64(r.at) + 1,
			})
		}
		r.at++
	}
	r.cursor = place(r.at)
	b.End, b.More = r.cursor, r.at < len(l.entries) || l.ended
	if b.GivenUp && l.onGiveUp != nil {
		l.onGiveUp(lines)
	}
	return nil
}

func (r *fakeReader) Seek(to record.Position) error {
	defer r.use()()
	l := r.log
	defer l.lock()()
	if l.seekErr != nil {
		return l.seekErr
	}
	at, ok := l.indexLocked(to)
	if !ok {
		r.at, r.cursor, r.released, l.lost = 0, place(0), 0, false
		return &collector.LostError{Position: to}
	}
	if at < r.released || at > r.at {
		l.t.Errorf("a reader at %d that was released to %d is to go back to %d", r.at, r.released, at)
	}
	r.at, r.cursor = at, to
	return nil
}

func (r *fakeReader) Release(to record.Position) {
	defer r.use()()
	defer r.log.lock()()
	if r.waits {
		return
	}
	at, ok := r.log.indexLocked(to)
	if !ok || at > r.at || at < r.released {
		r.log.t.Errorf("a reader at %d that was released to %d is released to %v", r.at, r.released, to)
	}
	r.released = at
}

func (r *fakeReader) GivenUp(from record.Position) bool {
	defer r.log.lock()()
	at, ok := r.log.indexLocked(from)
	return ok && at < r.log.floor
}

func (r *fakeReader) Position() record.Position { return r.cursor }

// Lag is the number of entries behind a position; of one that has been let go
// it knows nothing.
func (r *fakeReader) Lag(from record.Position) int64 {
	r.log.mu.Lock()
	hook := r.log.onLag
	r.log.onLag = nil
	r.log.mu.Unlock()
	if hook != nil {
		hook()
	}
	defer r.log.lock()()
	at, ok := r.log.indexLocked(from)
	if !ok || at/perFile < r.released/perFile {
		return 0
	}
	return int64(len(r.log.entries) - at)
}

func (r *fakeReader) Close() error {
	defer r.use()()
	r.closed.Store(true)
	defer r.log.lock()()
	delete(r.log.readers, r)
	return nil
}

var errBroken = errors.New("broken on purpose")
