package nats

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// plain is a session of core NATS. The server answers nothing to a message, but
// it answers a PING once it has done with all that came before; so a group of
// batches is delivered when the PING behind it is answered.
type plain struct {
	flights
	encoder *encoder
	// gather is after how many bytes the server is asked.
	gather  int
	timeout time.Duration
	// asked has a word when the server is to be asked.
	asked   chan struct{}
	running sync.WaitGroup

	// All below is guarded by the lock of flights. gathered are batches that may
	// not be wholly written, written those that are, and waiting those that the
	// server was asked about.
	gathered, written, waiting []*parcel
	gatheredBytes              int
	// denied has the subjects of messages that the server refused and that are
	// not settled.
	denied map[string]*denial
}

// denial counts messages to a subject that were refused. The server refuses each
// by itself, and in order, so that the count says which they are.
type denial struct {
	err   error
	count int
}

// parcel is a batch that was sent.
type parcel struct {
	done     func(error)
	bytes    int
	subjects [record.Streams]string
	// streams has the stream of each record, where that decides the subject.
	streams []record.Stream
	records int
	rejects []adapters.Reject
}

func newPlain(ctx context.Context, s *settings, e *encoder) (session, error) {
	p := &plain{
		flights: newFlights(s.limits.InFlight), encoder: e, gather: s.limits.Gather,
		timeout: s.limits.AckTimeout, asked: make(chan struct{}, 1),
		denied: make(map[string]*denial),
	}
	l, err := s.connector.connect(ctx, events{denied: p.deny, broke: p.fail})
	if err != nil {
		return nil, err
	}
	p.connected(l)
	e.most = int(l.conn.MaxPayload())
	p.running.Go(p.confirm)
	return p, nil
}

func (p *plain) send(b *record.Batch, done func(error)) {
	if err := p.room(p.flush); err != nil {
		done(err)
		return
	}
	q := &parcel{done: done, records: len(b.Records), bytes: b.Bytes()}
	sources := p.encoder.begin(b.Container)
	for i := range sources {
		q.subjects[i] = sources[i].subject
	}
	for i := range b.Records {
		r := &b.Records[i]
		var length int
		if p.link.out, length = p.encoder.append(p.link.out, r, "", 0); length > 0 {
			q.rejects = append(q.rejects, tooLong(i, length, p.encoder.most))
		}
		if q.subjects[0] != q.subjects[1] {
			q.streams = append(q.streams, r.Stream&1)
		}
		if len(p.link.out) >= writeSize {
			if err := p.link.spill(); err != nil {
				p.fail(err)
				done(p.failure())
				return
			}
		}
	}
	p.mu.Lock()
	if err := p.err; err != nil {
		p.mu.Unlock()
		done(err)
		return
	}
	p.startLocked(q.bytes)
	p.gathered = append(p.gathered, q)
	p.gatheredBytes += q.bytes
	enough := p.gatheredBytes >= p.gather
	p.mu.Unlock()
	if enough {
		p.flush()
	}
}

// tooLong makes the reject of a message that is longer than the server takes.
func tooLong(index, length, most int) adapters.Reject {
	return adapters.Reject{Index: index, Reason: "too_long", Err: fmt.Errorf(
		"a line makes a message of %d bytes with its headers, and the server's max_payload is %d", length, most)}
}

func (p *plain) flush() {
	if err := p.link.spill(); err != nil {
		p.fail(err)
		return
	}
	p.mu.Lock()
	p.written = append(p.written, p.gathered...)
	clear(p.gathered)
	p.gathered, p.gatheredBytes = p.gathered[:0], 0
	p.mu.Unlock()
	select {
	case p.asked <- struct{}{}:
	default:
	}
}

// confirm asks the server again and again, and settles what it confirms.
func (p *plain) confirm() {
	for {
		select {
		case <-p.asked:
		case <-p.over:
			return
		}
		p.mu.Lock()
		p.waiting, p.written = p.written, nil
		idle := len(p.waiting) == 0
		p.mu.Unlock()
		if idle {
			continue
		}
		if err := p.link.conn.FlushTimeout(p.timeout); err != nil {
			p.fail(fmt.Errorf("waiting for the server to take what was sent: %w", p.link.cause(err)))
			return
		}
		p.link.settleErrors()
		p.settle()
	}
}

// settle settles the batches that the server was asked about.
func (p *plain) settle() {
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	waiting := p.waiting
	p.waiting = nil
	for _, q := range waiting {
		if len(p.denied) > 0 {
			q.deny(p.denied)
		}
		p.landLocked(q.bytes)
	}
	p.mu.Unlock()
	for _, q := range waiting {
		q.done(verdict(q.rejects))
	}
}

// deny takes note of a message that the server refuses.
func (p *plain) deny(subject string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.denied[subject]
	if d == nil {
		d = &denial{err: err}
		p.denied[subject] = d
	}
	d.count++
}

// deny rejects the records that were denied. Those that are rejected already
// were never sent.
func (q *parcel) deny(denied map[string]*denial) {
	before := q.rejects
	q.rejects = nil
	for i := range q.records {
		if len(before) > 0 && before[0].Index == i {
			q.rejects, before = append(q.rejects, before[0]), before[1:]
			continue
		}
		stream := record.Stdout
		if q.streams != nil {
			stream = q.streams[i]
		}
		subject := q.subjects[stream]
		d := denied[subject]
		if d == nil {
			continue
		}
		q.rejects = append(q.rejects, noPermission(i, d.err))
		if d.count--; d.count == 0 {
			delete(denied, subject)
		}
	}
}

// noPermission makes the reject of a message that the server denied.
func noPermission(index int, err error) adapters.Reject {
	return adapters.Reject{Index: index, Reason: "no_permission", Err: err}
}

func (p *plain) fail(err error) {
	p.mu.Lock()
	if !p.failLocked(err) {
		p.mu.Unlock()
		return
	}
	lost := slices.Concat(p.waiting, p.written, p.gathered)
	p.waiting, p.written, p.gathered = nil, nil, nil
	for _, q := range lost {
		p.landLocked(q.bytes)
	}
	p.mu.Unlock()
	for _, q := range lost {
		q.done(err)
	}
	close(p.told)
}

func (p *plain) close() {
	p.fail(adapters.ErrClosed)
	p.link.close()
	p.running.Wait()
	<-p.told
}
