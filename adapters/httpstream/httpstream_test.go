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

	"github.com/coder/websocket"
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
	s := New(Text(TextOptions{Names: true}))
	response := serve(t, s)
	if got := response.Header.Get("Content-Type"); got != "text/plain" {
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
	s := New(Text(TextOptions{}))
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
	s := New(Text(TextOptions{Names: true}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, httptest.NewRecorder()) }()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Serve has not ended")
	}
}

// deadlines remembers the deadline of writes that was set last.
type deadlines struct {
	*httptest.ResponseRecorder
	deadline time.Time
	set      int
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.deadline = t
	d.set++
	return nil
}

// TestQuietStreamHasNoDeadline: one that passes ends the stream over HTTP/2, though
// nothing is written.
func TestQuietStreamHasNoDeadline(t *testing.T) {
	s := New(Text(TextOptions{}))
	send(t, s, batch("web", "a line"))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	if err := s.Serve(t.Context(), d); err != nil || d.Body.String() != "a line\n" {
		t.Fatalf("the client has %q (%v)", d.Body, err)
	}
	if d.set == 0 || !d.deadline.IsZero() {
		t.Errorf("after %d deadlines the stream ends at %v", d.set, d.deadline)
	}
}

// TestColours: each container has a colour by the order in which they come, and
// the fifteenth that of the first.
func TestColours(t *testing.T) {
	f := Text(TextOptions{Names: true, Colours: true})
	b := batch("web", "x")
	want := []string{"1;37", "1;36", "1;35", "1;34", "1;33", "1;32", "1;31", "37", "36", "35", "34", "33", "32", "31", "1;37"}
	for i, colour := range want {
		b.Container = &record.Container{ID: fmt.Sprint(i), Name: "web"}
		got := string(f.AppendRecord(nil, b.Container, &b.Records[0]))
		if text := "\x1b[" + colour + "m             web|x\x1b[0m\n"; got != text {
			t.Fatalf("container %d is written %q, want %q", i, got, text)
		}
	}
	single := Text(TextOptions{Colours: true})
	if got := string(single.AppendRecord(nil, b.Container, &b.Records[0])); got != "x\n" {
		t.Fatalf("the line of one container is %q", got)
	}
}

// TestJSONObjects: an object is what encoding/json makes of it, and shows no
// environment, also when the engine's answer is not known.
func TestJSONObjects(t *testing.T) {
	f := JSONObjects()
	check := func(inspect any, line string) string {
		t.Helper()
		b := batch("web", line)
		if inspect != nil {
			b.Container.Inspect = record.NewAnswer(func() any { return inspect })
		}
		text := f.AppendRecord(nil, b.Container, &b.Records[0])
		var got struct {
			Container struct {
				ID     string `json:"Id"`
				Name   string
				Config map[string]any
			}
			Source, Data string
			Time         time.Time
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got.Container.ID != b.Container.ID || got.Container.Name != "/web" || got.Source != "stdout" ||
			got.Data != strings.ToValidUTF8(line, "\ufffd") || got.Time.UnixNano() != b.Records[0].Time {
			t.Fatalf("got %+v", got)
		}
		if _, has := got.Container.Config["Env"]; has || strings.Contains(string(text), "SECRET") {
			t.Fatalf("the environment is shown: %s", text)
		}
		if strings.Count(string(text), "\n}\n") != 1 || !strings.HasSuffix(string(text), "\n}\n") {
			t.Fatalf("the end of the object cannot be found: %q", text)
		}
		return string(text)
	}
	inspect := map[string]any{"State": map[string]any{"Pid": 7}, "Config": map[string]any{"Env": []string{"SECRET=1"}, "Image": "img"}}
	if text := check(inspect, "a\n}\n<b>&\xff\u2028"); !strings.Contains(text, `\u003cb\u003e\u0026`) || !strings.Contains(text, `"Pid": 7`) {
		t.Fatalf("got %s", text)
	}
	check(nil, "")
	check("no object", "x")
	check(map[string]any{"Config": "none"}, "x")
}

// TestWebSocket: each line is a message, in order, and the end of the stream is
// the end of the connection.
func TestWebSocket(t *testing.T) {
	s := New(JSONObjects())
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended <- s.ServeWebSocket(r.Context(), w, r)
	}))
	defer server.Close()
	conn, _, err := websocket.Dial(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	send(t, s, batch("web", "a", "b\n}\n"))
	send(t, s, batch("db", "c"))
	for _, want := range []string{"a", "b\n}\n", "c"} {
		kind, message, err := conn.Read(t.Context())
		var got struct{ Data string }
		if err != nil || kind != websocket.MessageText || json.Unmarshal(message, &got) != nil || got.Data != want {
			t.Fatalf("message %q of kind %v, %v, want %q", message, kind, err, want)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Fatalf("after the end: %v", err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestWebSocketClientGoes: a client that vanishes ends the stream.
func TestWebSocketClientGoes(t *testing.T) {
	s := New(JSONObjects())
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		_ = s.ServeWebSocket(r.Context(), w, r) // How the end is noticed does not matter.
	}))
	defer server.Close()
	conn, _, err := websocket.Dial(t.Context(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the stream goes on")
	}
}

// TestFormatsAllocateNothing: a line costs no memory of its own.
func TestFormatsAllocateNothing(t *testing.T) {
	b := batch("web", "a line <with> \"some\" text")
	for _, f := range []Format{Text(TextOptions{}), Text(TextOptions{Names: true, Colours: true}), JSONLines(), JSONObjects()} {
		buf := f.AppendRecord(make([]byte, 0, 64<<10), b.Container, &b.Records[0])
		if n := testing.AllocsPerRun(100, func() { buf = f.AppendRecord(buf[:0], b.Container, &b.Records[0]) }); n > 0 {
			t.Errorf("%T allocates %v times a line", f, n)
		}
	}
}
