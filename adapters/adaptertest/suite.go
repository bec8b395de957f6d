// Package adaptertest holds the tests that every adapter passes, and the servers
// and certificates that they need.
package adaptertest

import (
	"maps"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/adapters"
)

// Mode says how a server treats its clients.
type Mode int

const (
	// Serves reads everything.
	Serves Mode = iota
	// Resets breaks off its first connection in the middle of the data and
	// serves all later ones. It must have taken, and return from Lines, all
	// that its kernel acknowledged, for no adapter without acknowledgements in
	// its protocol can make up for what a server throws away.
	Resets
	// Mute accepts connections and never reads.
	Mute
	// Refuses does not listen on its address.
	Refuses
	// ReadsSlowly reads everything, in small pieces with pauses between them.
	ReadsSlowly
)

// Server is a destination made by a test.
type Server interface {
	// Address is the host and port to send to.
	Address() string
	// Lines returns the text of every message received so far, in order. A
	// message that broke off is not among them.
	Lines() [][]byte
	// Count returns the number of Lines.
	Count() int
}

// Breaker is a Server that can tell whether it broke off its first connection,
// as one in mode Resets is to.
type Breaker interface {
	Server
	// Broke reports whether it did.
	Broke() bool
}

// Patience is how long a test waits for what is sure to come: far longer than it
// takes on a busy machine, for it only guards against waiting for ever.
const Patience = time.Minute

// Suite describes an adapter to Run.
type Suite struct {
	// Start starts a server and has t.Cleanup end it. It is called with every
	// mode, with Serves alone when Lossy is set.
	Start func(t *testing.T, mode Mode) Server
	// New makes the adapter. Its deadlines are for a server that works on a
	// busy machine.
	New func(t *testing.T, address string) adapters.Adapter
	// NewImpatient makes the adapter for servers that never read, with
	// deadlines of some hundred milliseconds; New does when nil.
	NewImpatient func(t *testing.T, address string) adapters.Adapter
	// Patience is how long anything may take; the constant of that name when
	// zero.
	Patience time.Duration
	// MaxLine is the longest line that passes whole; 1 MiB when zero.
	MaxLine int
	// Slow says that each line costs a request, so that fewer are sent.
	Slow bool
	// Lossy says that the protocol gives no notice of what arrives, so that
	// only servers that read are tried, and no faster than they read.
	Lossy bool
	// UTF8 says that the protocol's text is UTF-8: each byte that is not
	// arrives as U+FFFD.
	UTF8 bool
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Patience == 0 {
		s.Patience = Patience
	}
	if s.NewImpatient == nil {
		s.NewImpatient = s.New
	}
	if s.MaxLine == 0 {
		s.MaxLine = 1 << 20
	}
	run := func(name string, reliable bool, f func(*testing.T, *Suite)) {
		if reliable && s.Lossy {
			return // The protocol gives no notice of what arrives.
		}
		t.Run(name, func(t *testing.T) {
			current := goleak.IgnoreCurrent()
			// Registered first and so run last, after the server's end.
			t.Cleanup(func() { goleak.VerifyNone(t, current) })
			f(t, &s)
		})
	}
	run("an adapter that is not used does not connect", false, testUnused)
	run("lines arrive unaltered and in order", false, testUnaltered)
	run("very many lines arrive in order", false, testMany)
	run("the memory of a batch is not kept", false, testMemory)
	run("Flush delivers", false, testFlush)
	run("Close delivers", false, testCloseDelivers)
	run("an empty batch is settled", false, testEmpty)
	run("Send after Close is settled", false, testSendAfterClose)
	run("Send with an ended context is settled", false, testEnded)
	run("after a reset nothing is missing", true, testReset)
	run("a batch that failed is not overtaken", true, testNotOvertaken)
	run("a slow server gets everything once", true, testSlow)
	run("a server that never reads is given up", true, testMute)
	run("a server that refuses is an error to retry", true, testRefused)
	run("cancelling ends a blocked Send", true, testCancel)
	run("Close settles what a mute server left", true, testCloseSettles)
}

// With returns options, not nil, and one more, which wins.
func With(options map[string]string, name, value string) map[string]string {
	options = maps.Clone(options)
	options[name] = value
	return options
}

// Eventually polls until condition holds, and fails the test after patience.
func Eventually(t *testing.T, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still not so after %v: %s", patience, what)
		}
	}
}
