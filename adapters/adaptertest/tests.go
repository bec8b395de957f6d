package adaptertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
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
		if s.UTF8 {
			want[i] = []byte(string([]rune(string(want[i]))))
		}
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
		key, rest, _ := strings.Cut(string(line), ":")
		digits, _, _ := strings.Cut(rest, " ")
		number, err := strconv.Atoi(digits)
		if err != nil || number < 0 {
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

// manyBatches is how many batches of 200 lines are more than a connection's
// buffers and the default limits hold: about 1.8 MB.
const manyBatches = 100

func testMany(t *testing.T, s *Suite) {
	batches := numbered(3, manyBatches, 200)
	if s.Lossy || s.Slow {
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
	c.pause = 20 * time.Millisecond // Close waits for whoever is being told, too.
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
