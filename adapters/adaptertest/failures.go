package adaptertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"tallyman/adapters"
)

func testReset(t *testing.T, s *Suite) {
	server := s.Start(t, Resets)
	batches := numbered(3, manyBatches, 200)
	c := newCourier(t, s, server.Address())
	c.deliver(t.Context(), batches)
	if err := c.adapter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, b := range batches {
		sent += len(b.Records)
	}
	// Lines may come twice, so the number of lines does not tell when all came.
	seen, came := 0, map[string]bool{}
	Eventually(t, s.Patience, "every line has arrived", func() bool {
		if server.Count() == seen {
			return false
		}
		// In mode Resets the lines of the first connection come first, so that
		// all have to be looked at again.
		lines := server.Lines()
		seen = len(lines)
		for _, line := range lines {
			came[string(line)] = true
		}
		return len(came) >= sent
	})
	if b, ok := server.(Breaker); ok && !b.Broke() {
		t.Error("the server has not broken its first connection")
	}
	repeated := checkNumbered(t, server.Lines(), batches)
	t.Logf("%d lines were sent, %d arrived again after the reset", sent, repeated)
}

// A caller who does not look at what becomes of its batches, until one has failed
// when Send returns, finds no batch delivered behind one that failed.
func testNotOvertaken(t *testing.T, s *Suite) {
	server := s.Start(t, Resets)
	c := newCourier(t, s, server.Address())
	batches := numbered(1, manyBatches, 200)
	deadline := time.Now().Add(s.Patience)
	for i, known := 0, false; !known; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("the reset is not noticed after %d batches", i)
		}
		p := c.send(t.Context(), batches[i%len(batches)])
		c.mu.Lock()
		known = p.err != nil
		c.mu.Unlock()
	}
	c.adapter.Flush(t.Context())
	c.settled()
	failed := -1
	for i, p := range c.parcels {
		switch err := c.result(p); {
		case err != nil && failed < 0:
			failed = i
		case err == nil && failed >= 0:
			t.Fatalf("batch %d was delivered, batch %d before it has failed", i, failed)
		}
	}
	c.anyFailed()
	// The failure may have come after the Flush above.
	c.adapter.Flush(t.Context())
	last := c.send(t.Context(), NewBatch(Containers(1)[0], []byte("last")))
	c.adapter.Flush(t.Context())
	c.settled()
	if err := c.result(last); err != nil {
		t.Fatalf("once the failure is known: %v", err)
	}
}

// A server that reads more slowly than lines come holds them back, and nothing
// fails for it.
func testSlow(t *testing.T, s *Suite) {
	server := s.Start(t, ReadsSlowly)
	batches := numbered(3, 40, 200)
	if s.Slow {
		batches = numbered(3, 20, 50)
	}
	newCourier(t, s, server.Address()).mustDeliver(server, false, batches...)
	if n := checkNumbered(t, server.Lines(), batches); n != 0 {
		t.Fatalf("%d lines arrived twice", n)
	}
}

func testMute(t *testing.T, s *Suite) {
	server := s.Start(t, Mute)
	c := newCourierOf(t, s.NewImpatient(t, server.Address()), s.Patience)
	start := time.Now()
	for _, b := range numbered(2, 400, 200) {
		c.send(t.Context(), b)
		if c.anyFailed() {
			break
		}
	}
	c.adapter.Flush(t.Context())
	c.settled()
	took := time.Since(start)
	// Not the last one need have failed: a new connection, made after the old
	// one was given up, can hold a little.
	var err error
	for _, p := range c.parcels {
		if err = c.result(p); err != nil {
			break
		}
	}
	if err == nil {
		t.Fatal("a server that never reads is said to have taken all")
	}
	if took > s.Patience {
		t.Fatalf("giving up took %v", took)
	}
	mustRetry(t, err)
	t.Logf("given up after %v: %v", took.Round(time.Millisecond), err)
}

func testRefused(t *testing.T, s *Suite) {
	server := s.Start(t, Refuses)
	c := newCourier(t, s, server.Address())
	for range 3 {
		p := c.send(t.Context(), NewBatch(Containers(1)[0], []byte("one")))
		c.adapter.Flush(t.Context())
		c.settled()
		err := c.result(p)
		if err == nil {
			t.Fatal("a server that refuses is said to have taken a batch")
		}
		mustRetry(t, err)
	}
}

// mustRetry fails the test when err gives records up.
func mustRetry(t *testing.T, err error) {
	t.Helper()
	var permanent *adapters.PermanentError
	var rejected *adapters.RejectedError
	if errors.As(err, &permanent) || errors.As(err, &rejected) {
		t.Fatalf("an error of the connection gives records up: %v", err)
	}
}

func testCancel(t *testing.T, s *Suite) {
	server := s.Start(t, Mute)
	// With deadlines that are none here.
	c := newCourier(t, s, server.Address())
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(30*time.Millisecond, cancel)
	defer stop.Stop()
	var last *parcel
	for _, b := range numbered(2, 400, 200) {
		last = c.send(ctx, b)
		if ctx.Err() != nil || c.anyFailed() {
			break
		}
	}
	if ctx.Err() == nil {
		t.Fatalf("the adapter gave up before it was cancelled: %v", c.result(last))
	}
	if err := c.result(last); err == nil {
		t.Fatal("a cancelled batch is said to be delivered")
	}
}

func testCloseSettles(t *testing.T, s *Suite) {
	server := s.Start(t, Mute)
	c := newCourierOf(t, s.NewImpatient(t, server.Address()), s.Patience)
	failed := false
	for _, b := range numbered(2, 4, 5000) {
		c.send(t.Context(), b)
		failed = failed || c.anyFailed()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.adapter.Close(ctx)
	if err == nil && !failed && !c.anyFailed() {
		t.Fatal("a server that never reads is said to have taken all")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != 0 {
		t.Fatalf("%d batches are not settled after Close", c.open)
	}
}
