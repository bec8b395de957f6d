package nats

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

const testInbox = "_INBOX.abc."

// ack is what a server sends when it has stored the message of a number.
func ack(token, answer string) string {
	return fmt.Sprintf("MSG %s%s 1 %d\r\n%s\r\n", testInbox, token, len(answer), answer)
}

// sift sends a text through a sieve and returns what passed and what was taken.
func sift(t testing.TB, from io.Reader, size int) (passed string, taken []uint64) {
	t.Helper()
	var s sieve
	s.answers.Store(&answers{command: []byte("MSG " + testInbox), take: func(numbers []uint64) { taken = append(taken, numbers...) }})
	p := make([]byte, size)
	var out strings.Builder
	for {
		n, err := s.read(from, p)
		out.Write(p[:n])
		if err == io.EOF {
			return out.String(), taken
		}
		if err != nil || n == 0 {
			t.Fatalf("%d bytes and %v", n, err)
		}
	}
}

func TestSieve(t *testing.T) {
	const stored = `{"stream":"LOGS","seq":7}`
	f := func(text, want string, numbers ...uint64) {
		t.Helper()
		for _, size := range []int{1, 7, 32 << 10} {
			for name, r := range map[string]io.Reader{
				"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)),
				"halves": iotest.HalfReader(strings.NewReader(text)), "with the end": iotest.DataErrReader(strings.NewReader(text)),
			} {
				passed, taken := sift(t, r, size)
				if passed != want || !slices.Equal(taken, numbers) {
					t.Errorf("%.60q %s by %d: passed %.60q, took %v", text, name, size, passed, taken)
				}
			}
		}
	}
	f("", "")
	f(ack("0", stored), "", 0)
	f(ack("1", stored)+ack("vv", stored)+ack("10", `{"stream":"LOGS","domain":"hub","seq":42}`), "", 1, 1023, 32)
	f("INFO {}\r\n"+ack("2", stored)+"PONG\r\n"+ack("3", stored)+"+OK\r\n", "INFO {}\r\nPONG\r\n+OK\r\n", 2, 3)
	// What is not exactly the usual answer passes whole.
	for _, other := range []string{
		ack("2", `{"stream":"LOGS","seq":7,"duplicate":true}`),
		ack("2", `{"error":{"code":400},"stream":"LOGS","seq":0}`),
		ack("2", ""), ack("", stored), ack("w", stored), ack("A", stored), ack("1.2", stored), ack("1234567890123", stored),
		"MSG " + testInbox + "2 1 reply 25\r\n" + stored + "\r\n",
		"MSG " + testInbox + "2 1 0025\r\n" + stored + "\r\n",
		"HMSG " + testInbox + "2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
		"MSG _INBOX.other.1 1 25\r\n" + stored + "\r\n",
		"-ERR 'Permissions Violation'\r\n",
		"INFO " + strings.Repeat("x", 3*sieveSize) + "\r\n",
		fmt.Sprintf("MSG x 1 %d\r\n%s\r\n", 2*sieveSize, strings.Repeat("y", 2*sieveSize)),
	} {
		f(ack("1", stored)+other+ack("3", stored), other, 1, 3)
	}
	// An acknowledgement within a payload is none.
	inner := ack("9", stored)
	f(fmt.Sprintf("MSG x 2 %d\r\n%s\r\n", len(inner), inner)+ack("1", stored), fmt.Sprintf("MSG x 2 %d\r\n%s\r\n", len(inner), inner), 1)
	// What breaks off passes as far as its line goes, or is of no use.
	f("MSG x 2 5\r\nab", "MSG x 2 5\r\nab")
	f(ack("1", stored)[:20], "")
	f("MSG x 2 many\r\nPING\r\n", "MSG x 2 many\r\nPING\r\n")
}

// Before it is known what to take all passes at once, and what begins there ends
// with its line.
func TestSieveBefore(t *testing.T) {
	var s sieve
	var taken []uint64
	stored := ack("5", `{"stream":"LOGS","seq":7}`)
	r := io.MultiReader(strings.NewReader("PO"), strings.NewReader("NG"), strings.NewReader("\r\n"+stored+"PONG\r\n"))
	p := make([]byte, sieveSize)
	next := func(want string) {
		t.Helper()
		if n, err := s.read(r, p); string(p[:n]) != want || err != nil {
			t.Fatalf("%q passed, want %q; %v", p[:n], want, err)
		}
	}
	next("PO")
	next("NG")
	s.answers.Store(&answers{command: []byte("MSG " + testInbox), take: func(numbers []uint64) { taken = append(taken, numbers...) }})
	next("\r\nPONG\r\n")
	if !slices.Equal(taken, []uint64{5}) {
		t.Fatalf("took %v", taken)
	}
}

// However a stream is cut into pieces, the same passes and the same is taken.
func FuzzSieve(f *testing.F) {
	f.Add([]byte("PING\r\n"+ack("1", `{"stream":"L","seq":1}`)+"MSG x 2 3\r\nabc\r\n"+ack("2", "no")), 3, 5)
	f.Add([]byte("\r\n\nMSG \r\nHMSG 9\r\n"), 1, 1)
	f.Fuzz(func(t *testing.T, text []byte, piece, size int) {
		piece, size = max(1, piece&0xff), max(1, size&0xffff)
		want, numbers := sift(t, bytes.NewReader(text), sieveSize)
		pieces := make([]io.Reader, 0, len(text)/piece+1)
		for part := range slices.Chunk(text, piece) {
			pieces = append(pieces, bytes.NewReader(part))
		}
		if passed, taken := sift(t, io.MultiReader(pieces...), size); passed != want || !slices.Equal(taken, numbers) {
			t.Fatalf("in pieces %q and %v, whole %q and %v", passed, taken, want, numbers)
		}
	})
}

// nats.go sees next to none of a server's acknowledgements.
func TestSieveOfServer(t *testing.T) {
	s := startServer(t, nil)
	a := open(t, resolve(t, "tcp", address(s), map[string]string{"jetstream": "true", "stream": "LOGS"}))
	const lines = 3000
	ship(t, a, lines, 0, nil)
	conn := a.(*adapter).session.(*stored).link.conn
	if n := conn.Stats().InMsgs; n > 10 {
		t.Errorf("of %d acknowledgements nats.go has parsed %d", lines, n)
	}
}

// Acknowledgements cost no memory.
func TestSieveAllocates(t *testing.T) {
	text := []byte(strings.Repeat(ack("1a2", `{"stream":"LOGS","seq":12345}`), 100) + "PONG\r\n")
	var s sieve
	taken := 0
	s.answers.Store(&answers{command: []byte("MSG " + testInbox), take: func(numbers []uint64) { taken += len(numbers) }})
	r, p := bytes.NewReader(text), make([]byte, sieveSize)
	if n := testing.AllocsPerRun(100, func() {
		r.Reset(text)
		if n, err := s.read(r, p); n != 6 || err != nil {
			t.Fatalf("%d bytes passed, %v", n, err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a read", n)
	}
	if taken != 101*100 {
		t.Fatalf("%d were taken", taken)
	}
}
