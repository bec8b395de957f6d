// Package adaptertest holds the tests that every adapter passes, and the servers
// and certificates that they need.
package adaptertest

import (
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

// Suite describes an adapter to Run.
type Suite struct {
	// Start starts a server and has t.Cleanup end it. It is called with every
	// mode, with Serves alone when Lossy is set.
	Start func(t *testing.T, mode Mode) Server
	// New makes the adapter with deadlines far below Patience.
	New func(t *testing.T, address string) adapters.Adapter
	// Patience is how long anything may take; 20 s when zero.
	Patience time.Duration
	// MaxLine is the longest line that passes whole; 1 MiB when zero.
	MaxLine int
	// Lossy says that the protocol gives no notice of what arrives, so that
	// only servers that read are tried, and no faster than they read.
	Lossy bool
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	if s.Patience == 0 {
		s.Patience = 20 * time.Second
	}
	if s.MaxLine == 0 {
		s.MaxLine = 1 << 20
	}
	run := func(name string, reliable bool, f func(*testing.T, *Suite)) {
		t.Run(name, func(t *testing.T) {
			if reliable && s.Lossy {
				t.Skip("the protocol gives no notice of what arrives")
			}
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
	run("a server that never reads is given up", true, testMute)
	run("a server that refuses is an error to retry", true, testRefused)
	run("cancelling ends a blocked Send", true, testCancel)
	run("Close settles what a mute server left", true, testCloseSettles)
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
