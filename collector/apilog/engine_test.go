package apilog

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"tallyman/collector/engine"
	"tallyman/collector/record"
)

// fakeEngine keeps one container's log and answers as an engine does.
type fakeEngine struct {
	// strict leaves out every record that is too old, as engines before 24.0 do.
	strict bool
	tty    bool

	mu      sync.Mutex
	pieces  []piece
	changed chan struct{}
	running bool
	// started and finished are what Inspect tells beside running.
	started, finished time.Time
	// inspected counts the calls of Inspect.
	inspected int
	// forgetful has the answers that wait now hear of nothing any more.
	forgetful bool
	// pace is how long each record takes to come. mute says of which answers none
	// does; nil of none.
	pace time.Duration
	mute func(engine.LogOptions) bool
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
	if f(); !e.forgetful {
		close(e.changed)
	}
	e.forgetful, e.changed = false, make(chan struct{})
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

func (e *fakeEngine) Inspect(context.Context, string) (*record.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inspected++
	c := web(e.running)
	c.Started, c.Finished = e.started, e.finished
	return c, nil
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
		pace, mute := a.engine.pace, a.engine.mute != nil && a.engine.mute(a.options)
		a.engine.mu.Unlock()
		time.Sleep(pace)
		if mute {
			<-a.ctx.Done()
		}
		switch {
		case a.ctx.Err() != nil:
			return 0, a.ctx.Err()
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
