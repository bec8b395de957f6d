package nats

import (
	"slices"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// voyage is a batch whose messages are on their way.
type voyage struct {
	done     func(error)
	bytes    int
	subjects [record.Streams]string
	// messages has what became of each message that was sent.
	messages []message
	// left counts those that are not answered; sent says that there will be no
	// more of them.
	left int
	sent bool
	// rejects are in the order of the answers.
	rejects []adapters.Reject
	// seen is how many were answered at the last look, idle for how many looks.
	seen, idle int
}

// message is what is known of one message in flight.
type message struct {
	stream   record.Stream
	answered bool
}

// result is what is told of a batch that was in flight when the session failed:
// the messages up to the first that was not answered are settled.
func (v *voyage) result(err error) error {
	settled := slices.IndexFunc(v.messages, func(m message) bool { return !m.answered })
	if settled < 0 {
		settled = len(v.messages)
	}
	if v.sent && settled == len(v.messages) {
		return verdict(v.rejects)
	}
	if settled == 0 {
		return err
	}
	v.sortRejects()
	n, _ := slices.BinarySearchFunc(v.rejects, settled, func(r adapters.Reject, settled int) int { return r.Index - settled })
	return &adapters.PartialError{Settled: settled, Rejects: v.rejects[:n], Err: err}
}

func (v *voyage) sortRejects() {
	slices.SortFunc(v.rejects, func(a, b adapters.Reject) int { return a.Index - b.Index })
}
