package post

import (
	"tallyman/adapters"
	"tallyman/adapters/transport/wire"
)

// parcel is one call of Send. Its lane's mutex guards it.
type parcel struct {
	done func(error)
	// records is how many it has, settled how many are delivered or given up,
	// which are the first ones.
	records, settled int
	// rejects are those among the settled that are given up.
	rejects []adapters.Reject
	// unfit are those that the encoder has rejected and that are not settled, for
	// others are before them.
	unfit []adapters.Reject
	// over says that done has been called or is about to be.
	over bool
}

// settle settles the next n records that are in bodies, as v says, and those
// behind each that the encoder has rejected.
func (p *parcel) settle(n int, v *Verdict) {
	for range n {
		if v.Rejected > 0 {
			v.Rejected--
			p.rejects = append(p.rejects, adapters.Reject{Index: p.settled, Reason: v.Reason, Err: v.Err})
		}
		p.settled++
		p.passUnfit()
	}
}

// reject notes that the encoder has rejected a record.
func (p *parcel) reject(index int, err error) {
	p.unfit = append(p.unfit, wire.Reject(index, err))
	p.passUnfit()
}

// passUnfit settles the rejected records that come next.
func (p *parcel) passUnfit() {
	for len(p.unfit) > 0 && p.unfit[0].Index == p.settled {
		p.rejects = append(p.rejects, p.unfit[0])
		p.unfit = p.unfit[1:]
		p.settled++
	}
}

// success returns what to tell of a parcel that is settled.
func (p *parcel) success() error {
	if len(p.rejects) > 0 {
		return adapters.Rejected(p.rejects)
	}
	return nil
}

// failure returns what to tell of a parcel whose unsettled records failed.
func (p *parcel) failure(err error) error {
	if p.settled == 0 {
		return err
	}
	return &adapters.PartialError{Settled: p.settled, Rejects: p.rejects, Err: err}
}

// settlement is a call of a done function that is still to be made.
type settlement struct {
	done func(error)
	err  error
}

// settle tells what became of the next n records of a body.
func (l *lane) settle(b *body, n int, v Verdict) {
	l.mu.Lock()
	for n > 0 {
		next := &b.pieces[b.told]
		p, k := next.parcel, min(n, next.n)
		p.settle(k, &v)
		n -= k
		if next.n -= k; next.n == 0 {
			b.told++
		}
		if p.settled == p.records {
			l.finishLocked(p, p.success())
		}
	}
	l.mu.Unlock()
	l.tell()
}

// fail settles all that is left of a body and what came behind it.
func (l *lane) fail(b *body, err error) {
	l.mu.Lock()
	if l.adapter.ctx.Err() != nil {
		err = adapters.ErrClosed
	}
	if l.closed && l.undelivered == nil {
		l.undelivered = err
	}
	l.refused, l.telling = err, true
	for _, pieces := range [][]piece{b.pieces[b.told:], l.open.pieces} {
		for _, next := range pieces {
			l.finishLocked(next.parcel, next.parcel.failure(err))
		}
	}
	l.open.reset()
	l.full = false
	signal(l.room)
	l.mu.Unlock()
	l.tell()
	l.mu.Lock()
	l.telling = false
	l.told.Broadcast()
	l.mu.Unlock()
	l.recycle(b)
}

// finishLocked notes that a parcel is to be told err, unless it was already.
func (l *lane) finishLocked(p *parcel, err error) {
	if p.over {
		return
	}
	p.over = true
	l.finished = append(l.finished, settlement{p.done, err})
}

// tell calls the done functions that finishLocked has noted.
func (l *lane) tell() {
	for _, s := range l.finished {
		s.done(s.err)
	}
	clear(l.finished)
	l.finished = l.finished[:0]
}
