package adaptertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

func testUnused(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	adapter := s.New(t, server.Address())
	adapter.Flush(t.Context())
	if err := adapter.Close(t.Context()); err != nil {
		t.Fatalf("closing an adapter that sent nothing: %v", err)
	}
	if n := server.Count(); n != 0 {
		t.Fatalf("the server has %d lines", n)
	}
}

func testUnaltered(t *testing.T, s *Suite) {
	lines := [][]byte{
		[]byte("hello"),
		{},
		[]byte(" spaces around "),
		[]byte("100%s %d %%"),
		[]byte("{{.Data}} ${HOME} \\n \"quoted\""),
		[]byte("NUL \x00 and \x1b[31mcolour\x1b[0m and tab\t"),
		[]byte("carriage return\r"),
		[]byte("invalid \xff\xfe UTF-8 \xc3"),
		[]byte("grüße, 世界 🚢"),
		bytes.Repeat([]byte("0123456789abcdef"), s.MaxLine/16),
		[]byte("<14>1 - - - - - - in disguise"),
		[]byte("12 3"),
		{},
		[]byte("last"),
	}
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	var want [][]byte
	for _, container := range Containers(3) {
		c.mustDeliver(server, s.Lossy, NewBatch(container, lines...))
		want = append(want, lines...)
	}
	got := server.Lines()
	if len(got) != len(want) {
		t.Fatalf("%d lines arrived, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("line %d arrived as %.100q, want %.100q", i, got[i], want[i])
		}
	}
}

// numbered returns batches of size lines, taken in turn from the containers,
// each with its container's number, its own, and some length.
func numbered(containers, batches, size int) []*record.Batch {
	list := make([]*record.Batch, 0, batches)
	next := make([]int, containers)
	all := Containers(containers)
	for i := range batches {
		lines := make([][]byte, size)
		for j := range lines {
			lines[j] = fmt.Appendf(nil, "%d:%d %s", i%containers, next[i%containers],
				strings.Repeat("x", (i*size+j)%150))
			next[i%containers]++
		}
		list = append(list, NewBatch(all[i%containers], lines...))
	}
	return list
}

// checkNumbered fails the test unless each of the lines made by numbered is
// there unaltered, and in order: a line may come again, and then those behind
// it, but none comes before the one before it.
func checkNumbered(t *testing.T, got [][]byte, batches []*record.Batch) (repeated int) {
	t.Helper()
	want := map[string][][]byte{}
	for _, b := range batches {
		for i := range b.Records {
			key, _, _ := strings.Cut(string(b.Records[i].Line), ":")
			want[key] = append(want[key], b.Records[i].Line)
		}
	}
	next := map[string]int{}
	for _, line := range got {
		var key string
		var number int
		if _, err := fmt.Sscanf(strings.Replace(string(line), ":", " ", 1), "%s %d", &key, &number); err != nil {
			t.Fatalf("a line that was not sent arrived: %.100q", line)
		}
		switch {
		case number > next[key]:
			t.Fatalf("of container %s line %d arrived before line %d", key, number, next[key])
		case number >= len(want[key]) || !bytes.Equal(line, want[key][number]):
			t.Fatalf("of container %s line %d arrived as %.100q", key, number, line)
		case number == next[key]:
			next[key]++
		default:
			repeated++
		}
	}
	for key, lines := range want {
		if next[key] != len(lines) {
			t.Fatalf("of container %s %d of %d lines arrived", key, next[key], len(lines))
		}
	}
	return repeated
}

func testMany(t *testing.T, s *Suite) {
	batches := numbered(3, 300, 200)
	if s.Lossy {
		batches = numbered(3, 60, 50)
	}
	server := s.Start(t, Serves)
	newCourier(t, s, server.Address()).mustDeliver(server, s.Lossy, batches...)
	if n := checkNumbered(t, server.Lines(), batches); n != 0 {
		t.Fatalf("%d lines arrived twice", n)
	}
}

func testMemory(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	container := Containers(1)[0]
	var want []string
	block := make([]byte, 64)
	b := &record.Batch{Container: container, Records: make([]record.Record, 1)}
	for i := range 100 {
		line := fmt.Sprintf("line %d", i)
		want = append(want, line)
		b.Records[0] = record.Record{Time: 1e18, Line: block[:copy(block, line)]}
		c.send(t.Context(), b)
		for j := range block {
			block[j] = '#'
		}
		b.Records[0] = record.Record{Line: block, Stream: record.Stderr}
		if s.Lossy {
			c.arrived(server, i+1)
		}
	}
	c.adapter.Flush(t.Context())
	c.settled()
	c.arrived(server, len(want))
	for i, line := range server.Lines() {
		if string(line) != want[i] {
			t.Fatalf("line %d arrived as %.100q, want %q", i, line, want[i])
		}
	}
}

func testFlush(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	for i := range 5 {
		p := c.send(t.Context(), NewBatch(Containers(1)[0], []byte("one")))
		c.adapter.Flush(t.Context())
		c.settled()
		if err := c.result(p); err != nil {
			t.Fatal(err)
		}
		c.arrived(server, i+1)
	}
}

func testCloseDelivers(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	first := c.send(t.Context(), NewBatch(Containers(1)[0], []byte("one"), []byte("two")))
	second := c.send(t.Context(), NewBatch(Containers(1)[0], []byte("three")))
	if err := c.adapter.Close(t.Context()); err != nil {
		t.Fatalf("closing: %v", err)
	}
	if err := errors.Join(c.result(first), c.result(second)); err != nil {
		t.Fatal(err)
	}
	c.arrived(server, 3)
}

func testEmpty(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	p := c.send(t.Context(), NewBatch(Containers(1)[0]))
	c.adapter.Flush(t.Context())
	c.settled()
	if err := c.result(p); err != nil {
		t.Fatal(err)
	}
}

func testSendAfterClose(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	c.mustDeliver(server, s.Lossy, NewBatch(Containers(1)[0], []byte("one")))
	if err := c.adapter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := c.send(t.Context(), NewBatch(Containers(1)[0], []byte("two")))
	c.adapter.Flush(t.Context())
	c.settled()
	if err := c.result(p); !errors.Is(err, adapters.ErrClosed) {
		t.Fatalf("got %v, want %v", err, adapters.ErrClosed)
	}
}

func testEnded(t *testing.T, s *Suite) {
	server := s.Start(t, Serves)
	c := newCourier(t, s, server.Address())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p := c.send(ended, NewBatch(Containers(1)[0], []byte("one")))
	if err := c.result(p); err == nil {
		t.Fatal("a batch sent with an ended context is said to be delivered")
	}
	c.anyFailed()
	c.mustDeliver(server, s.Lossy, NewBatch(Containers(1)[0], []byte("two")))
}

func testReset(t *testing.T, s *Suite) {
	server := s.Start(t, Resets)
	batches := numbered(3, 300, 200)
	c := newCourier(t, s, server.Address())
	c.deliver(t.Context(), batches)
	if err := c.adapter.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, b := range batches {
		sent += len(b.Records)
	}
	c.arrived(server, sent)
	// Lines may come twice, so the number of lines does not tell when all came.
	seen := 0
	Eventually(t, s.Patience, "no more lines come", func() bool {
		before := seen
		seen = server.Count()
		return seen == before
	})
	repeated := checkNumbered(t, server.Lines(), batches)
	t.Logf("%d lines were sent, %d arrived again after the reset", sent, repeated)
}

func testMute(t *testing.T, s *Suite) {
	server := s.Start(t, Mute)
	c := newCourier(t, s, server.Address())
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
		t.Fatal("the adapter gave up before it was cancelled; its deadlines are too short for this test")
	}
	if err := c.result(last); err == nil {
		t.Fatal("a cancelled batch is said to be delivered")
	}
}

func testCloseSettles(t *testing.T, s *Suite) {
	server := s.Start(t, Mute)
	c := newCourier(t, s, server.Address())
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
