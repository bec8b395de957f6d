package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"tallyman/collector"
	"tallyman/collector/apilog"
	"tallyman/collector/history"
	"tallyman/collector/record"
)

// What a stream of lines is made of.
const (
	BatchLines = 500
	// streamBlock is how much of a log is read at once: less than a route takes,
	// since there are many clients, and more than any record.
	streamBlock = 128 << 10
	pingEvery   = 15 * time.Second
	// lookEvery is how often a stream looks for containers that are new.
	lookEvery = time.Second
	// maxBehind is how many bytes of a log a client may be behind before it is
	// told how many lines it has missed, instead of the lines.
	maxBehind = 64 << 20
)

// follower reads one container's log for a stream.
type follower struct {
	container *record.Container
	reader    collector.Reader
	// dirty says that there may be something to read.
	dirty atomic.Bool
	ended bool
	// bridge is what the client lacks of a log that is copied from the engine, nil
	// for none.
	bridge *bridge
}

// logStream is one client that follows logs. It is used by one goroutine.
type logStream struct {
	api       *Server
	selection selection
	// format is how lines are written, nil for events.
	format Format
	query  history.Query
	out    *sender
	// cursor is what the client has been sent, and what it goes on from. resumed
	// says that the client has given it.
	cursor  history.Cursor
	resumed bool
	wake    chan struct{}
	// pending says that something will be there to read without a wake.
	pending   bool
	followers map[string]*follower
}

// serveLogStream answers GET /api/v1/logs/stream with server-sent events.
func (a *Server) serveLogStream(w http.ResponseWriter, r *http.Request) error {
	wanted, err := parseSelection(r)
	if err != nil {
		return err
	}
	return a.stream(w, r, wanted, nil)
}

// Watch is what a client of /logs wants beside what is in the parameters that the
// whole API shares.
type Watch struct {
	// Match says which containers are wanted.
	Match func(*record.Container) bool
	// Streams are the streams wanted, all where there is none.
	Streams []record.Stream
	// Format is how lines are written, nil for server-sent events.
	Format Format
}

// Format writes lines for a client of /logs; see httpstream.Format.
type Format interface {
	ContentType() string
	AppendRecord(dst []byte, c *record.Container, r *record.Record) []byte
	AppendLost(dst []byte, lines int64) []byte
}

// ServeWatch answers GET /logs as /api/v1/logs/stream is answered, with lines of
// another form.
func (a *Server) ServeWatch(w http.ResponseWriter, r *http.Request, watch *Watch) {
	if err := a.stream(w, r, selection{watch: watch}, watch.Format); err != nil {
		a.refuse(w, r, err)
	}
}

func (a *Server) stream(w http.ResponseWriter, r *http.Request, wanted selection, format Format) error {
	s := &logStream{
		api: a, selection: wanted, format: format,
		wake: make(chan struct{}, 1), followers: make(map[string]*follower), out: newSender(r.Context(), w),
	}
	list, past, err := s.parse(r)
	if err != nil {
		return err
	}
	leave, err := a.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer s.close()
	contentType := "text/event-stream"
	if format != nil {
		contentType = format.ContentType()
	}
	begin := func() {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store, no-transform")
		w.Header().Set("X-Accel-Buffering", "no")
	}
	if past != nil {
		if err := s.sendPast(r.Context(), list, past, begin); err != nil || s.query.Until != 0 {
			return err
		}
	}
	s.follow(list, true)
	begin()
	if err := s.run(r.Context()); err != nil {
		a.Logger.Debug("a client that follows logs has gone", "client", r.RemoteAddr, "error", err)
	}
	return nil
}

// parse reads what a request wants. past is what of it has been written before
// now, nil where it goes on from a cursor or wants only what is to come.
func (s *logStream) parse(r *http.Request) (list []*record.Container, past *pastQuery, err error) {
	if s.query, err = parseQuery(r); err != nil {
		return nil, nil, err
	}
	if watch := s.selection.watch; watch != nil && len(watch.Streams) > 0 {
		s.query.Streams = watch.Streams
	}
	tail, err := parseCount(r, "tail", math.MaxInt, math.MaxInt)
	if err != nil {
		return nil, nil, err
	}
	from := s.query.After
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		c, err := history.ParseCursor(id)
		if err != nil {
			return nil, nil, badRequest("the Last-Event-ID %q: %w", id, err)
		}
		from = &c
	}
	s.query.After, s.query.Before = nil, nil
	if list, err = s.api.find(&s.selection); err != nil {
		return nil, nil, err
	}
	switch {
	case from != nil:
		s.cursor, s.resumed = *from, true
	case tail > 0 && (tail < math.MaxInt || r.URL.Query().Get("tail") != "" || s.query.Since != 0 || s.query.Until != 0):
		past = &pastQuery{s.query, tail}
	default:
		s.cursor.Time = time.Now().UnixNano()
	}
	return list, past, nil
}

// enter counts a client that stays. The caller calls the function that it returns
// when the client has gone.
func (a *Server) enter() (func(), error) {
	if a.streams.Add(1) > maxStreams {
		a.streams.Add(-1)
		return nil, apiError{http.StatusServiceUnavailable, fmt.Errorf("%d clients are watching already; try again later", maxStreams)}
	}
	return func() { a.streams.Add(-1) }, nil
}

// follow opens the logs of containers. What is not in the cursor is read from its
// end where it was there before, from its beginning where it is new: made since the
// first look at what there is or, for a client that goes on, since it had begun.
func (s *logStream) follow(list []*record.Container, first bool) {
	first = first && !s.resumed
	for _, c := range list {
		log := s.api.Collector.Log(c.ID)
		if log == nil || s.followers[c.ID] != nil {
			continue
		}
		place, known := s.cursor.Find(c.ID)
		from := place.Position
		switch {
		case known:
		case first || c.Created.UnixNano() < s.cursor.Time:
			from = record.End()
		default:
			from = record.Oldest()
		}
		f := &follower{container: c}
		if copied, ok := log.(*apilog.Log); ok {
			f.bridge = newBridge(copied, &s.cursor, known || first || c.Created.UnixNano() < s.cursor.Time)
			from = record.End()
		}
		reader, err := log.Reader(from, func() {
			f.dirty.Store(true)
			select {
			case s.wake <- struct{}{}:
			default:
			}
		})
		var lost *collector.LostError
		if err != nil && !errors.As(err, &lost) {
			s.api.Logger.Debug("a log cannot be followed", "container", c.Name, "error", err)
			continue
		}
		if lost != nil {
			// Nobody knows how many lines lay between.
			s.dropped(c.ID, -1)
		}
		f.reader = reader
		f.dirty.Store(true)
		s.followers[c.ID] = f
		if f.bridge == nil {
			// Of a log that has no file yet, the oldest record is the next.
			s.cursor.Set(c.ID, reader.Position())
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *logStream) close() {
	for _, f := range s.followers {
		f.close()
	}
}

func (f *follower) close() {
	// What a client has not read is wanted by nobody.
	f.reader.Release(f.reader.Position())
	_ = f.reader.Close() // There is nothing that could be lost.
}

// run sends lines until the client has gone or there is nothing to follow.
func (s *logStream) run(ctx context.Context) error {
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	gather := time.NewTimer(0)
	defer gather.Stop()
	// The client sees at once that it is connected.
	s.event("ping", struct{}{})
	if err := s.out.flush(); err != nil {
		return err
	}
	ready, waiting := true, false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ping.C:
			s.event("ping", struct{}{})
			if err := s.out.flush(); err != nil {
				return err
			}
		case <-look.C:
			if done, err := s.look(); err != nil || done {
				return err
			}
		case <-s.wake:
			waiting = true
		case <-gather.C:
			ready = true
		}
		if ready && waiting {
			more, err := s.read(ctx)
			if err != nil {
				return err
			}
			ready, waiting, s.pending = false, more || s.pending, false
			pause := sendEvery
			if more {
				pause = 0
			}
			gather.Reset(pause)
		}
	}
}

// look lets go of containers that are gone and were read to their end, takes in new
// ones, and ends the stream when those that were named are gone.
func (s *logStream) look() (done bool, err error) {
	for id, f := range s.followers {
		if f.ended && s.api.Collector.Log(id) == nil {
			f.close()
			delete(s.followers, id)
			s.cursor.Forget(id)
		}
	}
	list, err := s.api.find(&s.selection)
	if err == nil {
		s.follow(list, false)
		if len(s.out.buf) > 0 {
			// That lines are missing is not put off until there are others.
			return false, s.out.flush()
		}
		return false, nil
	}
	for _, f := range s.followers {
		if !f.ended {
			return false, nil
		}
	}
	s.event("end", struct{}{})
	return true, s.out.flush()
}

// read sends what has come, and reports whether there is more. It returns in time
// for the next look also where lines come faster than the client takes them.
func (s *logStream) read(ctx context.Context) (more bool, err error) {
	begun := time.Now()
	// A client that waits has no memory of its own.
	buffer := s.api.buffers.Get().(*[]byte)
	s.out.buf = (*buffer)[:0]
	defer func() {
		*buffer, s.out.buf = s.out.buf, nil
		s.api.buffers.Put(buffer)
	}()
	for more = true; more && time.Since(begun) < lookEvery; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if more, err = s.gather(ctx); err != nil {
			return false, err
		}
		if len(s.out.buf) == 0 {
			continue
		}
		if err := s.out.flush(); err != nil {
			return false, err
		}
	}
	return more, nil
}

// gather takes lines off the logs, a block of each at most, and reports whether
// there are more.
func (s *logStream) gather(ctx context.Context) (more bool, err error) {
	if more, err = s.crossAll(ctx); err != nil || more {
		return more, err
	}
	// Nothing here waits for a client, so a few turns serve all.
	select {
	case s.api.turns <- struct{}{}:
		defer func() { <-s.api.turns }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	g := s.api.gathering()
	defer s.api.gatherings.Put(g)
	for _, f := range s.followers {
		if len(s.out.buf) > streamBlock {
			more = true
			break
		}
		one, err := s.readOne(f, g)
		if err != nil {
			return false, err
		}
		more = more || one
	}
	s.put(g)
	return more, nil
}

// readOne reads a block of a log, and reports whether there is more.
func (s *logStream) readOne(f *follower, g *gathering) (more bool, err error) {
	if f.ended || f.bridge != nil && !f.bridge.done || !f.dirty.Swap(false) {
		return false, nil
	}
	batch := g.batch
	err = f.reader.Next(batch)
	switch {
	case errors.Is(err, collector.ErrIdle):
		return false, nil
	case errors.Is(err, io.EOF):
		f.ended = true
		return false, nil
	case err != nil:
		return false, fmt.Errorf("following the log of container %s: %w", f.container.Name, err)
	}
	f.dirty.Store(true)
	behind := f.reader.Lag(batch.End) > maxBehind
	missed := batch.Lost
	for i := range batch.Records {
		line := history.Line{Container: batch.Container, Record: batch.Records[i]}
		line.After = record.Position{Gen: batch.End.Gen, Off: line.Resume, Skip: line.Skip}
		if f.bridge != nil {
			line.After = history.TimePosition(&line.Record)
		}
		switch {
		case f.bridge != nil && f.bridge.has(&line):
		case !s.query.Wants(&line):
		case behind || batch.GivenUp:
			missed++
		default:
			g.add(s.format, &line)
			if len(g.pieces) == BatchLines {
				s.cursor.Set(f.container.ID, line.After)
				s.put(g)
			}
		}
	}
	if f.bridge == nil {
		s.cursor.Set(f.container.ID, batch.End)
	} else if n := len(batch.Records); n > 0 {
		s.cursor.Set(f.container.ID, history.TimePosition(&batch.Records[n-1]))
	}
	f.reader.Release(batch.End)
	if missed > 0 {
		s.dropped(f.container.ID, int64(missed))
	}
	return true, nil
}
