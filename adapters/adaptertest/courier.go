package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// Containers returns n containers as a test sees them.
func Containers(n int) []*record.Container {
	list := make([]*record.Container, n)
	for i := range list {
		list[i] = &record.Container{
			ID:       fmt.Sprintf("%064d", i+1),
			Name:     fmt.Sprintf("web.%d", i+1),
			Image:    "example/web:1",
			Hostname: fmt.Sprintf("%012d", i+1),
			PID:      4242 + i,
			Running:  true,
		}
	}
	return list
}

// NewBatch returns a batch of lines, alternately of both streams, with times
// that are a few milliseconds apart.
func NewBatch(c *record.Container, lines ...[]byte) *record.Batch {
	b := &record.Batch{Container: c}
	start := time.Date(2026, 11, 21, 1, 9, 8, 0, time.UTC).UnixNano()
	for i, line := range lines {
		b.Records = append(b.Records, record.Record{
			Time:   start + int64(i)*int64(7*time.Millisecond),
			Line:   line,
			Stream: record.Stream(i % record.Streams),
		})
	}
	return b
}

// courier sends batches and keeps account of what became of them, as the
// delivery loop does.
type courier struct {
	t        *testing.T
	adapter  adapters.Adapter
	patience time.Duration
	// pause is how long a done function takes.
	pause time.Duration

	mu sync.Mutex
	// All below is guarded by mu.
	parcels []*parcel
	open    int
	failed  bool
}

// parcel is one call of Send.
type parcel struct {
	calls int
	err   error
}

func newCourier(t *testing.T, s *Suite, address string) *courier {
	t.Helper()
	return newCourierOf(t, s.New(t, address), s.Patience)
}

// newCourierOf returns a courier that closes the adapter when the test ends.
func newCourierOf(t *testing.T, adapter adapters.Adapter, patience time.Duration) *courier {
	t.Helper()
	c := &courier{t: t, adapter: adapter, patience: patience}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = c.adapter.Close(ctx) // A second Close does nothing.
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, p := range c.parcels {
			if p.calls != 1 {
				t.Errorf("done of the %d. Send was called %d times", i+1, p.calls)
			}
		}
	})
	return c
}

// send sends b and returns its account.
func (c *courier) send(ctx context.Context, b *record.Batch) *parcel {
	p := &parcel{}
	c.mu.Lock()
	c.parcels = append(c.parcels, p)
	c.open++
	c.mu.Unlock()
	c.adapter.Send(ctx, b, func(err error) {
		time.Sleep(c.pause)
		c.mu.Lock()
		defer c.mu.Unlock()
		p.calls++
		p.err = err
		c.open--
		c.failed = c.failed || err != nil
	})
	return p
}

// settled waits until every batch is settled.
func (c *courier) settled() {
	c.t.Helper()
	Eventually(c.t, c.patience, "every batch is settled", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.open == 0
	})
}

// result returns what became of a settled parcel.
func (c *courier) result(p *parcel) error {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.calls == 0 {
		c.t.Fatal("the batch is not settled")
	}
	return p.err
}

// anyFailed reports, and forgets, whether a batch has failed.
func (c *courier) anyFailed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := c.failed
	c.failed = false
	return failed
}

// deliver sends the batches until all are delivered: after an error it waits
// for what is in flight and begins again with the first record of each batch
// that is not settled.
func (c *courier) deliver(ctx context.Context, batches []*record.Batch) {
	c.t.Helper()
	for deadline := time.Now().Add(c.patience); time.Now().Before(deadline); {
		parcels := make([]*parcel, 0, len(batches))
		for _, b := range batches {
			parcels = append(parcels, c.send(ctx, b))
			if c.anyFailed() {
				break
			}
		}
		c.adapter.Flush(ctx)
		c.settled()
		c.anyFailed()
		var left []*record.Batch
		for i, b := range batches {
			if i >= len(parcels) {
				left = append(left, b)
				continue
			}
			err := c.result(parcels[i])
			if err == nil {
				continue
			}
			rest := *b
			var partial *adapters.PartialError
			if errors.As(err, &partial) {
				if partial.Settled < 1 || partial.Settled > len(b.Records) {
					c.t.Fatalf("%d of %d records are said to be settled", partial.Settled, len(b.Records))
				}
				rest.Records = b.Records[partial.Settled:]
			}
			left = append(left, &rest)
		}
		if batches = left; len(batches) == 0 {
			return
		}
	}
	c.t.Fatalf("%d batches are not delivered after %v", len(batches), c.patience)
}

// Deliver sends numbered lines of three containers until all are delivered,
// closes the adapter, and fails the test unless each line arrived at the server,
// none before the one before it. It returns how many arrived again.
func Deliver(t *testing.T, adapter adapters.Adapter, server Server, lines int, patience time.Duration) (repeated int) {
	t.Helper()
	const size = 200
	batches := numbered(3, lines/size, size)
	c := newCourierOf(t, adapter, patience)
	c.deliver(t.Context(), batches)
	if err := adapter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return checkNumbered(t, server.Lines(), batches)
}

// mustDeliver sends batches to a server that works, where each is delivered at
// the first attempt, and waits until the server has want lines.
func (c *courier) mustDeliver(server Server, lossy bool, batches ...*record.Batch) {
	c.t.Helper()
	ctx := context.Background()
	want := server.Count()
	for _, b := range batches {
		p := c.send(ctx, b)
		want += len(b.Records)
		if lossy {
			c.adapter.Flush(ctx)
			c.arrived(server, want)
		}
		if c.anyFailed() {
			c.settled()
			c.t.Fatalf("sending: %v", c.result(p))
		}
	}
	c.adapter.Flush(ctx)
	c.settled()
	for i, p := range c.parcels {
		if err := c.result(p); err != nil && c.anyFailed() {
			c.t.Fatalf("the %d. batch: %v", i+1, err)
		}
	}
	c.arrived(server, want)
}

func (c *courier) arrived(server Server, want int) {
	c.t.Helper()
	Eventually(c.t, c.patience, fmt.Sprintf("the server has %d lines", want), func() bool {
		return server.Count() >= want
	})
}
