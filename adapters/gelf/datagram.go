package gelf

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"tallyman/adapters"
	"tallyman/adapters/transport"
	"tallyman/adapters/transport/post"
	"tallyman/collector/record"
)

// What the GELF specification says of chunks: each has a header of two bytes of
// magic, an ID of eight, its number and the number of all.
const (
	chunkHeader = 12
	maxChunks   = 128
)

// atOnce is how many records are sent under one deadline, and without a look at
// the context: compression takes its time.
const atOnce = 256

// datagramAdapter sends each message in a UDP datagram or, where it is longer
// than one may be, in chunks.
//
// It takes the place of the library's UDPWriter, which dials when it is made,
// has no deadlines, and sends an empty last chunk when a message fills its
// chunks exactly.
type datagramAdapter struct {
	datagram *transport.Datagram
	encoder  *encoder
	// compressor is nil when nothing is compressed. With always, all is, else
	// only what does not fit into one datagram.
	compressor post.Compressor
	always     bool
	// chunk is the longest datagram in bytes.
	chunk int
	// compressed is memory for a message that is.
	compressed []byte
}

// Send sends every message of the batch at once.
func (a *datagramAdapter) Send(ctx context.Context, b *record.Batch, done func(error)) {
	buf, err := a.datagram.Begin(ctx)
	if err != nil {
		done(err)
		return
	}
	a.encoder.Begin(b.Container)
	var rejects []adapters.Reject
	var failure error
	for i := range b.Records {
		if i > 0 && i%atOnce == 0 {
			a.datagram.Keep(buf)
			if buf, err = a.datagram.Begin(ctx); err != nil {
				failure = partial(i, rejects, err)
				break
			}
		}
		var payload []byte
		buf, payload, err = a.message(buf, &b.Records[i])
		if err == nil {
			err = a.send(payload)
		}
		if err == nil {
			continue
		}
		reject, ok := rejectOf(i, err)
		if !ok {
			failure = partial(i, rejects, err)
			break
		}
		rejects = append(rejects, reject)
	}
	a.datagram.Keep(buf)
	if failure == nil && rejects != nil {
		failure = adapters.Rejected(rejects)
	}
	done(failure)
}

// rejectOf returns the Reject of a record that can never be delivered. It is
// false when err is no reason to give the record up.
func rejectOf(index int, err error) (adapters.Reject, bool) {
	var permanent *adapters.PermanentError
	if !errors.As(err, &permanent) {
		return adapters.Reject{}, false
	}
	return adapters.Reject{Index: index, Reason: permanent.Reason, Err: err}, true
}

// partial returns the error of a batch of which the first settled records are
// delivered or rejected.
func partial(settled int, rejects []adapters.Reject, err error) error {
	if settled == 0 {
		return err
	}
	return &adapters.PartialError{Settled: settled, Rejects: rejects, Err: err}
}

// message encodes a record into buf and returns buf, and the message with room
// for a chunk's header before it.
func (a *datagramAdapter) message(buf []byte, r *record.Record) (_, payload []byte, err error) {
	var header [chunkHeader]byte
	most := a.encoder.most
	for {
		var cut bool
		buf, cut, err = a.encoder.encode(append(buf[:0], header[:]...), r, most)
		if err != nil {
			return buf, nil, err
		}
		length := len(buf) - chunkHeader
		if payload, err = a.compress(buf); err != nil {
			return buf, nil, adapters.Permanent("encoding", err)
		}
		room := maxChunks * (a.chunk - chunkHeader)
		sent := len(payload) - chunkHeader
		if sent <= room {
			if cut {
				a.encoder.count("cut", 1)
			}
			return buf, payload, nil
		}
		if a.encoder.reject {
			return buf, nil, tooLong(room)
		}
		// What is left of the line may be harder to compress than the whole, so
		// this can take some rounds. It ends with what fits uncompressed.
		most = max(min(length-1, length*room/sent*15/16), room-room/64)
	}
}

// compress returns the message in buf, with the same room before it, as it is to
// be sent.
func (a *datagramAdapter) compress(buf []byte) ([]byte, error) {
	if a.compressor == nil || !a.always && len(buf)-chunkHeader <= a.chunk {
		return buf, nil
	}
	out, err := a.compressor.Append(append(a.compressed[:0], buf[:chunkHeader]...), buf[chunkHeader:])
	if a.compressed = out; cap(out) > 4*transport.MaxUDPPayload {
		a.compressed = nil
	}
	return out, err
}

// send sends a message that has room for a chunk's header before it.
func (a *datagramAdapter) send(payload []byte) error {
	if len(payload)-chunkHeader <= a.chunk {
		return a.datagramOf(payload[chunkHeader:])
	}
	each := a.chunk - chunkHeader
	total := (len(payload) - chunkHeader + each - 1) / each
	// Receivers tell messages apart by it for the five seconds that they wait for
	// chunks.
	id := rand.Uint64()
	for number := range total {
		// Each header is written over the end of the chunk before it, which has
		// been sent.
		chunk := payload[number*each : min(number*each+a.chunk, len(payload))]
		chunk[0], chunk[1] = 0x1e, 0x0f
		binary.BigEndian.PutUint64(chunk[2:], id)
		chunk[10], chunk[11] = byte(number), byte(total)
		if err := a.datagramOf(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (a *datagramAdapter) datagramOf(data []byte) error {
	err := a.datagram.Send(data)
	if errors.Is(err, transport.ErrTooLong) {
		return adapters.Permanent("too_long", err)
	}
	return err
}

// Flush has nothing to do: nothing is gathered.
func (a *datagramAdapter) Flush(context.Context) {}

// Close closes the socket.
func (a *datagramAdapter) Close(context.Context) error {
	a.datagram.Close()
	return nil
}
