package file

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"os"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// adapter writes each batch when it is sent. All but the tidying of rotated
// files happens in the caller's goroutine.
type adapter struct {
	settings
	encoder encoder
	closed  bool

	// open holds the open files by path, order the same ones from the most to
	// the least recently used.
	open  map[string]*output
	order list.List
	// gathered holds the lines to write, by stream.
	gathered [record.Streams][]byte

	// pending are the batches that wait for the disk, unsynced the bytes
	// written since it was last asked.
	pending  []func(error)
	unsynced int64

	tidier tidier
}

func newAdapter(s settings) *adapter {
	a := &adapter{settings: s, encoder: encoder{json: s.json}, open: make(map[string]*output)}
	a.tidier.start(&a.settings)
	return a
}

// Send writes the batch.
func (a *adapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	if a.closed {
		done(adapters.ErrClosed)
		return
	}
	if err := ctx.Err(); err != nil {
		done(err)
		return
	}
	if err := a.write(b); err != nil {
		done(err)
		return
	}
	if !a.durable {
		done(nil)
		return
	}
	a.pending = append(a.pending, done)
	if a.always || a.unsynced >= maxUnsynced || len(a.pending) >= maxPending {
		a.sync()
	}
}

// Flush asks the disk for what waits for it.
func (a *adapter) Flush(context.Context) { a.sync() }

// Close does the same, closes the files, and ends the compression of a rotated
// file, which begins anew at the next rotation.
func (a *adapter) Close(context.Context) error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.tidier.stop()
	err := a.sync()
	for _, o := range a.open {
		err = errors.Join(err, o.file.Close())
	}
	a.open, a.gathered = nil, [record.Streams][]byte{}
	return err
}

// write writes all of the batch or, as far as it can be undone, nothing.
func (a *adapter) write(b *record.Batch) error {
	a.encoder.begin(b.Container)
	var outputs [record.Streams]*output
	var err error
	for i := range b.Records {
		r := &b.Records[i]
		stream := record.Stdout
		if a.pattern.streams {
			stream = r.Stream & 1
		}
		o := outputs[stream]
		if o == nil {
			if o, err = a.output(a.pattern.path(b.Container, stream)); err != nil {
				break
			}
			o.mark = o.size
			outputs[stream] = o
		}
		lines := &a.gathered[stream]
		before := len(*lines)
		*lines = a.encoder.append(*lines, r)
		if a.isDue(o, before, len(*lines)) {
			if o, err = a.rotateBehind(o, lines, before); err != nil {
				break
			}
			outputs[stream] = o
		}
		if len(*lines) >= chunk {
			if err = a.put(o, lines); err != nil {
				break
			}
		}
	}
	for stream, o := range outputs {
		if err == nil && o != nil {
			err = a.put(o, &a.gathered[stream])
		}
	}
	if err == nil {
		return nil
	}
	for stream, o := range outputs {
		a.gathered[stream] = a.gathered[stream][:0]
		if o != nil && a.open[o.path] == o {
			err = errors.Join(err, o.rollBack(o.mark))
		}
	}
	return fmt.Errorf("writing to %q: %w", a.pattern.path(b.Container, record.Stdout), err)
}

// put writes the gathered lines.
func (a *adapter) put(o *output, lines *[]byte) error {
	if len(*lines) == 0 {
		return nil
	}
	err := o.write(*lines)
	a.unsynced += int64(len(*lines))
	o.span = spanOf(a.now(), a.maxAge)
	if *lines = (*lines)[:0]; cap(*lines) > 2*chunk {
		*lines = nil // One long line is no reason to hold so much for ever.
	}
	return err
}

// isDue reports whether a file is to be rotated before the line that lies from
// before to end among the gathered ones.
func (a *adapter) isDue(o *output, before, end int) bool {
	switch {
	case o.size == 0 && before == 0:
		return false
	case a.maxSize > 0 && o.size+int64(end) > a.maxSize:
		return true
	default:
		// All of a batch is written at one time.
		return a.maxAge > 0 && before == 0 && o.span != spanOf(a.now(), a.maxAge)
	}
}

// rotateBehind writes the first lines, rotates the file, and leaves the other
// lines for the new one.
func (a *adapter) rotateBehind(o *output, lines *[]byte, before int) (*output, error) {
	first := (*lines)[:before]
	if before > 0 {
		if err := o.write(first); err != nil {
			return nil, err
		}
		a.unsynced += int64(before)
	}
	*lines = append((*lines)[:0], (*lines)[before:]...)
	if err := a.sync(); err != nil {
		return nil, err
	}
	backup, err := backupName(o.path, a.now())
	if err != nil {
		return nil, err
	}
	if err := os.Rename(o.path, backup); err != nil {
		return nil, fmt.Errorf("rotating the file: %w", err)
	}
	a.drop(o)
	a.tidier.add(o.path)
	next, err := a.output(o.path)
	if err != nil {
		return nil, err
	}
	next.mark = next.size
	return next, nil
}

// output returns the open file at path. It opens it where that has to be, and
// closes the one that was not used for the longest time where too many are open.
func (a *adapter) output(path string) (*output, error) {
	if o := a.open[path]; o != nil {
		same, err := o.current()
		if err != nil {
			return nil, err
		}
		if same {
			a.order.MoveToFront(o.place)
			return o, nil
		}
		if err := a.release(o); err != nil {
			return nil, err
		}
	}
	for len(a.open) >= a.maxOpen {
		if err := a.release(a.order.Back().Value.(*output)); err != nil {
			return nil, err
		}
	}
	o, err := openOutput(path, a.maxAge, a.durable)
	if err != nil {
		return nil, err
	}
	o.place = a.order.PushFront(o)
	a.open[path] = o
	return o, nil
}

// release closes a file once the disk has been asked for all of it, where that
// matters. Where the disk fails, the batches that wait for it have failed too,
// and nothing holds on to the file.
func (a *adapter) release(o *output) error {
	err := a.sync()
	a.drop(o)
	return err
}

// drop closes a file. With sync=none an error that the kernel still held back
// comes too late for any batch.
func (a *adapter) drop(o *output) {
	delete(a.open, o.path)
	a.order.Remove(o.place)
	if err := o.file.Close(); err != nil {
		a.logger.Warn("closing a file", "path", o.path, "error", err)
	}
}

// sync asks the disk for all files and settles the batches that wait for it.
// What the disk refuses may be gone from memory too, so after an error the files
// go back to what it has, and all of the batches fail.
func (a *adapter) sync() error {
	if !a.durable {
		return nil
	}
	var err error
	for _, o := range a.open {
		err = errors.Join(err, o.sync())
	}
	if err != nil {
		for _, o := range a.open {
			err = errors.Join(err, o.rollBack(o.synced))
		}
	}
	a.unsynced = 0
	for i, done := range a.pending {
		a.pending[i] = nil
		done(err)
	}
	a.pending = a.pending[:0]
	return err
}
