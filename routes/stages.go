package routes

import (
	"strconv"
	"time"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
	"tallyman/routes/lines"
	"tallyman/routes/multiline"
)

// noticeEvery is how often at most a route says in a container's log how many
// lines the rate limit has held back.
const noticeEvery = 10 * time.Second

// limiter is the state of a rate limit.
type limiter struct {
	bucket lines.Bucket
	// heldBack counts the lines held back that were not told of, since that time
	// of the engine's; last is the time of the last, in stream.
	heldBack    int64
	since, last int64
	stream      record.Stream
}

// message is what is being put together of one stream.
type message struct {
	multiline.Group
	// own are the lines of the batch that is being read, by their place in it;
	// carried those of flights before. read is when the last was read, resume and
	// skip are its place in the log.
	own     []uint32
	carried []carry
	read    time.Time
	resume  int64
	skip    uint32
}

// stages do with the lines of one container what the plan says. They belong to
// the route's own goroutine.
type stages struct {
	*plan
	// messages has one for each stream, none where no lines are joined.
	messages []message
	limiter
	// before is the limiter as it was before the batch.
	before limiter
	// told is when the last line was held back.
	told time.Time
	// renamed is the container with its alias, of is what it was made from.
	renamed, of *record.Container
	timer       *time.Timer
	*desk
}

func newStages(p *plan, d *desk) *stages {
	s := &stages{plan: p, desk: d}
	if p.multiline.Rule != nil {
		s.messages = make([]message, record.Streams)
	}
	return s
}

// desk is what a route's stages work with while a batch is read.
type desk struct {
	// manifest is what becomes of the batch's lines, records what will be sent;
	// lines that are altered or joined are in text.
	manifest *manifest
	records  []record.Record
	text     []byte
	redacted int64
}

// keptRecords is how many records a route keeps memory for while it is idle.
const keptRecords = 64

func (d *desk) trim() {
	if cap(d.records) > keptRecords {
		d.records = nil
	}
}

// run puts in place of a batch's records what is to be sent of them and enters
// in the manifest what becomes of each. What it makes is valid until finish.
func (s *stages) run(b *record.Batch, m *manifest) {
	s.begin(b, m)
	var now time.Time
	if s.multiline.Rule != nil {
		now = time.Now()
	}
	for i := range b.Records {
		rec := &b.Records[i]
		if s.unwanted[rec.Stream] || rec.Time < s.notBefore {
			m.slots = append(m.slots, slotFiltered)
			continue
		}
		if s.ansi && lines.HasANSI(rec.Line) {
			start := len(s.text)
			s.text = lines.AppendPlain(s.text, rec.Line)
			rec.Line = s.text[start:len(s.text):len(s.text)]
		}
		if s.multiline.Rule != nil {
			s.join(rec, uint32(i), now)
			continue
		}
		slot := s.judge(rec, 1)
		m.slots = append(m.slots, slot)
		if slot < lastSlot {
			m.sizes[slot] = size{1, m.lengths[i]}
		}
	}
	for i, slot := range m.slots {
		if slot > lastSlot {
			m.enter(slot, record.Count{Lines: 1, Bytes: int64(m.lengths[i])})
		}
	}
	s.end(b)
}

func (s *stages) begin(b *record.Batch, m *manifest) {
	m.staged = true
	s.manifest, s.before = m, s.limiter
	s.records = s.records[:0]
	if s.alters() {
		s.text = b.TakeBuffer()
	}
	if s.alias != "" {
		if s.of != b.Container {
			renamed := *b.Container
			renamed.Name = s.alias
			s.renamed, s.of = &renamed, b.Container
		}
		b.Container = s.renamed
	}
}

func (s *stages) end(b *record.Batch) {
	if s.text != nil {
		b.KeepBuffer(s.text)
	}
	s.text, s.manifest = nil, nil
	b.Records, s.records = s.records, b.Records
}

// finish counts what was done to a batch that is about to be sent.
func (s *stages) finish(stats *Stats) {
	if s.redacted > 0 {
		stats.count("redacted", s.redacted)
		s.redacted = 0
	}
}

// join adds a line to its stream's message.
func (s *stages) join(rec *record.Record, place uint32, now time.Time) {
	for stream := range s.messages {
		// What comes late begins anew, also when it is read at once.
		if g := &s.messages[stream]; g.Lines() > 0 && rec.Time-g.Last > int64(s.multiline.Wait) {
			s.complete(record.Stream(stream))
		}
	}
	g := &s.messages[rec.Stream]
	step, joins := g.Next(s.multiline.Rule, s.multiline.Separator, rec.Line)
	if !joins && g.Lines() > 0 {
		s.complete(rec.Stream)
	}
	g.Add(step, s.multiline.Separator, rec.Line, rec.Time, rec.Cut)
	g.own = append(g.own, place)
	g.read, g.resume, g.skip = now, rec.Resume, rec.Skip
	s.manifest.slots = append(s.manifest.slots, slotHeld)
	if step.Ends {
		s.complete(rec.Stream)
	}
}

// complete judges a stream's message, and all of its lines with it.
func (s *stages) complete(stream record.Stream) {
	g := &s.messages[stream]
	// The place tells it from a message of the same time, and from one that has
	// more lines when they are read again.
	rec := record.Record{Time: g.Time, Stream: stream, Cut: g.Cut, Resume: g.resume, Skip: g.skip}
	n := int64(g.Lines())
	rec.Line, s.text = g.Take(s.text)
	slot := s.judge(&rec, n)
	m := s.manifest
	for _, place := range g.own {
		m.slots[place] = slot
		if slot < lastSlot {
			m.sizes[slot].lines++
			m.sizes[slot].bytes += m.lengths[place]
		}
	}
	for _, c := range g.carried {
		c.slot = slot
		m.carried = append(m.carried, c)
	}
	g.forget()
}

// forget lets go of a message that is complete or taken back.
func (g *message) forget() {
	g.Discard()
	clear(g.carried)
	g.own, g.carried = g.own[:0], g.carried[:0]
}

// judge decides on a message of n lines: it takes its place among what is sent,
// or returns why it does not.
func (s *stages) judge(rec *record.Record, n int64) uint32 {
	if s.leavesOut(rec) {
		return slotFiltered
	}
	if !s.sample.Has(rec.Time) {
		return slotSampled
	}
	if s.rate.Lines > 0 {
		if !s.bucket.Take(s.rate, rec.Time) {
			s.holdBack(rec, n)
			return slotRate
		}
		if s.heldBack > 0 && rec.Time-s.since >= int64(noticeEvery) {
			s.notice()
		}
	}
	if s.redact != nil {
		var plain []byte
		before := len(s.text)
		plain, s.text = s.redact.Redact(s.text, rec.Line)
		if len(s.text) > before {
			s.redacted++
		}
		rec.Line = plain
	}
	return s.place(rec)
}

// leavesOut reports whether the filter does not want a line.
func (s *stages) leavesOut(rec *record.Record) bool {
	return s.include != nil && !s.include.Match(rec.Line) ||
		s.exclude != nil && s.exclude.Match(rec.Line) ||
		s.level != level.Unknown && levelOf(rec) < s.level
}

// levelOf returns the level that a line names, or else that of its stream: the
// one by which syslog sends it.
func levelOf(rec *record.Record) level.Level {
	if l := level.Detect(rec.Line); l != level.Unknown {
		return l
	}
	if rec.Stream == record.Stderr {
		return level.Error
	}
	return level.Info
}

// leaveOut counts the lines of a batch that the filter does not want and takes
// them out. Lines are looked at one by one.
func (s *stages) leaveOut(b *record.Batch) record.Count {
	var left record.Count
	kept := b.Records[:0]
	for i := range b.Records {
		rec := &b.Records[i]
		if s.unwanted[rec.Stream] || rec.Time < s.notBefore || s.leavesOut(rec) {
			left.Add(record.Count{Lines: 1, Bytes: int64(len(rec.Line))})
			continue
		}
		kept = append(kept, *rec)
	}
	b.Records = kept
	return left
}

// place takes a record in among those that are sent.
func (s *stages) place(rec *record.Record) uint32 {
	s.records = append(s.records, *rec)
	s.manifest.sizes = append(s.manifest.sizes, size{})
	return uint32(len(s.records) - 1)
}

// holdBack counts what the rate limit does not let pass.
func (s *stages) holdBack(rec *record.Record, n int64) {
	if s.heldBack == 0 {
		s.since = rec.Time
		s.told = time.Now()
	}
	s.heldBack += n
	s.last, s.stream = rec.Time, rec.Stream
}

// notice places a line that says how many were held back.
func (s *stages) notice() {
	start := len(s.text)
	s.text = append(s.text, "tallyman: "...)
	s.text = strconv.AppendInt(s.text, s.heldBack, 10)
	s.text = append(s.text, " lines held back, since there were more than "...)
	s.text = append(s.text, s.rate.String()...)
	s.place(&record.Record{Time: s.last, Stream: s.stream, Line: s.text[start:len(s.text):len(s.text)]})
	s.heldBack = 0
}
