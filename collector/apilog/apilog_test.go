package apilog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/collector/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine keeps one container's log and answers as an engine does.
type fakeEngine struct {
	// strict leaves out every record that is too old, as engines before 24.0 do.
	strict bool
	tty    bool

	mu      sync.Mutex
	pieces  []piece
	changed chan struct{}
	running bool
	// cutAfter ends each answer with an error after so many bytes; 0 never.
	cutAfter func() int
	err      error
	opened   int
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{changed: make(chan struct{}), running: true}
}

func (e *fakeEngine) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.changed)
	e.changed = make(chan struct{})
}

// write logs a line as the engine cuts it.
func (e *fakeEngine) write(at int64, stream record.Stream, line string) {
	e.change(func() {
		for len(line) >= partSize {
			e.pieces = append(e.pieces, piece{time: at, stream: stream, text: []byte(line[:partSize])})
			line = line[partSize:]
		}
		e.pieces = append(e.pieces, piece{time: at, stream: stream, text: []byte(line), whole: true})
	})
}

func encode(p *piece, tty bool) []byte {
	text := time.Unix(0, p.time).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000000Z ")
	text = append(text, p.text...)
	if p.whole && tty {
		text = append(text, '\r')
	}
	if p.whole {
		text = append(text, '\n')
	}
	if tty {
		return text
	}
	frame := []byte{byte(p.stream) + 1, 0, 0, 0}
	return append(binary.BigEndian.AppendUint32(frame, uint32(len(text))), text...)
}

func (e *fakeEngine) Logs(ctx context.Context, _ string, o engine.LogOptions) (io.ReadCloser, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opened++
	if e.err != nil {
		return nil, e.err
	}
	a := &answer{ctx: ctx, engine: e, options: o, left: -1}
	if o.Last > 0 {
		a.at = max(0, len(e.pieces)-o.Last)
	}
	if e.cutAfter != nil && o.Last == 0 {
		a.left = e.cutAfter()
	}
	return a, nil
}

// answer is one stream of a fakeEngine.
type answer struct {
	ctx     context.Context
	engine  *fakeEngine
	options engine.LogOptions
	at      int
	begun   bool
	rest    []byte
	left    int
}

var errCut = errors.New("the connection was reset")

func (a *answer) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		a.engine.mu.Lock()
		var p *piece
		if a.at < len(a.engine.pieces) {
			p = &a.engine.pieces[a.at]
			a.at++
		}
		running, changed := a.engine.running, a.engine.changed
		a.engine.mu.Unlock()
		switch {
		case p != nil:
			if p.time >= a.options.Since {
				a.begun = true
			} else if !a.begun || a.engine.strict {
				continue
			}
			a.rest = encode(p, a.engine.tty)
		case !a.options.Follow || !running:
			return 0, io.EOF
		default:
			select {
			case <-changed:
			case <-a.ctx.Done():
				return 0, a.ctx.Err()
			}
		}
	}
	n := copy(b, a.rest)
	if a.left >= 0 {
		n = min(n, a.left)
		a.left -= n
		if n == 0 {
			return 0, errCut
		}
	}
	a.rest = a.rest[n:]
	return n, nil
}

func (a *answer) Close() error { return nil }

// agent is a Source with its spool, as one life of a process has it.
type agent struct {
	t      testing.TB
	source *Source
	spool  *spool.Spool
	stop   func()
}

func startAgent(t testing.TB, dir string, e engine.LogReader, change func(*Options)) *agent {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: dir, SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Engine: e, Spool: s, MaxDelay: time.Millisecond}
	if change != nil {
		change(&o)
	}
	a := &agent{t: t, source: New(o), spool: s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.source.Run(ctx)
	}()
	a.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(a.stop)
	return a
}

func (a *agent) log(c *record.Container) collector.Log {
	a.t.Helper()
	l, err := a.source.Log(c)
	if err != nil {
		a.t.Fatal(err)
	}
	return l
}

// line is a record that was read.
type line struct {
	time   int64
	stream record.Stream
	text   string
	cut    bool
}

// tail is a reader that is read by its own test.
type tail struct {
	t testing.TB
	collector.Reader
	wake chan struct{}
	b    *record.Batch
}

func (a *agent) reader(l collector.Log, from record.Position) *tail {
	a.t.Helper()
	r := &tail{t: a.t, wake: make(chan struct{}, 1), b: record.NewBatch()}
	reader, err := l.Reader(from, func() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		a.t.Fatal(err)
	}
	r.Reader = reader
	return r
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// read reads until there are n lines, or to the end of the log.
func (r *tail) read(n int) (lines []line) {
	r.t.Helper()
	deadline := time.After(patience)
	for len(lines) < n {
		err := r.Next(r.b)
		switch {
		case errors.Is(err, io.EOF):
			return lines
		case errors.Is(err, collector.ErrIdle):
			select {
			case <-r.wake:
			case <-deadline:
				r.t.Fatalf("%d lines have come, want %d; the last is %.80v", len(lines), n, fmt.Sprint(lines[max(0, len(lines)-1):]))
			}
		case err != nil:
			r.t.Fatal(err)
		}
		for i := range r.b.Records {
			rec := &r.b.Records[i]
			if err == nil {
				lines = append(lines, line{rec.Time, rec.Stream, string(rec.Line), rec.Cut})
			}
		}
		if err == nil {
			r.Release(r.b.End)
		}
	}
	return lines
}

func texts(lines []line) []string {
	all := make([]string, len(lines))
	for i := range lines {
		all[i] = lines[i].text
	}
	return all
}

func wantTexts(t testing.TB, lines []line, want ...string) {
	t.Helper()
	if got := texts(lines); !slices.Equal(got, want) {
		t.Fatalf("%d lines, want %d: %.200q, want %.200q", len(got), len(want), got, want)
	}
}

const t0 = 1795225145_000000000

func web(running bool) *record.Container {
	c := &record.Container{ID: "web", Name: "web", LogDriver: "local", Running: running}
	if !running {
		c.Finished = time.Unix(1795226000, 0)
	}
	return c
}

func TestFollow(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	e.write(t0+5, record.Stderr, "two")
	a := startAgent(t, t.TempDir(), e, nil)
	l := a.log(web(true))
	r, end := a.reader(l, record.Oldest()), a.reader(l, record.End())
	wantTexts(t, r.read(2), "one", "two")
	e.write(t0+7, record.Stdout, "three")
	e.write(t0+8, record.Stdout, "")
	got := r.read(2)
	wantTexts(t, got, "three", "")
	if got[0].time != t0+7 || got[0].stream != record.Stdout {
		t.Errorf("got %+v", got[0])
	}
	// What was there at first is not for a reader that starts at the end.
	wantTexts(t, end.read(2), "three", "")
	// Stopped, restarted, removed.
	e.change(func() { e.running = false })
	a.log(web(false))
	e.change(func() { e.running = true })
	again := web(true)
	a.log(again)
	e.write(t0+20, record.Stdout, "four")
	wantTexts(t, r.read(1), "four")
	e.change(func() { e.running, e.err = false, engine.ErrNotFound })
	a.source.End("web")
	wantTexts(t, r.read(1))
	wantTexts(t, end.read(2), "four")
}

func TestNoHistory(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	e.write(t0+5, record.Stderr, "two")
	dir := t.TempDir()
	noHistory := func(o *Options) { o.History = func(*record.Container) bool { return false } }
	a := startAgent(t, dir, e, noHistory)
	_ = a.reader(a.log(web(true)), record.Oldest())
	for !a.begun() {
		time.Sleep(time.Millisecond)
	}
	a.stop()
	// From the first meeting on nothing is left out, whoever is there to read.
	e.write(t0+9, record.Stdout, "three")
	a = startAgent(t, dir, e, noHistory)
	r := a.reader(a.log(web(true)), record.Oldest())
	wantTexts(t, r.read(1), "three")
}

func (a *agent) begun() bool {
	l, err := a.spool.Log("web")
	if err != nil {
		a.t.Fatal(err)
	}
	return l.Begun()
}

func TestUnreadable(t *testing.T) {
	e := newFakeEngine()
	e.err = fmt.Errorf("asking: %w", engine.ErrUnreadable)
	a := startAgent(t, t.TempDir(), e, nil)
	for _, driver := range []string{"none", "syslog"} {
		c := &record.Container{ID: driver, LogDriver: driver}
		for range 2 {
			_, err := a.source.Log(c)
			if err == nil || !strings.Contains(err.Error(), driver) || !strings.Contains(err.Error(), "--log-driver=json-file") {
				t.Errorf("%s: %v", driver, err)
			}
		}
	}
	if e.opened != 2 {
		t.Errorf("the engine was asked %d times, want once a container", e.opened)
	}
	if _, err := a.source.Log(&record.Container{ID: "x"}); err == nil {
		t.Error("a container of unknown driver was taken")
	}
}

// What is rotated away while nobody reads is noticed.
func TestGap(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	dir := t.TempDir()
	a := startAgent(t, dir, e, nil)
	wantTexts(t, a.reader(a.log(web(true)), record.Oldest()).read(1), "one")
	a.stop()
	e.change(func() { e.pieces = nil })
	e.write(t0+9e9, record.Stdout, "nine")
	a = startAgent(t, dir, e, nil)
	wantTexts(t, a.reader(a.log(web(true)), record.Oldest()).read(2), "one", "nine")
	if n := a.source.Stats().Gaps.Load(); n != 1 {
		t.Errorf("%d gaps were counted, want 1", n)
	}
}

func TestForgottenWhenNobodyReads(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	var saved []record.Position
	a := startAgent(t, t.TempDir(), e, func(o *Options) {
		o.Keep, o.Saved = time.Nanosecond, func(string) []record.Position { return saved }
	})
	l := a.log(web(true))
	for range 2 {
		r := a.reader(l, record.Oldest())
		wantTexts(t, r.read(1), "one")
		sweep := func() int {
			a.source.Sweep()
			time.Sleep(time.Millisecond) // Longer than it is kept.
			a.source.Sweep()
			return len(a.spool.Containers())
		}
		if sweep() != 1 {
			t.Error("a log that is read was removed")
		}
		saved = []record.Position{r.Position()}
		_ = r.Close()
		if sweep() != 1 {
			t.Error("a log with a saved position was removed")
		}
		saved = nil
		if sweep() != 0 {
			t.Error("a log that nobody reads is kept")
		}
	}
}

func TestOrphans(t *testing.T) {
	e := newFakeEngine()
	e.write(t0, record.Stdout, "one")
	dir := t.TempDir()
	a := startAgent(t, dir, e, nil)
	wantTexts(t, a.reader(a.log(web(true)), record.Oldest()).read(1), "one")
	a.stop()
	e.change(func() { e.err, e.running = engine.ErrNotFound, false })
	a = startAgent(t, dir, e, nil)
	left := a.source.Orphans()
	if len(left) != 1 || left[0].Name != "web" || left[0].Running {
		t.Fatalf("orphans: %+v", left)
	}
	r := a.reader(a.log(left[0]), record.Oldest())
	a.source.End("web")
	wantTexts(t, r.read(2), "one")
}

// The streams are cut at random places, and the process dies at random places:
// every line comes once, in the engine's order, joined as it was.
func TestRandomCuts(t *testing.T) {
	for _, tty := range []bool{false, true} {
		for _, strict := range []bool{false, true} {
			for seed := range uint64(4) {
				t.Run(fmt.Sprintf("tty=%v/strict=%v/%d", tty, strict, seed), func(t *testing.T) {
					testRandomCuts(t, tty, strict, seed)
				})
			}
		}
	}
}

// randomLog fills an engine's log with lines of two streams whose pieces
// alternate, and returns the lines in the order in which they end.
func randomLog(e *fakeEngine, random *rand.Rand, lines, maxLine int) (want []line) {
	var open [record.Streams]struct {
		pieces []piece
		line   line
	}
	at := int64(t0)
	for n := 0; n < lines; {
		i := random.IntN(record.Streams)
		if e.tty {
			i = 0
		}
		o := &open[i]
		if len(o.pieces) == 0 {
			// Now and then a line has been overtaken by others.
			at += int64(random.IntN(3000)) * 1000
			mine := at
			if random.IntN(3) == 0 {
				mine -= int64(random.IntN(8000)) * 1000
			}
			size := random.IntN(200)
			if random.IntN(10) == 0 {
				size = []int{partSize - 1, partSize, partSize + 1, 2 * partSize, 3 * partSize, 60000}[random.IntN(6)]
			}
			text := fmt.Sprintf("%d ", n)
			text += strings.Repeat("x", max(0, size-len(text)))
			n++
			o.line = line{mine, record.Stream(i), text[:min(len(text), maxLine)], len(text) > maxLine}
			for ; len(text) >= partSize; text = text[partSize:] {
				o.pieces = append(o.pieces, piece{time: mine, stream: o.line.stream, text: []byte(text[:partSize])})
			}
			o.pieces = append(o.pieces, piece{time: mine, stream: o.line.stream, text: []byte(text), whole: true})
		}
		for k := 1 + random.IntN(3); k > 0 && len(o.pieces) > 0; k-- {
			e.pieces = append(e.pieces, o.pieces[0])
			o.pieces = o.pieces[1:]
			// A line that is too long is complete when it is.
			if got := 60000 - 60000%partSize; o.line.cut && len(o.pieces) == (60000-got)/partSize ||
				!o.line.cut && len(o.pieces) == 0 {
				want = append(want, o.line)
			}
		}
	}
	return want
}

func testRandomCuts(t *testing.T, tty, strict bool, seed uint64) {
	t.Parallel()
	random := rand.New(rand.NewPCG(seed, 1))
	e := newFakeEngine()
	e.tty, e.strict = tty, strict
	// The longest line is cut with its last piece, the fourth.
	const maxLine = 50000
	want := randomLog(e, random, 600, maxLine)
	var mu sync.Mutex
	cuts := rand.New(rand.NewPCG(seed, 2))
	e.cutAfter = func() int {
		mu.Lock()
		defer mu.Unlock()
		return 200000 + cuts.IntN(500000)
	}
	dir := t.TempDir()
	var got []line
	var saved record.Position
	c := web(true)
	c.TTY = tty
	for len(got) < len(want) {
		a := startAgent(t, dir, e, func(o *Options) { o.MaxLine = maxLine })
		r := a.reader(a.log(c), saved)
		got = append(got, r.read(min(1+random.IntN(250), len(want)-len(got)))...)
		saved = r.Position()
		// The process dies here: the next one finds what is on disk now.
		next := t.TempDir()
		if err := os.CopyFS(next, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		a.stop()
		dir = next
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d is %.60v, want %.60v", i, fmt.Sprint(got[i]), fmt.Sprint(want[i]))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
}
