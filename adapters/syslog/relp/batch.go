package relp

import "tallyman/adapters"

// batch is one call of Begin and, once done is set, Commit.
type batch struct {
	first, end uint64
	rejects    []adapters.Reject
	done       func(error)
}

// settle calls done for each committed batch at the front that is settled or,
// once the session is broken, for all of them. No lock is held during the calls,
// and when another goroutine is at it already, it does the work.
func (s *session) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settling {
		return
	}
	s.settling = true
	for len(s.batches) > 0 {
		b := s.batches[0]
		if b.done == nil || b.end > s.front && s.err == nil {
			break
		}
		s.batches[0] = batch{}
		s.batches = s.batches[1:]
		err := b.result(s.front, s.err)
		s.lost = s.lost || b.end > s.front
		s.mu.Unlock()
		b.done(err)
		s.mu.Lock()
	}
	s.settling = false
}

// result returns what to tell of a batch when all messages before front are
// settled and the others failed with err.
func (b *batch) result(front uint64, err error) error {
	switch {
	case b.end > front && front > b.first:
		return &adapters.PartialError{Settled: int(front - b.first), Rejects: b.rejects, Err: err}
	case b.end > front:
		return err
	case b.rejects != nil:
		return adapters.Rejected(b.rejects)
	default:
		return nil
	}
}
