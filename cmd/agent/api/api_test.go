package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tallyman/collector"
	"tallyman/collector/engine"
	"tallyman/collector/history"
	"tallyman/collector/record"
)

// TestWords: what a word of container= means.
func TestWords(t *testing.T) {
	all := []*record.Container{{ID: "aaaa1111", Name: "fe"}, {ID: "fe222222", Name: "web"}, {ID: "fe333333", Name: "db"}}
	f := func(word, want string) {
		t.Helper()
		s := selection{words: Words(word)}
		got := ""
		list, err := s.choose(all)
		for _, c := range list {
			got += c.Name + " "
		}
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q means %q (%v), want %q", word, got, err, want)
		}
	}
	f("fe", "fe ")
	f("fe,web", "fe web ")
	f("fe2", "web ")
	f("fe333333,aaaa", "fe db ")
	f("nobody", "")
}

// TestParseTime: how times are written, and what is none.
func TestParseTime(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := func(text string, want int64, wantErr bool) {
		t.Helper()
		got, err := ParseTime("since", text, now)
		if got != want || (err != nil) != wantErr {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	f("", 0, false)
	f("0", 0, false) // As docker logs --since 0.
	f("0s", now.UnixNano(), false)
	f("10m", now.Add(-10*time.Minute).UnixNano(), false)
	f("1700000000.5", 1_700_000_000_500_000_000, false)
	f("2023-11-14T22:13:20Z", now.UnixNano(), false)
	f("2999-01-01T00:00:00Z", 0, true)
	f("-2562047h", 0, true)
	f("yesterday", 0, true)
	f("NaN", 0, true)
}

// deadlines is a client whose deadline of writes is looked at.
type deadlines struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.deadline = t
	return nil
}

func (d *deadlines) Write(p []byte) (int, error) {
	if d.deadline.IsZero() {
		return 0, fmt.Errorf("nothing bounds the writing of %d bytes", len(p))
	}
	return d.ResponseRecorder.Write(p)
}

// TestDeadlines: all that is written has a deadline, and a stream on which nothing
// is written has none, since one that passes ends it over HTTP/2.
func TestDeadlines(t *testing.T) {
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	out := newSender(t.Context(), d)
	fmt.Fprint(out, "text")
	if err := out.flush(); err != nil || d.Body.String() != "text" {
		t.Fatalf("the sender has sent %q (%v)", d.Body, err)
	}
	if !d.deadline.IsZero() {
		t.Errorf("a stream on which nothing is written ends at %v", d.deadline)
	}
	d = &deadlines{ResponseRecorder: httptest.NewRecorder()}
	if err := writeJSON(d, 1); err != nil || d.Body.String() != "1\n" {
		t.Errorf("an answer was written as %q (%v)", d.Body, err)
	}
}

// TestTurns: clients that read slowly what may be long keep nobody from a page.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Collector: collector.New(collector.Config{}), Files: new(Files), Logger: slog.New(slog.DiscardHandler)})
		reads := make(chan struct{})
		for range 2 * maxScans {
			go func() {
				r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/logs/download", nil)
				if err := a.serveDownload(&blocked{httptest.NewRecorder(), reads}, r); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if len(a.long) != maxScans {
			t.Errorf("%d downloads are worked on, want %d", len(a.long), maxScans)
		}
		if _, err := a.page(t.Context(), nil, history.Query{}, 1, 0); err != nil {
			t.Error(err)
		}
		close(reads)
		synctest.Wait()
	})
}

// TestEventsGoOn: a client goes on behind the event that it had last, and one that
// had it from an earlier agent begins with the first of this one.
func TestEventsGoOn(t *testing.T) {
	log := NewEventLog()
	for range 3 {
		log.Add(engine.Event{Action: engine.ActionStart})
	}
	for number, want := range map[int64]int{0: 3, 2: 1, 3: 0, 700: 3, -1: 3} {
		if list, next, _ := log.since(number); len(list) != want || next != 3 {
			t.Errorf("behind %d there are %d events, and then %d; want %d and 3", number, len(list), next, want)
		}
	}
}

// TestBeforeTheList: until the engine has told of all containers, a request hears that
// they are not known, and not that there are none.
func TestBeforeTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.create("1")
		a := New(Config{Collector: collector.New(collector.Config{}), Files: new(Files), Logger: slog.New(slog.DiscardHandler)})
		f := func(path string, want int) {
			t.Helper()
			mux := http.NewServeMux()
			a.Register(mux)
			answer := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			mux.ServeHTTP(answer, httptest.NewRequest("GET", "/api/v1/"+path, nil))
			if answer.Code != want || (want == http.StatusServiceUnavailable) != (answer.Header().Get("Retry-After") != "") {
				t.Errorf("%s is answered with %d %v, want %d", path, answer.Code, answer.Header(), want)
			}
		}
		f("containers", http.StatusServiceUnavailable)
		f("containers/c1", http.StatusServiceUnavailable)
		f("logs/stream?container=c1", http.StatusServiceUnavailable)
		a = serve(t, h)
		settle()
		f("containers/nobody", http.StatusNotFound)
		f("logs/stream?container=nobody", http.StatusNotFound)
	})
}

// TestContextIsInOrder: lines around two that match and are close to each other come
// once, and in the order of the log.
func TestContextIsInOrder(t *testing.T) {
	dir := t.TempDir()
	c := &record.Container{ID: idOf("1"), Name: "c1", LogDriver: "json-file"}
	if err := os.Mkdir(filepath.Join(dir, c.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	var text, want strings.Builder
	for i, line := range []string{"0", "1", "hit 2", "3", "hit 4", "5", "6", "7", "8"} {
		fmt.Fprintf(&text, `{"log":"%s\n","stream":"stdout","time":"2026-01-01T00:00:0%d.000000001Z"}`+"\n", line, i)
		if i < 8 {
			want.WriteString(line + ",")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, c.ID, c.ID+"-json.log"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		h.list[c.ID], h.logs[c.ID] = c, &memoryLog{container: c}
		a := serve(t, h)
		a.Files.Set(dir, nil)
		settle()
		m, err := history.ParseMatcher("hit")
		if err != nil {
			t.Fatal(err)
		}
		page, err := a.page(t.Context(), []*record.Container{c}, history.Query{Match: []*history.Matcher{m}}, 10, 3)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, l := range page.Lines {
			got += l.Line + ","
		}
		if got != want.String() {
			t.Errorf("the lines are %s, want %s", got, want.String())
		}
	})
}

// blocked is a client that reads nothing until its channel is closed.
type blocked struct {
	*httptest.ResponseRecorder
	reads chan struct{}
}

func (b *blocked) SetWriteDeadline(time.Time) error { return nil }

func (b *blocked) Write(p []byte) (int, error) {
	<-b.reads
	return len(p), nil
}

// TestPagesAreBounded: clients that read nothing hold a number of pages at most.
func TestPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Config{Collector: collector.New(collector.Config{}), Files: new(Files), Logger: slog.New(slog.DiscardHandler)})
		reads := make(chan struct{})
		for range 2 * maxPages {
			go func() {
				r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/logs", nil)
				if err := a.serveLogs(&blocked{httptest.NewRecorder(), reads}, r); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if held := len(a.pages); held != maxPages || len(a.scans) != 0 {
			t.Errorf("%d pages are held and %d looks go on, want %d and none", held, len(a.scans), maxPages)
		}
		close(reads)
		synctest.Wait()
		if held := len(a.pages); held != 0 {
			t.Errorf("%d pages are held when all were read", held)
		}
	})
}
