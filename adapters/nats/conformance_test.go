package nats

import (
	"context"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
	"tallyman/collector/record"
)

// subscriber is a server and a client that takes all that is published on it.
type subscriber struct {
	t            *testing.T
	conn         *natsgo.Conn
	subscription *natsgo.Subscription
	address      string

	mu    sync.Mutex
	lines [][]byte // guarded by mu
}

func startSubscriber(t *testing.T, conn *natsgo.Conn, address string) *subscriber {
	t.Helper()
	r := &subscriber{t: t, conn: conn, address: address}
	var err error
	r.subscription, err = conn.Subscribe("logs.>", func(m *natsgo.Msg) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lines = append(r.lines, m.Data)
	})
	if err == nil {
		err = r.subscription.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *subscriber) Address() string { return r.address }

func (r *subscriber) Lines() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Count returns how many messages the server had taken when it was called.
func (r *subscriber) Count() int {
	if err := r.conn.Flush(); err != nil {
		r.t.Errorf("asking for what is still to come: %v", err)
	}
	adaptertest.Eventually(r.t, patience, "what has come is counted", func() bool {
		pending, _, err := r.subscription.Pending()
		return err != nil || pending == 0
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// streamed is a server and a stream in it.
type streamed struct {
	t       testing.TB
	address string
	stream  jetstream.Stream
}

// startStream makes an empty stream of all logs.
func startStream(t testing.TB, conn *natsgo.Conn, address string, config jetstream.StreamConfig) *streamed {
	t.Helper()
	r := &streamed{t: t, address: address}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	config.Name, config.Subjects = "LOGS", []string{"logs.>"}
	if r.stream, err = js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := js.DeleteStream(context.Background(), config.Name); err != nil && conn.IsConnected() {
			t.Errorf("deleting the stream: %v", err)
		}
	})
	return r
}

func (r *streamed) Address() string { return r.address }

func (r *streamed) Count() int {
	info, err := r.stream.Info(context.Background())
	if err != nil {
		r.t.Errorf("asking for the stream's state: %v", err)
		return 0
	}
	return int(info.State.Msgs)
}

// Lines reads the stream, again and again while that has no leader.
func (r *streamed) Lines() [][]byte {
	r.t.Helper()
	var lines [][]byte
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if lines, err = r.read(); err == nil {
			return lines
		}
	}
	r.t.Errorf("reading the stream: %v", err)
	return lines
}

func (r *streamed) read() ([][]byte, error) {
	info, err := r.stream.Info(context.Background())
	if err != nil {
		return nil, err
	}
	want := int(info.State.Msgs)
	consumer, err := r.stream.OrderedConsumer(context.Background(), jetstream.OrderedConsumerConfig{})
	var lines [][]byte
	for len(lines) < want && err == nil {
		var batch jetstream.MessageBatch
		if batch, err = consumer.FetchNoWait(min(want-len(lines), 10_000)); err == nil {
			for m := range batch.Messages() {
				lines = append(lines, m.Data())
			}
			err = batch.Error()
		}
	}
	return lines, err
}

// distinct gives the records of the suite places in a log, which they lack and
// without which they would be taken for repetitions: a numbered line has the
// same place whenever it is sent, any other a new one.
type distinct struct {
	adapters.Adapter
	places int64
}

func newDistinct(t *testing.T, c adapters.Config, limits transport.Limits) adapters.Adapter {
	t.Helper()
	a, err := newAdapter(c, limits)
	if err != nil {
		t.Fatal(err)
	}
	return &distinct{Adapter: a}
}

var numbered = regexp.MustCompile(`^\d+:(\d+) `)

func (d *distinct) Send(ctx context.Context, b *record.Batch, done func(error)) {
	copied := *b
	copied.Records = append([]record.Record(nil), b.Records...)
	for i := range copied.Records {
		r := &copied.Records[i]
		if match := numbered.FindSubmatch(r.Line); match != nil {
			r.Resume, _ = strconv.ParseInt(string(match[1]), 10, 64)
			continue
		}
		d.places++
		r.Resume = 1<<40 + d.places
	}
	d.Adapter.Send(ctx, &copied, done)
}

// refused returns an address where nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func TestConformance(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	plainServer := startServer(t, longLines)
	tlsServer := startServer(t, func(o *server.Options) {
		longLines(o)
		o.TLSConfig, o.TLS, o.TLSTimeout = certificates.Server, true, 5
	})
	run := func(name, transportName string, options map[string]string) {
		t.Run(name, func(t *testing.T) {
			s, trust := plainServer, natsgo.Option(nil)
			if transportName == "tls" {
				s, trust = tlsServer, natsgo.RootCAs(certificates.CAFile)
				options["tls.ca"] = certificates.CAFile
			}
			stored := options["jetstream"] == "true"
			adaptertest.Run(t, adaptertest.Suite{
				MaxLine: 1 << 20,
				Start: func(t *testing.T, mode adaptertest.Mode) adaptertest.Server {
					to := address(s)
					switch mode {
					case adaptertest.Resets, adaptertest.Mute, adaptertest.ReadsSlowly:
						to = startProxy(t, to, mode).listener.Addr().String()
					case adaptertest.Refuses:
						to = refused(t)
					case adaptertest.Serves:
					}
					if stored {
						return startStream(t, connectTo(t, s, trust), to, jetstream.StreamConfig{Storage: jetstream.MemoryStorage})
					}
					return startSubscriber(t, connectTo(t, s, trust), to)
				},
				New: func(t *testing.T, address string) adapters.Adapter {
					return newDistinct(t, resolve(t, transportName, address, options), transport.Limits{})
				},
				NewImpatient: func(t *testing.T, address string) adapters.Adapter {
					options := adaptertest.With(options, "ack_timeout", "500ms")
					limits := shortLimits()
					limits.DialTimeout = 500 * time.Millisecond
					return newDistinct(t, resolve(t, transportName, address, options), limits)
				},
			})
		})
	}
	run("core", "tcp", map[string]string{})
	run("jetstream", "tcp", map[string]string{"jetstream": "true"})
	run("core over tls", "tls", map[string]string{})
	run("jetstream over tls", "tls", map[string]string{"jetstream": "true"})
}

// longLines has a server take lines of 1 MiB and their headers.
func longLines(o *server.Options) { o.MaxPayload = 2 << 20 }
