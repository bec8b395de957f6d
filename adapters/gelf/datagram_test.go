package gelf

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	library "github.com/Graylog2/go-gelf/gelf"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// sendOne sends a line and returns what became of it.
func sendOne(t *testing.T, a adapters.Adapter, line []byte) error {
	t.Helper()
	result := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(web(), line), func(err error) { result <- err })
	a.Flush(t.Context())
	select {
	case err := <-result:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the batch is not settled")
		return nil
	}
}

func mustAdapter(t testing.TB, c adapters.Config) adapters.Adapter {
	t.Helper()
	a, err := newAdapter(c, transport.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return a
}

// noise returns a line that can hardly be compressed.
func noise(length int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	line := make([]byte, length)
	for i := range line {
		line[i] = ' ' + 3 + byte(random.IntN(56)) // Neither quote nor backslash.
	}
	return line
}

// The library's reader gets every length whole, whatever the compression.
func TestReaderTakesAllLengths(t *testing.T) {
	for _, compression := range []string{"none", "auto", "gzip", "zlib"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			server := startReader(t)
			a := mustAdapter(t, resolve(t, "udp", server.Address(), options{"compression": compression, "compression_level": "9"}))
			overhead := len(encode(t, mustEncoder(t, "udp", nil), web(), record.Record{Line: []byte("x"), Time: oneOClock})) - 1
			var want [][]byte
			const data = library.ChunkSize - chunkHeader
			for _, edge := range []int{library.ChunkSize, 2 * data, 3 * data, 20 * data} {
				for length := edge - 3; length <= edge+3; length++ {
					want = append(want, noise(length-overhead))
				}
			}
			for i, line := range want {
				if err := sendOne(t, a, line); err != nil {
					t.Fatal(err)
				}
				adaptertest.Eventually(t, adaptertest.Patience, "the message arrives", func() bool { return server.Count() > i })
			}
			for i, line := range server.Lines() {
				if !bytes.Equal(line, want[i]) {
					t.Fatalf("a line of %d bytes arrived as %d bytes", len(want[i]), len(line))
				}
			}
			m := server.messages[0]
			if m.Host != "dock1" || m.Level != 6 || m.Version != "1.1" || m.Extra["_container_name"] != "web" {
				t.Errorf("the reader's message is %+v", m)
			}
		})
	}
}

// capture is a UDP socket and the datagrams that it gets.
func capture(t *testing.T) (address string, next func() []byte) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String(), func() []byte {
		buf := make([]byte, 64<<10)
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
}

// Chunks are no longer than allowed, none is empty, and no two messages have the
// same ID.
func TestChunks(t *testing.T) {
	address, next := capture(t)
	a := mustAdapter(t, resolve(t, "udp", address, options{"compression": "none", "chunk_size": "600"}))
	overhead := len(encode(t, mustEncoder(t, "udp", nil), web(), record.Record{Line: []byte("x"), Time: oneOClock})) - 1
	ids := map[string]bool{}
	for _, chunks := range []int{2, 3, 5} {
		line := noise(chunks*(600-chunkHeader) - overhead) // They are full.
		if err := sendOne(t, a, line); err != nil {
			t.Fatal(err)
		}
		var message []byte
		for i := range chunks {
			chunk := next()
			if len(chunk) != 600 || chunk[0] != 0x1e || chunk[1] != 0x0f || int(chunk[10]) != i || int(chunk[11]) != chunks {
				t.Fatalf("chunk %d of %d has %d bytes and begins with %x", i, chunks, len(chunk), chunk[:chunkHeader])
			}
			if known := ids[string(chunk[2:10])]; known != (i > 0) {
				t.Fatalf("the ID of chunk %d of %d is known: %v", i, chunks, known)
			}
			ids[string(chunk[2:10])] = true
			message = append(message, chunk[chunkHeader:]...)
		}
		if !bytes.Equal(textOf(message), line) {
			t.Fatalf("%d chunks make the message %.100q", chunks, message)
		}
	}
	// auto compresses nothing that fits, and all that does not.
	a = mustAdapter(t, resolve(t, "udp", address, nil))
	if err := sendOne(t, a, []byte("short")); err != nil {
		t.Fatal(err)
	}
	if got := next(); string(textOf(got)) != "short" {
		t.Errorf("got %.100q", got)
	}
	if err := sendOne(t, a, bytes.Repeat([]byte("long"), 1000)); err != nil {
		t.Fatal(err)
	}
	if got := next(); got[0] != 0x1f || got[1] != 0x8b {
		t.Errorf("got %.100q", got)
	}
}

// What 128 chunks cannot hold is cut, and counted, or rejected.
func TestTooManyChunks(t *testing.T) {
	for _, compression := range []string{"none", "auto", "zlib"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			server := startReader(t)
			o := options{"compression": compression, "chunk_size": "512"}
			c := resolve(t, "udp", server.Address(), o)
			var cuts atomic.Int64
			c.Count = func(event string, lines int64) {
				if event == "cut" {
					cuts.Add(lines)
				}
			}
			const room = maxChunks * (512 - chunkHeader)
			a := mustAdapter(t, c)
			// The end of the first is the part that is hard to compress; the other
			// is not far from what fits.
			line := append(bytes.Repeat([]byte("easy "), 20_000), noise(1_000_000)...)
			for i, line := range [][]byte{line, noise(room * 3 / 2)} {
				if err := sendOne(t, a, line); err != nil {
					t.Fatal(err)
				}
				adaptertest.Eventually(t, adaptertest.Patience, "the message arrives", func() bool { return server.Count() > i })
				got := server.Lines()[i]
				if !bytes.HasPrefix(line, got) || len(got) < room*9/10 || cuts.Load() != int64(i+1) {
					t.Errorf("%d of %d bytes arrived, %d cuts were counted", len(got), len(line), cuts.Load())
				}
			}
			o["too_long"] = "reject"
			err := sendOne(t, mustAdapter(t, resolve(t, "udp", server.Address(), o)), line)
			var rejected *adapters.RejectedError
			if !errors.As(err, &rejected) || rejected.Rejects[0].Reason != "too_long" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A blank line is told of with its place, and the others arrive.
func TestDatagramRejects(t *testing.T) {
	server := startReader(t)
	a := mustAdapter(t, resolve(t, "udp", server.Address(), nil))
	var result error
	a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("one"), []byte(" "), []byte("three")), func(err error) { result = err })
	var rejected *adapters.RejectedError
	if !errors.As(result, &rejected) || len(rejected.Rejects) != 1 || rejected.Rejects[0].Index != 1 || rejected.Rejects[0].Reason != "blank" {
		t.Fatalf("got %v", result)
	}
	adaptertest.Eventually(t, adaptertest.Patience, "two messages arrive", func() bool { return server.Count() == 2 })
}

// When nobody listens any more, the error names the first record that was not
// sent, and the rejects before it.
func TestDatagramPartial(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().String()
	_ = conn.Close()
	a := mustAdapter(t, resolve(t, "udp", address, nil))
	lines := make([][]byte, 1000)
	for i := range lines {
		lines[i] = fmt.Append(nil, i)
	}
	lines[0] = nil
	var partial *adapters.PartialError
	adaptertest.Eventually(t, adaptertest.Patience, "the kernel says that nobody listens", func() bool {
		var result error
		a.Send(t.Context(), adaptertest.NewBatch(web(), lines...), func(err error) { result = err })
		return errors.As(result, &partial)
	})
	if partial.Settled < 1 || partial.Settled >= len(lines) || len(partial.Rejects) != 1 || partial.Rejects[0].Index != 0 {
		t.Errorf("got %+v", partial)
	}
}

// A datagram costs no allocation, compressed or not.
func TestDatagramAllocates(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "zlib"} {
		address, _ := capture(t)
		a := mustAdapter(t, resolve(t, "udp", address, options{"compression": compression}))
		b := flood(200)
		b.Records = b.Records[:2*atOnce]
		n := testing.AllocsPerRun(3, func() { a.Send(t.Context(), b, func(error) {}) })
		if perLine := n / float64(len(b.Records)); perLine > 0.05 {
			t.Errorf("%s: %v allocations a line", compression, perLine)
		}
	}
}
