package apilog

import (
	"context"
	"errors"
	"io"

	"tallyman/collector/engine"
	"tallyman/collector/record"
	"tallyman/collector/spool"
)

// sinceFor returns the time from which an engine is asked for a log that is wanted
// from a time on: 0 for all of it where drivers compress what they rotate, as
// "local" does, and so does the engine's cache beside other drivers. Engines before
// 24.0 take such files to be older than any time (seen with 20.10.24).
func sinceFor(driver string, since int64) int64 {
	switch driver {
	case "", "json-file", "journald":
		return since
	}
	return 0
}

// ReadPast asks the engine for what it has of a container's log and gives each
// line, oldest first, as a Source would copy it: with the same times, joined from
// its parts. The line is valid until give returns, whose error ends the reading.
// What is unfinished at the end is given where the container has stopped.
func ReadPast(ctx context.Context, reader engine.LogReader, c *record.Container, o engine.LogOptions, give func(*record.Record) error) error {
	asked := o
	asked.Follow, asked.Since = false, sinceFor(c.LogDriver, o.Since)
	body, err := reader.Logs(ctx, c.ID, asked)
	if err != nil {
		return err
	}
	// It was only read.
	defer func() { _ = body.Close() }()
	d := newDecoder(c, body)
	j := joiner{maxLine: DefaultMaxLine, partSize: partSizeOf(c.LogDriver), tty: c.TTY, give: give}
	var p piece
	for {
		err := d.next(&p)
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			if c.Running {
				return nil
			}
			return j.finishAll()
		case err != nil:
			return err
		case o.Since > 0 && p.time < o.Since:
			continue
		case o.Until > 0 && p.time > o.Until:
			continue
		}
		if err := j.split(&p); err != nil {
			return err
		}
		if _, err := j.add(&p, spool.Mark{}); err != nil {
			return err
		}
	}
}
