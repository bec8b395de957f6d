package nats

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

// rejects returns the places and the reason of the records that err gives up.
func rejects(t *testing.T, err error) (places []int, reason string) {
	t.Helper()
	var rejected *adapters.RejectedError
	if !errors.As(err, &rejected) {
		t.Fatalf("got %v, want rejects", err)
	}
	for _, r := range rejected.Rejects {
		places, reason = append(places, r.Index), r.Reason
	}
	return places, reason
}

// sendAll sends batches of lines and returns what became of each. A line has the
// same place in its log whenever it is sent.
func sendAll(t *testing.T, a adapters.Adapter, batches ...[]string) []error {
	t.Helper()
	results := make([]error, len(batches))
	settled := make(chan int, len(batches))
	for i, lines := range batches {
		var texts [][]byte
		for _, line := range lines {
			texts = append(texts, []byte(line))
		}
		b := adaptertest.NewBatch(web(), texts...)
		for j := range b.Records {
			b.Records[j].Resume = int64(crc32.ChecksumIEEE(texts[j]))
		}
		a.Send(t.Context(), b, func(err error) {
			results[i] = err
			settled <- i
		})
	}
	a.Flush(t.Context())
	for range batches {
		<-settled
	}
	a.Flush(t.Context()) // The failures are known.
	return results
}

// open makes an adapter that is closed at the test's end.
func open(t *testing.T, c adapters.Config) adapters.Adapter {
	t.Helper()
	a, err := newAdapter(c, shortLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(t.Context()); err != nil {
			t.Logf("closing: %v", err)
		}
	})
	return a
}

// What the server permits nobody to publish is rejected, and nothing else: not
// the other stream's lines, nor the batches before and behind.
func TestNoPermission(t *testing.T) {
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "all", Password: "x"},
			{Username: "some", Password: "x", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"logs.stdout", "$JS.API.>"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
			{Username: "deaf", Password: "x", Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Deny: []string{">"}},
			}},
		}
	})
	conn := connectTo(t, s, natsgo.UserInfo("all", "x"))
	stream := startStream(t, conn, "", jetstream.StreamConfig{Storage: jetstream.MemoryStorage})
	for _, mode := range []string{"false", "true"} {
		t.Run("jetstream="+mode, func(t *testing.T) {
			options := func(user, subject string) map[string]string {
				return map[string]string{"user": user, "password": "x", "jetstream": mode, "subject": subject, "ack_timeout": "5s"}
			}
			before := stream.Count()
			// Records are of both streams in turn.
			a := open(t, resolve(t, "tcp", address(s), options("some", "logs.{stream}")))
			results := sendAll(t, a, []string{"one"}, []string{"two", "three", "four", "five"}, []string{"six"})
			if results[0] != nil || results[2] != nil {
				t.Errorf("batches that are permitted: %v", results)
			}
			places, reason := rejects(t, results[1])
			if reason != "no_permission" || !slices.Equal(places, []int{1, 3}) {
				t.Errorf("%s: %v are rejected", reason, places)
			}
			adaptertest.Eventually(t, patience, "what is permitted arrives", func() bool { return stream.Count() == before+4 })

			a = open(t, resolve(t, "tcp", address(s), options("some", "logs.other")))
			var many []string
			for i := range 5000 {
				many = append(many, fmt.Sprint("line ", i))
			}
			for _, err := range sendAll(t, a, many, many) {
				if places, reason := rejects(t, err); reason != "no_permission" || len(places) != len(many) {
					t.Errorf("%s: %d of %d are rejected", reason, len(places), len(many))
				}
				contains(t, err, `Permissions Violation for Publish to "logs.other"`)
			}
		})
	}
	a := open(t, resolve(t, "tcp", address(s), map[string]string{"user": "deaf", "password": "x", "jetstream": "true"}))
	for _, err := range sendAll(t, a, []string{"one"}) {
		retried(t, err, "Permissions Violation for Subscription")
	}
}

// A line that the server or the stream can never take is rejected, and those
// around it are delivered.
func TestTooLong(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 10_000 })
	stream := startStream(t, connectTo(t, s), "", jetstream.StreamConfig{Storage: jetstream.MemoryStorage, MaxMsgSize: 5_000})
	long := func(n int) string { return string(bytes.Repeat([]byte("x"), n)) }
	f := func(jetstream string, want []int, batch ...string) {
		t.Helper()
		before := stream.Count()
		a := open(t, resolve(t, "tcp", address(s), map[string]string{"jetstream": jetstream}))
		places, reason := rejects(t, sendAll(t, a, batch)[0])
		if reason != "too_long" || !slices.Equal(places, want) {
			t.Errorf("%s: %v are rejected, want %v", reason, places, want)
		}
		if jetstream == "true" && stream.Count()-before != len(batch)-len(want) {
			t.Errorf("%d lines are stored", stream.Count()-before)
		}
	}
	f("false", []int{1}, "one", long(10_000), "three")
	f("true", []int{1, 3}, "one", long(10_000), "three", long(6_000), "five")
	f("true", []int{0}, long(10_000))
}

// A stream that is not there yet, or full, is waited for.
func TestStreamWaits(t *testing.T) {
	s := startServer(t, nil)
	a := open(t, resolve(t, "tcp", address(s), map[string]string{"jetstream": "true"}))
	retried(t, sendAll(t, a, []string{"one"})[0], `subject "logs.node7.shop.web.shop-web-1": no stream takes the subject`)

	conn := connectTo(t, s)
	stream := startStream(t, conn, "", jetstream.StreamConfig{
		Storage: jetstream.MemoryStorage, MaxMsgs: 3, Discard: jetstream.DiscardNew,
	})
	if err := sendAll(t, a, []string{"one"})[0]; err != nil {
		t.Fatalf("after the stream was made: %v", err)
	}
	err := sendAll(t, a, []string{"two", "three", "four", "five"})[0]
	retried(t, err, "maximum messages exceeded")
	var partial *adapters.PartialError
	if !errors.As(err, &partial) || partial.Settled != 2 {
		t.Errorf("got %#v, want two settled", err)
	}
	if err := stream.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := sendAll(t, a, []string{"four", "five"})[0]; err != nil {
		t.Errorf("after there was room: %v", err)
	}

	// Somebody who answers on the subject is no stream.
	other, err := conn.Subscribe("other", func(m *natsgo.Msg) { _ = m.Respond([]byte("+OK")) })
	if err != nil || conn.Flush() != nil {
		t.Fatal("subscribing")
	}
	defer func() { _ = other.Unsubscribe() }()
	a = open(t, resolve(t, "tcp", address(s), map[string]string{"jetstream": "true", "subject": "other"}))
	retried(t, sendAll(t, a, []string{"one"})[0], "no acknowledgement of JetStream")
}

// Who answers one message after the other is not given up, however long all of
// them take: neither for those that wait for their turn, nor because there is one
// in flight at each look.
func TestSlowAnswers(t *testing.T) {
	s := startServer(t, nil)
	conn := connectTo(t, s)
	slow, err := conn.Subscribe("slow", func(m *natsgo.Msg) {
		time.Sleep(40 * time.Millisecond)
		_ = m.Respond([]byte(`{"stream":"LOGS","seq":1}`))
	})
	if err != nil || conn.Flush() != nil {
		t.Fatal("subscribing")
	}
	defer func() { _ = slow.Unsubscribe() }()
	lines := make([]string, 30)
	for i := range lines {
		lines[i] = fmt.Sprint("line ", i)
	}
	for _, window := range []string{"1", "4096"} {
		a := open(t, resolve(t, "tcp", address(s), map[string]string{
			"jetstream": "true", "subject": "slow", "ack_timeout": "500ms", "window": window,
		}))
		for i, err := range sendAll(t, a, lines, []string{"last"}) {
			if err != nil {
				t.Errorf("window %s, batch %d: %v", window, i, err)
			}
		}
	}
}

// impatient makes an adapter that asks after a stream soon.
func impatient(t *testing.T, c adapters.Config) adapters.Adapter {
	t.Helper()
	a := open(t, c)
	if known := a.(*adapter).settings.absences; known != nil {
		known.patience = 100 * time.Millisecond
	}
	return a
}

// Lines with a subject that no stream takes are given up once JetStream has said
// so, and hold nothing else up. Once there is a stream they are stored, and where one
// was they wait.
func TestNoStreamRejects(t *testing.T) {
	s := startServer(t, nil)
	conn := connectTo(t, s)
	stream := startStream(t, conn, "", jetstream.StreamConfig{Storage: jetstream.MemoryStorage})
	c := resolve(t, "tcp", address(s), map[string]string{"jetstream": "true", "subject": "{stream}.x"})
	a := impatient(t, c)
	send := func(stream record.Stream) error {
		b := adaptertest.NewBatch(web(), []byte("one"), []byte("two"))
		for i := range b.Records {
			b.Records[i].Stream = stream
		}
		var result error
		settled := make(chan struct{})
		a.Send(t.Context(), b, func(err error) { result = err; close(settled) })
		a.Flush(t.Context())
		<-settled
		a.Flush(t.Context())
		return result
	}
	givenUp := func(stream record.Stream) {
		t.Helper()
		retried(t, send(stream), `subject "`+stream.String()+`.x": no stream takes the subject`)
		var err error
		adaptertest.Eventually(t, adaptertest.Patience, "the lines are given up", func() bool {
			err = send(stream)
			var rejected *adapters.RejectedError
			return errors.As(err, &rejected)
		})
		if places, reason := rejects(t, err); !slices.Equal(places, []int{0, 1}) || reason != "no_stream" {
			t.Errorf("%v are given up for %s: %v", places, reason, err)
		}
		contains(t, err, "no stream takes the subject")
	}
	givenUp(record.Stdout)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.stream.CachedInfo().Config
	config.Subjects = []string{"logs.>", "stdout.x"}
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := send(record.Stdout); err != nil {
		t.Errorf("with a stream: %v", err)
	}
	givenUp(record.Stderr)
	config.Subjects = []string{"logs.>"}
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	adaptertest.Eventually(t, adaptertest.Patience, "the stream takes nothing any more", func() bool { return send(record.Stdout) != nil })
	for until := time.Now().Add(500 * time.Millisecond); time.Now().Before(until); {
		retried(t, send(record.Stdout), "no stream takes the subject")
	}
}

// Where JetStream may not be asked, or is to be waited for, lines wait.
func TestNoStreamWaits(t *testing.T) {
	f := func(name string, configure func(*server.Options), options map[string]string) {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, configure)
			options["jetstream"] = "true"
			a := impatient(t, resolve(t, "tcp", address(s), options))
			until := time.Now().Add(500 * time.Millisecond)
			for time.Now().Before(until) {
				retried(t, sendAll(t, a, []string{"one"})[0], "no stream takes the subject")
			}
		})
	}
	f("wait", nil, map[string]string{"no_stream": "wait"})
	f("not to be asked", func(o *server.Options) {
		o.Users = []*server.User{{Username: "ship", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"logs.>"}},
		}}}
	}, map[string]string{"user": "ship", "password": "p"})
	f("off", func(o *server.Options) { o.JetStream = false }, map[string]string{})
}

// The stream is made as the options say, and left alone when it is there.
func TestMakesStream(t *testing.T) {
	s := startServer(t, nil)
	options := map[string]string{
		"jetstream": "true", "stream": "MADE", "stream.max_age": "1h", "stream.max_bytes": "1000000", "stream.max_msgs": "1000",
		"stream.storage": "memory", "stream.discard": "new", "stream.duplicates": "30s", "subject": "a.{host}.b-{stream}.c",
	}
	for _, line := range []string{"one", "two"} {
		if err := sendAll(t, open(t, resolve(t, "tcp", address(s), options)), []string{line})[0]; err != nil {
			t.Fatal(err)
		}
		options["stream.max_msgs"] = "7"
	}
	js, err := jetstream.New(connectTo(t, s))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "MADE")
	if err != nil {
		t.Fatal(err)
	}
	got := stream.CachedInfo().Config
	if got.MaxAge.String() != "1h0m0s" || got.MaxBytes != 1_000_000 || got.MaxMsgs != 1000 || got.Replicas != 1 ||
		got.Storage != jetstream.MemoryStorage || got.Discard != jetstream.DiscardNew || got.Duplicates.String() != "30s" ||
		!slices.Equal(got.Subjects, []string{"a.*.*.c"}) {
		t.Errorf("the stream is %+v", got)
	}
	if n := stream.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("the stream has %d messages, want 2", n)
	}
	options["stream"], options["stream.replicas"] = "MORE", "3"
	retried(t, sendAll(t, open(t, resolve(t, "tcp", address(s), options)), []string{"one"})[0], `making the stream "MORE"`)
}

// A message carries what the README says, as a client of the library's sees it.
func TestArrives(t *testing.T) {
	s := startServer(t, nil)
	conn := connectTo(t, s)
	messages, err := conn.SubscribeSync("logs.*.shop.>")
	if err != nil || conn.Flush() != nil {
		t.Fatal("subscribing")
	}
	a := open(t, resolve(t, "tcp", address(s)+","+refused(t), nil))
	if err := sendAll(t, a, []string{"one", "two"})[0]; err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one", "two"} {
		m, err := messages.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != want || m.Subject != "logs.node7.shop.web.shop-web-1" {
			t.Errorf("%q arrived on %q", m.Data, m.Subject)
		}
		for name, value := range map[string]string{
			headerContainer: web().ID, headerName: "shop-web-1", headerImage: "example/web:1",
			headerStream: []string{"stdout", "stderr"}[i], headerTime: []string{"2026-11-21T01:09:08.000000000Z", "2026-11-21T01:09:08.007000000Z"}[i],
		} {
			if got := m.Header.Get(name); got != value {
				t.Errorf("header %s is %q, want %q", name, got, value)
			}
		}
	}
}
