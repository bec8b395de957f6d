package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// stored is a session of JetStream, which answers each message on a subject of
// its own: the inbox and the message's number.
type stored struct {
	flights
	encoder *encoder
	inbox   string
	timeout time.Duration
	// absences are of the route; nil where lines wait for a stream.
	absences *absences
	running  sync.WaitGroup
	// telling counts the batches that have landed and are being told of.
	telling sync.WaitGroup
	// landed is scratch of the goroutine that reads.
	landed []*voyage

	// All below is guarded by the lock of flights. open are the batches that
	// are not settled, oldest first.
	open []*voyage
	// slots has the messages from number head to number tail that are in
	// flight, each at its number modulo the length.
	slots      []slot
	head, tail uint64
}

// slot is a message in flight, or none where voyage is nil.
type slot struct {
	voyage *voyage
	index  int
}

func newStored(ctx context.Context, s *settings, e *encoder) (session, error) {
	p := &stored{
		flights: newFlights(s.limits.InFlight), encoder: e, timeout: s.limits.AckTimeout, absences: s.absences,
		slots: make([]slot, s.window),
	}
	l, err := s.connector.connect(ctx, events{denied: p.deny, broke: p.fail})
	if err != nil {
		return nil, err
	}
	p.connected(l)
	e.most = int(l.conn.MaxPayload())
	stop := context.AfterFunc(ctx, func() { p.fail(ctx.Err()) })
	defer stop()
	if err := p.prepare(ctx, s); err != nil {
		p.fail(err)
		err = p.failure()
		l.close()
		return nil, err
	}
	p.running.Go(p.watch)
	return p, nil
}

// prepare subscribes to the answers and makes the stream.
func (p *stored) prepare(ctx context.Context, s *settings) error {
	conn := p.link.conn
	p.inbox = conn.NewInbox() + "."
	subscription, err := conn.Subscribe(p.inbox+"*", p.answered)
	if err == nil {
		// There are never more than the window has slots.
		err = subscription.SetPendingLimits(-1, -1)
	}
	if err == nil {
		// The answer to the flush ends the last read that passes whole.
		p.link.dialer.pipe.sieve.answers.Store(&answers{command: []byte("MSG " + p.inbox), take: p.take})
		err = conn.FlushTimeout(s.limits.DialTimeout)
	}
	if err != nil {
		return fmt.Errorf("subscribing to JetStream's answers: %w", p.link.cause(err))
	}
	p.link.settleErrors()
	if err := p.failure(); err != nil {
		return err
	}
	if s.stream != nil {
		if err := makeStream(ctx, conn, s); err != nil {
			return err
		}
	}
	if p.absences != nil {
		p.absences.ask(ctx, conn)
	}
	return nil
}

func (p *stored) send(b *record.Batch, done func(error)) {
	if err := p.room(p.flush); err != nil {
		done(err)
		return
	}
	v := &voyage{done: done, bytes: b.Bytes(), messages: make([]message, 0, len(b.Records))}
	sources := p.encoder.begin(b.Container)
	for i := range sources {
		v.subjects[i] = sources[i].subject
	}
	p.mu.Lock()
	if err := p.err; err != nil {
		p.mu.Unlock()
		done(err)
		return
	}
	p.startLocked(v.bytes)
	p.open = append(p.open, v)
	p.mu.Unlock()
	for i := 0; i < len(b.Records); {
		number, n := p.reserve(v, b.Records[i:], i)
		if n == 0 {
			return
		}
		for ; n > 0; n-- {
			var length int
			if p.link.out, length = p.encoder.append(p.link.out, &b.Records[i], p.inbox, number); length > 0 {
				reject := tooLong(i, length, p.encoder.most)
				p.settle(number, &reject)
			}
			if len(p.link.out) >= writeSize {
				p.flush()
			}
			i++
			number++
		}
	}
	p.mu.Lock()
	landed := false
	// Once the session has failed, v is of whoever failed it.
	if p.err == nil {
		v.sent = true
		landed = p.landVoyageLocked(v)
	}
	p.mu.Unlock()
	if landed {
		p.tell(v)
	}
}

// tell tells of a batch that has landed.
func (p *stored) tell(v *voyage) {
	v.done(verdict(v.rejects))
	p.telling.Done()
}

// mostReserved is how many messages get their numbers at a time: many, so that the
// lock is seldom taken, and few to be still unwritten when another is denied.
const mostReserved = 64

// reserve takes the next numbers for messages of v, when there are slots for them:
// for the first n of records, which begin at index of the batch. n is 0 when the
// session has failed.
func (p *stored) reserve(v *voyage, records []record.Record, index int) (first uint64, n int) {
	for {
		p.mu.Lock()
		if p.err != nil {
			p.mu.Unlock()
			return 0, 0
		}
		free := len(p.slots) - int(p.tail-p.head)
		if n = min(free, len(records), mostReserved); n > 0 {
			first = p.tail
			for i := range n {
				p.slots[(first+uint64(i))%uint64(len(p.slots))] = slot{v, index + i}
				v.messages = append(v.messages, message{stream: records[i].Stream & 1})
			}
			p.tail += uint64(n)
			v.left += n
			p.mu.Unlock()
			return first, n
		}
		p.mu.Unlock()
		p.flush()
		// A part of the window at a time, for waking costs more than a message.
		most := uint64(len(p.slots) - len(p.slots)/4)
		if p.until(context.Background(), func() bool { return p.tail-p.head < most }) != nil {
			return 0, 0
		}
	}
}

// take settles messages that are stored.
func (p *stored) take(numbers []uint64) {
	p.mu.Lock()
	for _, number := range numbers {
		if v := p.settleLocked(number, nil); v != nil {
			p.landed = append(p.landed, v)
		}
	}
	p.mu.Unlock()
	// Nobody else uses landed, and nobody else settles a voyage that has landed.
	for _, v := range p.landed {
		p.tell(v)
	}
	clear(p.landed)
	p.landed = p.landed[:0]
}

// answered is called with each answer that the sieve leaves.
func (p *stored) answered(m *natsgo.Msg) {
	number, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), tokenBase, 64)
	if err != nil {
		return
	}
	var refused *refusal
	switch err := parseAck(m); {
	case err == nil:
		p.settle(number, nil)
	case errors.As(err, &refused) && refused.Code == codeTooLong:
		p.settle(number, &adapters.Reject{Reason: "too_long", Err: err})
	default:
		subject := p.subjectOf(number)
		if p.absences != nil && errors.Is(err, errNoStream) && p.absences.note(subject, time.Now()) {
			p.settle(number, noStream(subject))
			return
		}
		p.fail(fmt.Errorf("subject %q: %w", subject, err))
	}
}

// subjectOf returns the subject of a message in flight.
func (p *stored) subjectOf(number uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[number%uint64(len(p.slots))]
	if s.voyage == nil {
		return ""
	}
	return s.voyage.subjects[s.voyage.messages[s.index].stream]
}

// settle settles one message: it is stored, or rejected for good.
func (p *stored) settle(number uint64, reject *adapters.Reject) {
	p.mu.Lock()
	landed := p.settleLocked(number, reject)
	p.mu.Unlock()
	if landed != nil {
		p.tell(landed)
	}
}

// settleLocked returns the batch that has thereby landed, nil when none has.
func (p *stored) settleLocked(number uint64, reject *adapters.Reject) *voyage {
	// Once the session has failed, whoever failed it settles what is in flight.
	if p.err != nil || number < p.head || number >= p.tail {
		return nil
	}
	s := &p.slots[number%uint64(len(p.slots))]
	v := s.voyage
	if v == nil {
		return nil
	}
	if reject != nil {
		reject.Index = s.index
		v.rejects = append(v.rejects, *reject)
	}
	v.messages[s.index].answered = true
	v.left--
	*s = slot{}
	before := p.head
	for p.head < p.tail && p.slots[p.head%uint64(len(p.slots))].voyage == nil {
		p.head++
	}
	if p.head != before {
		p.signal()
	}
	if p.landVoyageLocked(v) {
		return v
	}
	return nil
}

// landVoyageLocked takes a batch out of those that are in flight when all of it
// is answered, and reports whether it was: the caller then calls tell.
func (p *stored) landVoyageLocked(v *voyage) bool {
	if p.err != nil || !v.sent || v.left > 0 {
		return false
	}
	i := slices.Index(p.open, v)
	p.open = slices.Delete(p.open, i, i+1)
	p.landLocked(v.bytes)
	if n := len(v.messages); p.absences != nil && n > 0 && len(v.rejects) == 0 {
		// The others of a batch have one of these two subjects.
		p.absences.stored(v.subjects[v.messages[0].stream])
		if last := v.messages[n-1].stream; last != v.messages[0].stream {
			p.absences.stored(v.subjects[last])
		}
	}
	v.sortRejects()
	p.telling.Add(1)
	return true
}

// deny rejects the oldest message in flight to a subject on which the server lets
// nobody publish. It says so for each message, in order, and answers nothing
// else to it.
func (p *stored) deny(subject string, err error) {
	var landed *voyage
	p.mu.Lock()
	for number := p.head; number < p.tail; number++ {
		s := p.slots[number%uint64(len(p.slots))]
		if s.voyage != nil && s.voyage.subjects[s.voyage.messages[s.index].stream] == subject {
			reject := noPermission(s.index, err)
			landed = p.settleLocked(number, &reject)
			break
		}
	}
	p.mu.Unlock()
	if landed != nil {
		p.tell(landed)
	}
}

// looks is how often within the timeout it is looked whether answers come.
const looks = 8

// watch fails the session when no message of the oldest batch was answered for
// the length of the timeout. Those behind it wait for their turn, which on a slow
// line may be longer than that; what is never answered comes to be the oldest.
func (p *stored) watch() {
	tick := time.NewTicker(p.timeout / looks)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.over:
			return
		}
		if p.stalled() {
			p.fail(fmt.Errorf("JetStream has not acknowledged a message for %v", p.timeout))
			return
		}
	}
}

func (p *stored) stalled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) == 0 {
		return false
	}
	v := p.open[0]
	// A small window may have as many messages in flight at each look, and others
	// each time.
	answered := len(v.messages) - v.left
	if v.left == 0 || answered != v.seen {
		v.seen, v.idle = answered, 0
		return false
	}
	v.idle++
	return v.idle >= looks
}

// flush writes what is gathered. Every message is answered by itself.
func (p *stored) flush() {
	if err := p.link.spill(); err != nil {
		p.fail(err)
	}
}

func (p *stored) fail(err error) {
	p.mu.Lock()
	if !p.failLocked(err) {
		p.mu.Unlock()
		return
	}
	open := p.open
	p.open = nil
	for _, v := range open {
		p.landLocked(v.bytes)
	}
	p.mu.Unlock()
	// Nobody else touches them any more.
	for _, v := range open {
		v.done(v.result(err))
	}
	close(p.told)
}

func (p *stored) close() {
	p.fail(adapters.ErrClosed)
	p.link.close()
	p.running.Wait()
	<-p.told
	p.telling.Wait()
}
