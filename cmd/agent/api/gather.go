package api

import (
	"cmp"
	"encoding/json"
	"slices"

	"tallyman/collector/history"
	"tallyman/collector/record"
)

// gathering is the memory in which lines are gathered for a client. It is shared
// by all clients, none of which has it while it waits.
type gathering struct {
	batch *record.Batch
	// text holds the lines as they are sent, pieces where each of them is.
	text   []byte
	pieces []piece
}

type piece struct {
	at       int64
	from, to int
}

func newGathering() *gathering {
	return &gathering{batch: &record.Batch{Block: make([]byte, streamBlock)}}
}

// gathering returns one that is empty, which the caller puts back.
func (a *Server) gathering() *gathering {
	g := a.gatherings.Get().(*gathering)
	g.text, g.pieces = g.text[:0], g.pieces[:0]
	return g
}

// add adds a line, as JSON or in another format.
func (g *gathering) add(format Format, l *history.Line) {
	from := len(g.text)
	if format == nil {
		g.text = appendLine(g.text, l)
	} else {
		g.text = format.AppendRecord(g.text, l.Container, &l.Record)
	}
	g.pieces = append(g.pieces, piece{l.Time, from, len(g.text)})
}

// put makes an event of the lines that were gathered, in the order of time.
func (s *logStream) put(g *gathering) {
	if len(g.pieces) == 0 {
		return
	}
	slices.SortStableFunc(g.pieces, func(a, b piece) int { return cmp.Compare(a.at, b.at) })
	if s.format != nil {
		for _, p := range g.pieces {
			s.out.buf = append(s.out.buf, g.text[p.from:p.to]...)
		}
		g.text, g.pieces = g.text[:0], g.pieces[:0]
		return
	}
	b := s.begin("batch")
	b = append(b, `{"lines":[`...)
	for i, p := range g.pieces {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, g.text[p.from:p.to]...)
	}
	s.out.buf = append(b, "]}\n\n"...)
	g.text, g.pieces = g.text[:0], g.pieces[:0]
}

// begin begins an event, with the cursor as its ID where it has lines, and where
// there have been none so far: a client that is cut off goes on behind it.
func (s *logStream) begin(name string) []byte {
	b := s.out.buf
	if name == "batch" || name == "ping" {
		b = append(append(append(b, "id: "...), s.cursor.String()...), '\n')
	}
	return append(append(append(b, "event: "...), name...), "\ndata: "...)
}

// dropped tells that lines of a container are missing; nobody knows how many where
// lines is below zero.
func (s *logStream) dropped(id string, lines int64) {
	switch {
	case s.format != nil && lines > 0:
		s.out.buf = s.format.AppendLost(s.out.buf, lines)
	case lines < 0:
		s.event("dropped", map[string]any{"lines": nil, "container": id})
	default:
		s.event("dropped", map[string]any{"lines": lines, "container": id})
	}
}

// event adds an event to what is sent. Other formats have none.
func (s *logStream) event(name string, data any) {
	if s.format != nil {
		return
	}
	text, err := json.Marshal(data)
	if err != nil {
		return // Only what has no JSON, which nothing here is.
	}
	s.out.buf = append(append(s.begin(name), text...), "\n\n"...)
}
