package apilog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
