package post

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// Config is what New makes an adapter from.
type Config struct {
	// Adapter is the route's configuration, with the options that Options lists.
	Adapter adapters.Config
	// Encoder makes the bodies, of groups as Grouping says.
	Encoder  Encoder
	Grouping Grouping
	// Judge finds out what an answer means; nil stands for JudgeStatus. It is
	// not asked about the statuses of the option retry_status.
	Judge Judge
	// Path is the URL's path where the route has none, Query its query.
	Path, Query string
	// ContentType is the bodies' type, and Header what every request bears
	// besides.
	ContentType string
	Header      map[string]string
	// Compression is None, Gzip, Deflate, Zstd or Snappy. Snappy belongs to the
	// type of the body: it has no Content-Encoding. Level is that of Gzip and
	// Deflate, as NewCompressor has it.
	Compression string
	Level       int
	// Single says that each record is a request of its own.
	Single bool
}

// adapter is the adapters.Adapter that posts.
type adapter struct {
	client   *client
	encoder  Encoder
	grouping Grouping
	judge    Judge
	retry    map[int]bool
	limits   limits
	single   bool
	logger   *slog.Logger
	lanes    []*lane
	seed     maphash.Seed

	// ctx is that of all requests; abandon ends it.
	ctx     context.Context
	abandon context.CancelFunc
	running sync.WaitGroup
	closed  bool

	// most is the present bound of a body in bytes: the limit, or less once the
	// server has found a body too large.
	most atomic.Int64
	// notBefore is until when the server wants to be left alone, in nanoseconds
	// since made: on that clock, which nobody sets.
	notBefore atomic.Int64
	made      time.Time
}

// New checks the configuration and returns an adapter that is not connected.
func New(c Config) (adapters.Adapter, error) {
	l, err := readLimits(c.Adapter.Options)
	if err != nil {
		return nil, err
	}
	retry, err := readRetry(c.Adapter.Options["retry_status"])
	if err != nil {
		return nil, err
	}
	client, err := newClient(&c, l)
	if err != nil {
		return nil, err
	}
	a := &adapter{
		client: client, encoder: c.Encoder, grouping: c.Grouping, judge: c.Judge, retry: retry,
		limits: l, single: c.Single, logger: c.Adapter.Logger, seed: maphash.MakeSeed(), made: time.Now(),
	}
	if a.judge == nil {
		a.judge = JudgeStatus
	}
	a.most.Store(int64(l.bytes))
	for range l.concurrency {
		compressor, err := NewCompressor(c.Compression, c.Level)
		if err != nil {
			return nil, err
		}
		a.lanes = append(a.lanes, newLane(a, compressor))
	}
	a.ctx, a.abandon = context.WithCancel(context.Background())
	return a, nil
}

// Send gathers the records of b. It blocks while the lane of its container has
// one body under way and another that is full.
func (a *adapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	switch {
	case a.closed:
		done(adapters.ErrClosed)
	case ctx.Err() != nil:
		done(ctx.Err())
	case len(b.Records) == 0:
		done(nil)
	default:
		a.laneOf(b.Container).send(ctx, b, done)
	}
}

// laneOf returns the lane of a container, always the same one.
func (a *adapter) laneOf(c *record.Container) *lane {
	if len(a.lanes) == 1 {
		return a.lanes[0]
	}
	return a.lanes[maphash.String(a.seed, c.ID)%uint64(len(a.lanes))]
}

// Flush returns when the caller was told of all failures so far, and has batches
// taken again. What is gathered goes out within the option linger, so that single
// lines do not cost a request each.
func (a *adapter) Flush(context.Context) {
	for _, l := range a.lanes {
		l.forgive()
	}
}

// Close posts what is gathered at once, until ctx ends, settles every batch and
// ends the connections.
func (a *adapter) Close(ctx context.Context) error {
	if a.closed {
		return nil
	}
	a.closed = true
	stop := context.AfterFunc(ctx, a.abandon)
	defer stop()
	for _, l := range a.lanes {
		l.close()
	}
	a.running.Wait()
	a.abandon()
	a.client.close()
	var err error
	for _, l := range a.lanes {
		err = errors.Join(err, l.undelivered)
	}
	if err != nil {
		return fmt.Errorf("closing with lines undelivered: %w", err)
	}
	return nil
}

// shrink lowers the bound of a body after one of size bytes was too large.
func (a *adapter) shrink(size int) {
	const least = 16 << 10
	most := int64(max(size/2, least))
	for {
		present := a.most.Load()
		if most >= present {
			return
		}
		if !a.most.CompareAndSwap(present, most) {
			continue
		}
		if present == int64(a.limits.bytes) {
			a.logger.Warn("a server takes only smaller requests than max_bytes allows",
				"address", a.client.url.Host, "max_bytes", a.limits.bytes, "bytes", most)
		}
		return
	}
}

// pause waits until the server may be asked again, or until the adapter is
// abandoned.
func (a *adapter) pause() error {
	for {
		wait := a.left()
		if wait <= 0 || a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-a.ctx.Done():
			timer.Stop()
		}
	}
}

// left returns for how long the server is to be left alone.
func (a *adapter) left() time.Duration {
	return time.Duration(a.notBefore.Load()) - time.Since(a.made)
}

// leaveAlone has no request begin for so long.
func (a *adapter) leaveAlone(pause time.Duration) {
	until := int64(time.Since(a.made) + pause)
	for {
		present := a.notBefore.Load()
		if until <= present || a.notBefore.CompareAndSwap(present, until) {
			return
		}
	}
}
