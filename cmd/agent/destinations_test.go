package agent

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tallyman/adapters/adaptertest"
	"tallyman/cmd/internal/oracle"
)

// startJetStream runs a NATS server and returns its address and a way to feed a
// sink with what one of its streams holds.
func startJetStream(t *testing.T, stream string) (address string, feed func(*oracle.Sink)) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not take connections")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return s.Addr().String(), func(sink *oracle.Sink) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
		for err == nil && !complete(ctx, sink) {
			var batch jetstream.MessageBatch
			if batch, err = consumer.Fetch(1000, jetstream.FetchMaxWait(200*time.Millisecond)); err == nil {
				for m := range batch.Messages() {
					sink.Feed(m.Data())
				}
				err = ctx.Err()
			}
		}
		if err != nil {
			t.Fatalf("reading the stream: %v: %s", err, sink.Report())
		}
	}
}

// complete reports whether a sink has all that it expects. Where it has not, it
// waits for a moment.
func complete(ctx context.Context, sink *oracle.Sink) bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	return sink.WaitComplete(ctx) == nil
}

// startPosted runs an HTTP server that feeds a sink with the lines of each
// request.
func startPosted(t *testing.T, sink *oracle.Sink) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // The agent was killed: what it was sending comes again.
		}
		for line := range bytes.Lines(body) {
			sink.Feed(line)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// startSocket listens on a Unix socket and feeds a sink with the lines of each
// connection.
func startSocket(t *testing.T, sink *oracle.Sink) (path string) {
	t.Helper()
	path = adaptertest.SocketPath(t)
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				lines := bufio.NewReader(conn)
				for {
					line, err := lines.ReadBytes('\n')
					if err != nil {
						return // A torn line comes again.
					}
					sink.Feed(line)
				}
			}()
		}
	}()
	return path
}

// feedGrowing gives the lines of a file, which is still written to, to a sink
// until that has all that it expects.
func feedGrowing(t *testing.T, path string, sink *oracle.Sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for fed := 0; !complete(ctx, sink); {
		if ctx.Err() != nil {
			t.Fatalf("in %s: %s", path, sink.Report())
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole := bytes.LastIndexByte(text, '\n') + 1
		for line := range bytes.Lines(text[fed:max(fed, whole)]) {
			sink.Feed(line)
		}
		fed = max(fed, whole)
	}
}

// TestDestinations sends the lines of containers to one destination of each kind
// and kills the agent in the middle: nothing is lost or out of order anywhere,
// no more than the last seconds come twice, and JetStream stores every line once.
func TestDestinations(t *testing.T) {
	besideOthers(t)
	d := newDocker(t)
	const prefix, containers, lines, rate = "destinations-", 4, 6000, 2000
	names := []string{"JetStream", "HTTP", "file", "RELP", "Unix socket"}
	sinks := map[string]*oracle.Sink{}
	for _, name := range names {
		sinks[name] = newSink(t, "")
		for i := range containers {
			sinks[name].Expect(fmt.Sprint(prefix, i), "1", lines)
		}
	}
	stream, feedStream := startJetStream(t, "LOGS")
	relp, relpFile := rsyslog(t, "imrelp")
	file := filepath.Join(t.TempDir(), "lines")
	filter := filterLabel(prefix)
	uris := []string{
		"nats://" + stream + "?jetstream=true&stream=LOGS&" + filter,
		"http://" + startPosted(t, sinks["HTTP"]) + "?" + filter,
		"file://" + file + "?" + filter,
		"syslog+relp://" + relp + "?" + filter,
		"raw+unix://" + startSocket(t, sinks["Unix socket"]) + "?" + filter,
	}
	state := t.TempDir()
	p := startReady(t, state, uris...)
	for i := range containers {
		d.run(fmt.Sprint(prefix, i), nil, "-lines", fmt.Sprint(lines), "-rate", fmt.Sprint(rate), "-stderr-every", "3")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sinks["HTTP"].WaitLines(ctx, containers*lines/2); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = startReady(t, state, uris...)

	feedStream(sinks["JetStream"])
	for _, name := range []string{"HTTP", "Unix socket"} {
		wantComplete(t, sinks[name])
	}
	feedGrowing(t, file, sinks["file"])
	feedGrowing(t, relpFile, sinks["RELP"])
	if code := p.terminate(); code != 0 {
		t.Fatalf("the agent exits with %d", code)
	}
	wantExact(t, "in the stream", sinks["JetStream"].Report())
	const most = 2 * rate * containers
	for _, name := range names {
		r := sinks[name].Report()
		if r.Missing > 0 || r.Reordered > 0 || r.Unmarked > 0 || r.Duplicates > most {
			t.Errorf("%s:\n%s", name, r)
		}
		t.Logf("%s: %d repeated", name, r.Duplicates)
	}
}
