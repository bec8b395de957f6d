package oracle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseMark(t *testing.T) {
	f := func(line string, want Mark) {
		t.Helper()
		got, ok := ParseMark([]byte(line))
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseMark(%q) = %+v, %v; want %+v", line, got, ok, want)
		}
	}
	source := []byte("a run=1")
	f("src=a run=1 seq=7 ts=123 filler", Mark{Source: source, Seq: 7, Time: 123})
	f("src=a run=1 seq=7 ts=123 io=e filler", Mark{Source: source, Seq: 7, Time: 123, Stream: 'e'})
	f("<14>1 - h a - - [src=b] src= src=a run=1 seq=7 ts=0 io=o", Mark{Source: source, Seq: 7, Stream: 'o'})
	f(`{"short_message":"src=a run=1 seq=7 ts=1"}`, Mark{Source: source, Seq: 7, Time: 1})
	f("src=a run=1 seq=7 ts=1 io=x", Mark{Source: source, Seq: 7, Time: 1})
	f(string(AppendMark([]byte("h "), "a", "1", 7, 123, 'o'))+"rest", Mark{Source: source, Seq: 7, Time: 123, Stream: 'o'})

	for _, line := range []string{
		"", "src=", "src=a", "src=a run=1", "src=a run=1 seq= ts=1", "src=a run=1 seq=0 ts=1", "src=a run=1 seq=x ts=1",
		"src=a run=1 seq=1", "src=a run=1 seq=1 ts=", "src= run=1 seq=1 ts=1", "src=a run= seq=1 ts=1", "src=a seq=1 ts=1",
	} {
		if m, ok := ParseMark([]byte(line)); ok {
			t.Errorf("ParseMark(%q) = %+v, want none", line, m)
		}
	}
}

func FuzzParseMark(f *testing.F) {
	f.Add([]byte("x src=a run=1 seq=7 ts=123 io=e filler"))
	f.Add([]byte("src=src=a run=1 seq=99999999999999999999 ts=1"))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, ok := ParseMark(line)
		if ok && (m.Seq == 0 || !bytes.Contains(line, m.Source)) {
			t.Errorf("ParseMark(%q) = %+v", line, m)
		}
	})
}

// line makes a marked line of source a.
func line(seq uint64, stream byte) []byte { return AppendMark(nil, "a", "1", seq, 0, stream) }

func fed(t *testing.T) *Sink {
	t.Helper()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestCounts(t *testing.T) {
	s := fed(t)
	s.Expect("a", "1", 200)
	// Stdout and stderr may overtake each other. 70 comes late, 3 twice, 5 to 9
	// and all from 132 never, and 1000 was never written.
	for seq := uint64(1); seq <= 131; seq++ {
		if seq == 70 || seq >= 5 && seq <= 9 {
			continue
		}
		s.Feed(line(seq, 'o'))
	}
	s.Feed(line(70, 'o'))
	s.Feed(line(3, 'o'))
	s.Feed(line(150, 'e'))
	s.Feed(line(140, 'o'))
	s.Feed(line(1000, 0))
	s.Feed([]byte("something else\n"))
	s.Feed(AppendMark(nil, "b", "2", 2, 0, 0))
	got := s.Report()
	want := []SourceReport{
		{
			Source: "a run=1", Expected: 200, Distinct: 129, Missing: 72, Beyond: 1, Duplicates: 1, Reordered: 1,
			Gaps: []Gap{{5, 9}, {132, 139}, {141, 149}, {151, 200}},
		},
		{Source: "b run=2", Expected: 2, Distinct: 1, Missing: 1, Gaps: []Gap{{1, 1}}},
	}
	if !reflect.DeepEqual(got.Sources, want) {
		t.Errorf("sources: %+v\nwant: %+v", got.Sources, want)
	}
	if got.Lines != 132 || got.Missing != 73 || got.Duplicates != 1 || got.Reordered != 1 || got.Unmarked != 1 ||
		!reflect.DeepEqual(got.Samples, []string{"something else"}) || got.Exact() {
		t.Errorf("report: %+v", got)
	}
	for _, want := range []string{"73 missing", "72 missing: 5-9 132-139", "1 beyond the end", `"something else"`} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
}

func TestLedgerAgreesWithAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		l := ledger{expected: 1 + random.Uint64N(300)}
		model := map[uint64]bool{}
		var duplicates uint64
		for range random.IntN(600) {
			seq := 1 + random.Uint64N(400)
			if model[seq] {
				duplicates++
			}
			model[seq] = true
			l.add(seq, 'o')
		}
		var missing uint64
		for seq := uint64(1); seq <= l.expected; seq++ {
			if !model[seq] {
				missing++
			}
		}
		if l.missing() != missing || l.duplicates != duplicates || l.distinct != uint64(len(model)) {
			t.Fatalf("%d missing, %d repeated, %d distinct; want %d, %d, %d",
				l.missing(), l.duplicates, l.distinct, missing, duplicates, len(model))
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 10000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	h.add(-time.Second)
	f := func(q float64, want time.Duration) {
		t.Helper()
		got := h.quantile(q)
		if got < want*99/100 || got > want*104/100 {
			t.Errorf("quantile %v = %s, want about %s", q, got, want)
		}
	}
	f(0.5, 5*time.Millisecond)
	f(0.99, 9900*time.Microsecond)
	f(1, 10*time.Millisecond)
	for d := time.Duration(1); d > 0; d *= 3 {
		if upper := upperOf(bucketOf(d)); upper < d || upper > d+d/32+1 {
			t.Errorf("%d is in a bucket up to %d", d, upper)
		}
		if d > 1<<61 {
			break
		}
	}
}

// open makes a sink and returns how to connect to it.
func open(t *testing.T, c Config) (*Sink, func() net.Conn) {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, func() net.Conn {
		t.Helper()
		conn, err := net.Dial(c.Network, s.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func send(t *testing.T, w io.Writer, from, to uint64) {
	t.Helper()
	var all []byte
	for seq := from; seq <= to; seq++ {
		all = append(AppendMark(all, "a", "1", seq, time.Now().UnixNano(), 'o'), '\n')
	}
	// Odd pieces cut lines and keys anywhere.
	for len(all) > 0 {
		n := min(len(all), 1+len(all)%1009)
		if _, err := w.Write(all[:n]); err != nil {
			t.Fatal(err)
		}
		all = all[n:]
	}
}

func TestTCP(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp"})
	s.Expect("a", "1", 20000)
	first, second := dial(), dial()
	send(t, first, 1, 10000)
	if err := s.WaitLines(deadline(t), 10000); err != nil {
		t.Fatal(err)
	}
	send(t, second, 10001, 20000)
	if err := s.WaitComplete(deadline(t)); err != nil {
		t.Fatal(err)
	}
	r := s.Report()
	if !r.Exact() || r.Lines != 20000 || r.Connections != 2 || r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 ||
		r.Last.Before(r.First) || r.First.IsZero() {
		t.Errorf("report: %s", r)
	}
}

func TestLongLines(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp"})
	conn := dial()
	long := append(line(1, 'o'), bytes.Repeat([]byte("x"), maxLine-100)...)
	if _, err := conn.Write(append(long, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitLines(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	if r := s.Report(); !r.Exact() {
		t.Errorf("report: %s", r)
	}
}

func TestTornLine(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp"})
	conn := dial()
	if _, err := conn.Write(append(append(line(1, 'o'), '\n'), line(2, 'o')...)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	poll(t, "the torn line to be noticed", func() bool { return s.Report().Torn == 1 })
	if r := s.Report(); r.Lines != 1 || r.Exact() {
		t.Errorf("report: %s", r)
	}
}

func TestUDP(t *testing.T) {
	s, dial := open(t, Config{Network: "udp"})
	conn := dial()
	for _, datagram := range [][]byte{line(1, 0), append(line(2, 0), '\n'), append(append(line(3, 0), '\n'), line(4, 0)...)} {
		if _, err := conn.Write(datagram); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WaitLines(deadline(t), 4); err != nil {
		t.Fatal(err)
	}
	if r := s.Report(); !r.Exact() {
		t.Errorf("report: %s", r)
	}
}

func TestCountOnly(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp", CountOnly: true})
	send(t, dial(), 1, 50000)
	if err := s.WaitLines(deadline(t), 50000); err != nil {
		t.Fatal(err)
	}
	if r := s.Report(); r.Lines != 50000 || len(r.Sources) != 0 {
		t.Errorf("report: %s", r)
	}
}

func TestPauseFillsTheSendersBuffers(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp"})
	conn := dial()
	send(t, conn, 1, 1)
	if err := s.WaitLines(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	s.Pause()
	block := bytes.Repeat([]byte("filler without a mark\n"), 1<<14)
	var sent int64
	for {
		if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(block)
		sent += int64(n)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if lines := s.Lines(); lines != 1 {
		t.Errorf("%d lines came through a closed gate", lines-1)
	}
	s.Resume()
	s.Resume()
	if err := s.WaitLines(deadline(t), 1+sent/22); err != nil {
		t.Fatal(err)
	}
}

func TestRefuseAndAccept(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp"})
	conn := dial()
	send(t, conn, 1, 1)
	if err := s.WaitLines(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Refuse(); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting = %v, %v; want a refusal", c, err)
	}
	send(t, conn, 2, 2)
	if err := s.Accept(); err != nil {
		t.Fatal(err)
	}
	send(t, dial(), 3, 3)
	if err := s.WaitLines(deadline(t), 3); err != nil {
		t.Fatal(err)
	}
}

func TestResetAll(t *testing.T) {
	s, dial := open(t, Config{Network: "tcp"})
	conn := dial()
	send(t, conn, 1, 1)
	if err := s.WaitLines(deadline(t), 1); err != nil {
		t.Fatal(err)
	}
	s.ResetAll()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading = %v, want a reset", err)
	}
	send(t, dial(), 2, 2)
	if err := s.WaitLines(deadline(t), 2); err != nil {
		t.Fatal(err)
	}
}

func TestWaitSaysWhatIsMissing(t *testing.T) {
	s := fed(t)
	s.Expect("a", "1", 2)
	s.Feed(line(1, 'o'))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitComplete(ctx); err == nil || !strings.Contains(err.Error(), "1 missing: 2") {
		t.Errorf("WaitComplete = %v", err)
	}
	waiting := make(chan error)
	go func() { waiting <- s.WaitLines(context.Background(), 5) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err == nil {
		t.Error("WaitLines did not notice that the sink was closed")
	}
}

func TestBadNetwork(t *testing.T) {
	if _, err := New(Config{Network: "tcp4"}); err == nil {
		t.Error("no error")
	}
	if _, err := New(Config{Network: "tcp", Address: "127.0.0.1:no"}); err == nil {
		t.Error("no error")
	}
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	s, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	var block []byte
	for seq := range uint64(1000) {
		block = append(block, "<14>1 2026-11-21T01:39:06Z host app - - - "...)
		block = AppendMark(block, "gen", "1", seq+1, 1, 'o')
		block = append(block, fmt.Sprintf("%-100d\n", seq)...)
	}
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		s.take(block, len(block))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/line")
}
