// Package adapters defines what a destination is to the delivery loop: an
// Adapter, the errors by which it says what became of a batch, and the
// Description by which it is listed, configured and documented.
package adapters

import (
	"context"
	"errors"
	"fmt"

	"tallyman/collector/record"
)

// Adapter sends batches to one destination.
//
// It connects when it first has something to send, never when it is made, and
// again after an error. It does not retry: it reports the error and the delivery
// loop reads the records from their log again.
type Adapter interface {
	// Send takes a batch. The batch and every line in it are the caller's again
	// when Send returns, so an adapter encodes what it keeps. Send may return
	// before the batch is delivered, so that many can be in flight; it blocks
	// while too much is. It is called by one goroutine at a time.
	//
	// done is called exactly once for every Send, in any goroutine, also before
	// Send returns: with nil when all of the batch is delivered, with an error
	// made by Permanent, Rejected or Partial, or with any other error when none
	// of it is known to be delivered. It neither blocks nor calls the adapter.
	//
	// After an error every other batch in flight is settled soon, within the
	// adapter's deadlines. A batch that failed is not overtaken: when one in
	// flight fails for the connection's sake, and the caller cannot know yet, the
	// next batch of the same container fails as well unless Flush was called in
	// between.
	//
	// When ctx ends, Send returns promptly and settles the batch.
	Send(ctx context.Context, b *record.Batch, done func(error))
	// Flush says that nothing more is to be sent for now: what the adapter
	// gathered goes out. When it returns, done was called for all that a failure
	// before it took along, and what is sent next is not refused for that
	// failure's sake. It is called by the goroutine that calls Send.
	Flush(ctx context.Context)
	// Close delivers what is in flight until ctx ends, settles everything, and
	// frees the connection. No goroutine of the adapter outlives it.
	Close(ctx context.Context) error
}

// Reject is a record that the destination will never take.
type Reject struct {
	// Index is the record's place in the batch.
	Index int
	// Reason is a word for a metric's label: too_long, blank, no_permission.
	Reason string
	// Err is the error to show to a person.
	Err error
}

// RejectedError says that all of a batch is settled, though some records of it
// are given up for good.
type RejectedError struct{ Rejects []Reject }

func (e *RejectedError) Error() string {
	return fmt.Sprintf("%d records rejected, the first because: %v", len(e.Rejects), e.Rejects[0].Err)
}

// Rejected returns the error that settles a batch of which rejects, at least
// one, are given up and all else is delivered.
func Rejected(rejects []Reject) error { return &RejectedError{Rejects: rejects} }

// PermanentError says that no record of a batch can ever be delivered.
type PermanentError struct {
	// Reason is a word for a metric's label.
	Reason string
	Err    error
}

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }

// Permanent returns the error that gives up all of a batch. The reason is a
// word for a metric's label.
func Permanent(reason string, err error) error { return &PermanentError{Reason: reason, Err: err} }

// PartialError says that the first Settled records of a batch are settled and
// the others are to be sent again. Rejects are those among the first that are
// given up; the rest of them is delivered.
type PartialError struct {
	Settled int
	Rejects []Reject
	Err     error
}

func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Partial returns the error of a batch of which the first settled records are
// delivered and the others failed with err.
func Partial(settled int, err error) error {
	if settled == 0 {
		return err
	}
	return &PartialError{Settled: settled, Err: err}
}

// ErrClosed settles batches that an adapter still held when it was closed.
var ErrClosed = errors.New("the adapter was closed")
