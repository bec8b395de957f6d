package record

import "sync/atomic"

// Answer is the engine's whole answer about a container. It is large and seldom
// asked for, so whoever makes one keeps it packed. It is safe for concurrent use,
// and what it gives must not be changed.
type Answer struct {
	unpack func() any
	kept   atomic.Pointer[any]
}

// NewAnswer returns the answer that unpack unpacks, always to the same.
func NewAnswer(unpack func() any) *Answer { return &Answer{unpack: unpack} }

// Unpack returns the answer, for who asks for it once.
func (a *Answer) Unpack() any {
	if kept := a.kept.Load(); kept != nil {
		return *kept
	}
	return a.unpack()
}

// Keep returns the answer and keeps it unpacked from now on, for who asks for it
// with every batch.
func (a *Answer) Keep() any {
	answer := a.Unpack()
	a.kept.CompareAndSwap(nil, &answer)
	return answer
}
