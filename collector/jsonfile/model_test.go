package jsonfile

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"tallyman/collector"
	"tallyman/collector/record"
)

// regressions are seeds with which the model has found a mistake.
var regressions = []uint64{33, 35, 38, 41, 48, 54, 59}

// TestReaderModel lets a random container write, rotate, compress, end, be started
// again and be removed, and someone truncate its file, while a reader follows, is
// moved back, is killed and resumes from a position that it has given; and compares
// the lines of each stream with what was written.
func TestReaderModel(t *testing.T) {
	seeds := uint64(8)
	if os.Getenv("TALLYMAN_SOAK") != "" {
		seeds = 500
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
	}
	for _, seed := range regressions {
		t.Run(fmt.Sprint("regression ", seed), func(t *testing.T) { runModel(t, seed) })
	}
}

// longText returns n bytes with many escapes, no part of which is like another.
func longText(seed, n int) string {
	var text []byte
	for i := 0; len(text) < n; i++ {
		text = fmt.Appendf(text, "%d\"%d\t", seed, i)
	}
	return string(text[:n]) + "."
}

// model is a container, the agent, and what the one has written and the other has
// read.
type model struct {
	t      *testing.T
	random *rand.Rand
	w      *writer
	root   *Root
	l      *Log
	r      collector.Reader
	b      *record.Batch
	vault  string

	// kills says that the agent is killed now and then, deaths that the container
	// is, truncations that its file is truncated.
	kills, deaths, truncations bool
	// maxLine is the longest line, parts how many parts long ones have at most.
	maxLine, parts int
	// dead says that the container does not run.
	dead bool
	// news is what the engine would tell of the container and nobody has asked
	// yet, oldest first.
	news []*record.Container
	// open are lines that have begun, with what is still to be written of them. over
	// says that so much has been written that the line is cut.
	open [record.Streams]struct {
		text, rest string
		at         time.Time
		over       bool
	}
	// lines numbers the lines. wrote and read have them by stream, order and seen
	// in the order in which they end.
	lines       int
	wrote, read [record.Streams][]string
	order, seen []string
}

func runModel(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	m := &model{t: t, random: random, b: record.NewBatch()}
	m.w = newWriter(t, t.TempDir())
	m.w.compress, m.deaths = m.one(2), m.one(2)
	m.maxLine, m.parts = DefaultMaxLine, 6
	if !slices.Contains(regressions, seed) && seed%2 == 0 {
		m.maxLine, m.parts = 4*partSize+int(seed)*997%(2*partSize), 12
	}
	switch random.IntN(3) {
	case 0:
		// What dockerd deletes has been copied.
		m.vault, m.kills = t.TempDir(), true
		m.w.maxFile = 3 + random.IntN(2)
	case 1:
		// Nothing is deleted.
		m.w.maxFile, m.kills = 1000, true
	default:
		// A position in a file that was truncated is of no use.
		m.truncations = true
	}
	t.Logf("lines of %d, files %d, compressed %v, copies %v, kills %v, deaths %v, truncations %v",
		m.maxLine, m.w.maxFile, m.w.compress, m.vault != "", m.kills, m.deaths, m.truncations)
	m.b.Block = m.b.Block[:64<<10+random.IntN(64<<10)]
	m.openLog()
	m.openReader(record.Oldest())
	for range 250 {
		switch random.IntN(24) {
		case 0, 1:
			m.rotate()
		case 2:
			m.die()
		case 3:
			m.truncate()
		case 4, 5, 6:
			m.drain()
		case 7:
			m.tell()
		default:
			m.write()
		}
	}
	removed, before := m.one(3), len(m.order)
	m.end()
	if removed {
		m.w.remove()
		m.l.End()
		m.root.rescue(m.l)
	}
	for len(m.news) > 0 {
		m.tell()
	}
	m.l.look()
	if ended := m.drain(); ended != removed {
		t.Fatalf("the log has ended: %v", ended)
	}
	for i := range m.wrote {
		wantLines(t, m.read[i], m.wrote[i])
	}
	// A line without an end is given out when that is known, which may be after
	// lines of the other stream.
	if !m.deaths {
		wantLines(t, m.seen[:before], m.order[:before])
	}
	_ = m.r.Close()
	m.root.drop(m.w.id)
}

// one is true once in n times.
func (m *model) one(n int) bool { return m.random.IntN(n) == 0 }

// now is what the engine tells of the container if it is asked now.
func (m *model) now() *record.Container {
	c := running(m.w.id)
	c.Running, c.AsOf = !m.dead, m.w.tick()
	return c
}

// tell has the agent learn the oldest of the news.
func (m *model) tell() {
	if len(m.news) > 0 {
		m.l.SetContainer(m.news[0])
		m.news = m.news[1:]
	}
}

// openLog begins a life of the agent.
func (m *model) openLog() {
	root, err := Open(Options{Dir: m.w.root(), TempDir: m.t.TempDir(), Poll: time.Hour, RescueDir: m.vault, MaxLine: m.maxLine})
	if err != nil {
		m.t.Fatal(err)
	}
	m.root, m.news = root, nil
	m.l = mustLog(m.t, root, m.now())
	if m.one(2) {
		// No further routes are expected.
		m.l.openedLongAgo()
	}
}

func (m *model) openReader(from record.Position) { m.r = openReader(m.t, m.l, from) }

// ends takes in that a line has come to its end.
func (m *model) ends(stream record.Stream, text string) {
	m.wrote[stream] = append(m.wrote[stream], text)
	m.order = append(m.order, text)
}

// write writes a record: a whole line, or the next part of one.
func (m *model) write() {
	if m.dead {
		m.dead = false
		m.news = append(m.news, m.now())
	}
	stream := record.Stream(m.random.IntN(record.Streams))
	p := &m.open[stream]
	if p.text == "" {
		m.lines++
		if !m.one(4) {
			text := fmt.Sprintf("%d %v", m.lines, stream)
			m.w.line(text, stream)
			m.ends(stream, text)
			return
		}
		p.text = longText(m.lines, m.random.IntN(m.parts*partSize))
		p.rest, p.at, p.over = p.text, m.w.tick(), false
	}
	if len(p.rest) >= partSize {
		m.w.write(p.rest[:partSize], stream, p.at)
		m.wroteOf(stream, partSize)
		return
	}
	m.w.write(p.rest+"\n", stream, p.at)
	m.wroteOf(stream, len(p.rest))
	if !p.over {
		m.ends(stream, p.text)
	}
	p.text = ""
}

// wroteOf takes in that n bytes more have been written of a line, which is given
// out when it is too long.
func (m *model) wroteOf(stream record.Stream, n int) {
	p := &m.open[stream]
	p.rest = p.rest[n:]
	if !p.over && len(p.text)-len(p.rest) > m.maxLine {
		p.over = true
		m.ends(stream, p.text[:m.maxLine])
	}
}

// die ends the container's run, which has the engine write what it has of a line.
// The agent learns it now or later, or when the container has long been started
// again.
func (m *model) die() {
	if !m.deaths || m.dead {
		return
	}
	m.end()
	if m.one(2) {
		m.tell()
	}
}

func (m *model) end() {
	for i := range m.open {
		p, stream := &m.open[i], record.Stream(i)
		if p.text == "" {
			continue
		}
		if n := min(len(p.rest), partSize); n > 0 && m.one(2) {
			n = m.random.IntN(n)
			if n > 0 {
				m.w.write(p.rest[:n], stream, p.at)
			}
			m.wroteOf(stream, n)
		}
		if text := p.text[:len(p.text)-len(p.rest)]; text != "" && !p.over {
			m.ends(stream, text)
		}
		p.text = ""
	}
	m.dead = true
	m.news = append(m.news, m.now())
}

// rotate rotates once, or twice between two looks of the agent. dockerd rotates a
// file that is full, never an empty one.
func (m *model) rotate() {
	if m.dead {
		return
	}
	m.write()
	m.w.rotate()
	if m.one(3) {
		m.write()
		m.w.rotate()
	}
	m.l.look()
	m.root.rescue(m.l)
	m.drain()
}

// truncate empties the file under dockerd, when all of it has been read. dockerd
// goes on at its beginning or, without O_APPEND, where it was. What is still to
// come of a line that has begun is then a line of its own.
func (m *model) truncate() {
	if !m.truncations {
		return
	}
	m.drain()
	if m.r.(*Reader).off == 0 {
		// There is nothing to cut.
		return
	}
	for i := range m.open {
		p := &m.open[i]
		parts := m.r.(*Reader).joiner.parts()
		if parts != nil && parts[i].active && p.text == "" || p.text != "" && p.rest == "" {
			// It has ended, and nobody has told the reader yet; or only its line feed
			// is to come.
			return
		}
	}
	for i := range m.open {
		if p := &m.open[i]; p.text != "" {
			p.text, p.over = p.rest, false
		}
	}
	off := m.r.(*Reader).off
	m.w.must(os.Truncate(m.w.path(0), 0))
	// The names of two files that begin with so many NUL bytes are the same.
	if m.one(2) || off >= headMax {
		_, err := m.w.file.Seek(0, io.SeekStart)
		m.w.must(err)
		if off > 4<<10 && !m.dead {
			m.lines++
			text := fmt.Sprint("after the truncation, ", m.lines)
			m.w.line(text, record.Stderr)
			m.ends(record.Stderr, text)
		}
	}
	m.drain()
}

// drain reads until there is nothing more, and now and then fails on the way. It
// reports whether the log has ended.
func (m *model) drain() bool {
	for {
		err := m.r.Next(m.b)
		if errors.Is(err, collector.ErrIdle) {
			return false
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			m.t.Fatalf("reading: %v", err)
		}
		n := len(m.b.Records)
		if n == 0 || !m.one(6) {
			m.take(n)
			m.r.Release(m.b.End)
			continue
		}
		// What a failure after some of the batch would resume from.
		k := m.random.IntN(n + 1)
		m.take(k)
		at := m.b.Start
		at.Skip += uint32(k)
		if k > 0 && m.one(2) {
			last := m.b.Records[k-1]
			at = record.Position{Gen: m.b.End.Gen, Off: last.Resume, Skip: last.Skip}
		}
		if m.kills && m.one(2) {
			m.kill(at)
		} else if err := m.r.Seek(at); err != nil {
			m.t.Fatalf("seeking: %v", err)
		}
	}
}

func (m *model) take(n int) {
	for _, rec := range m.b.Records[:n] {
		text := string(rec.Line)
		m.read[rec.Stream] = append(m.read[rec.Stream], text)
		m.seen = append(m.seen, text)
	}
}

// kill ends the agent, by SIGKILL or in good order, and begins its next life. The
// container goes on meanwhile, without that a file is deleted that was the newest.
func (m *model) kill(at record.Position) {
	if m.vault == "" || m.one(2) {
		_ = m.r.Close()
	}
	m.l.close()
	for range m.random.IntN(m.w.maxFile) % 4 {
		if !m.dead {
			m.write()
			m.w.rotate()
		}
	}
	ended := m.l.ended.Load()
	m.openLog()
	if ended {
		m.l.End()
	}
	m.openReader(at)
	m.root.rescue(m.l)
}
