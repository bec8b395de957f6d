package httpstream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyman/collector/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func batch(name string, lines ...string) *record.Batch {
	b := record.NewBatch()
	b.Container = &record.Container{ID: strings.Repeat("ab", 32), Name: name, Image: "img:1", Env: []string{"SECRET=1"}}
	for i, line := range lines {
		b.Records = append(b.Records, record.Record{Time: 1795225145841123456, Line: []byte(line), Stream: record.Stream(i % 2)})
	}
	return b
}

// serve runs a stream behind a real server until the test ends.
func serve(t *testing.T, s *Stream) *http.Response {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The client goes away at the end of the test: its error is no failure.
		_ = s.Serve(r.Context(), w)
	}))
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		response.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return response
}

func send(t *testing.T, s *Stream, b *record.Batch) {
	t.Helper()
	settled := 0
	s.Send(context.Background(), b, func(err error) {
		settled++
		if err != nil {
			t.Errorf("settled with %v", err)
		}
	})
	if settled != 1 {
		t.Fatalf("settled %d times", settled)
	}
}

func TestStreamSendsHeadersBeforeAnyLine(t *testing.T) {
	s := New(Text(true))
	response := serve(t, s)
	if got := response.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Fatalf("the content type is %q", got)
	}
	lines := bufio.NewReader(response.Body)
	want := func(line string) {
		t.Helper()
		got, err := lines.ReadString('\n')
		if err != nil || got != line {
			t.Fatalf("got %q, %v, want %q", got, err, line)
		}
	}
	send(t, s, batch("web", "hello", "", "50% \x00\xff"))
	want("             web|hello\n")
	want("             web|\n")
	want("             web|50% \x00\xff\n")
	send(t, s, batch("a-name-longer-than-that", "x"))
	want("a-name-longer-than-that|x\n")
	send(t, s, batch("web", "y"))
	want("                    web|y\n")
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Fatalf("after the end: %q, %v", rest, err)
	}
}

func TestStreamWritesJSONLines(t *testing.T) {
	s := New(JSONLines())
	response := serve(t, s)
	text := "q\" b\\ \x00 \x1b[0m \u2028 é \xff\n\t"
	send(t, s, batch("web", "out", text))
	lines := bufio.NewScanner(response.Body)
	for i, want := range []string{"out", strings.ToValidUTF8(text, "\ufffd")} {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		var got map[string]string
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if got["line"] != want || got["source"] != record.Stream(i).String() || got["name"] != "web" ||
			got["image"] != "img:1" || len(got["id"]) != 64 || got["time"] != "2026-11-21T01:39:05.841123456Z" {
			t.Fatalf("got %q", got)
		}
	}
	if strings.Contains(lines.Text(), "SECRET") {
		t.Fatal("the environment is shown")
	}
}

// A client that does not read loses lines, is told how many, and never blocks
// the one who sends.
func TestSlowClientIsToldWhatItLost(t *testing.T) {
	s := New(Text(false))
	response := serve(t, s)
	const batches, each = 400, 100
	line := strings.Repeat("x", 999)
	lines := make([]string, each)
	for i := range lines {
		lines[i] = line
	}
	b := batch("web", lines...)
	for range batches {
		send(t, s, b)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	got, lost := 0, 0
	scan := bufio.NewScanner(response.Body)
	for scan.Scan() {
		var n int
		if _, err := fmt.Sscanf(scan.Text(), "[tallyman: %d lines left out", &n); err == nil {
			lost += n
		} else if scan.Text() == line {
			got++
		} else {
			t.Fatalf("got %.80q", scan.Text())
		}
	}
	if lost == 0 || got+lost != batches*each {
		t.Fatalf("%d lines came and %d were reported lost, of %d", got, lost, batches*each)
	}
	if n := cap(s.pending); n > 2*maxPending {
		t.Fatalf("%d bytes are held for the client", n)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s := New(Text(true))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, httptest.NewRecorder()) }()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Serve has not ended")
	}
}
