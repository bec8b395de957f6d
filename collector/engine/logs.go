package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"tallyman/collector/record"
)

// ErrUnreadable says that the engine keeps nothing that it could read a
// container's log from: its logging driver is "none", or one without a cache.
var ErrUnreadable = errors.New("the engine cannot read the container's log, because its logging driver keeps nothing that can be read; " +
	"start the container with --log-driver=json-file or --log-driver=local, or without --log-opt cache-disabled=true")

// LogReader gives the logs of containers through the engine.
type LogReader interface {
	// Logs opens a container's log, both streams, as the engine sends it: a TTY's
	// is raw, any other is framed, and before each record stands its time with
	// nine digits of a second and a space. The caller closes it.
	//
	// Neither opening nor reading has a deadline but that of ctx, which also
	// cuts the stream: a silent container sends nothing, and engines before 27.0
	// do not answer at all before its first line. The error is ErrNotFound when
	// the container has gone and ErrUnreadable when its driver cannot be read.
	Logs(ctx context.Context, id string, o LogOptions) (io.ReadCloser, error)
	// Inspect is that of Engine.
	Inspect(ctx context.Context, id string) (*record.Container, error)
}

// LogOptions say which part of a log is wanted.
type LogOptions struct {
	// Since leaves out what is older than this time, in nanoseconds since the
	// Unix epoch; 0 leaves out nothing. Engines from 24.0 on send everything
	// behind the first record that is not older.
	Since int64
	// Until leaves out what is newer; 0 leaves out nothing.
	Until int64
	// Last is how many records from the end are wanted, 0 for all.
	Last int
	// Follow keeps the stream open until the container stops.
	Follow bool
}

var _ LogReader = (*Client)(nil)

// Logs opens a container's log; see LogReader.
func (c *Client) Logs(ctx context.Context, id string, o LogOptions) (io.ReadCloser, error) {
	doing := fmt.Sprintf("reading the log of container %q", id)
	streamCtx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.stopped, func() { cancel(errClosed) })
	end := func() {
		stop()
		cancel(nil)
	}
	body, err := c.openLog(streamCtx, id, o)
	if err != nil {
		if errdefs.IsNotImplemented(err) {
			err = ErrUnreadable
		}
		err = c.explain(streamCtx, doing, err)
		end()
		return nil, err
	}
	return &logStream{ReadCloser: body, end: end}, nil
}

func (c *Client) openLog(ctx context.Context, id string, o LogOptions) (io.ReadCloser, error) {
	limited, cancel := context.WithTimeout(ctx, c.options.Timeout)
	api, err := c.negotiated(limited)
	cancel()
	if err != nil {
		return nil, err
	}
	options := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: o.Follow, Tail: "all"}
	if o.Since > 0 {
		options.Since = fmt.Sprintf("%d.%09d", o.Since/1e9, o.Since%1e9)
	}
	if o.Until > 0 {
		options.Until = fmt.Sprintf("%d.%09d", o.Until/1e9, o.Until%1e9)
	}
	if o.Last > 0 {
		options.Tail = strconv.Itoa(o.Last)
	}
	return api.logs(ctx, id, options)
}

// logStream is an open log that ends with its client.
type logStream struct {
	io.ReadCloser
	once sync.Once
	end  func()
}

// Close ends the stream; see io.Closer.
func (s *logStream) Close() error {
	err := s.ReadCloser.Close()
	s.once.Do(s.end)
	return err
}
