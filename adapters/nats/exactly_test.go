package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// ship delivers a log of n numbered lines as a route does: after an error it
// waits for what is in flight and begins again with the first line that is not
// settled. Every restarts-th part of the lines calls disturb. It returns how
// often it had to begin again.
func ship(t *testing.T, a adapters.Adapter, n, disturbances int, disturb func(i int)) (rounds int) {
	t.Helper()
	const size = 500
	c := web()
	var mu sync.Mutex
	// settled is by batch how many of its lines are settled; guarded by mu.
	settled := make([]int, n/size)
	failed := false
	next := 0
	for disturbed := 0; ; rounds++ {
		var flying sync.WaitGroup
		for b := next; b < len(settled); b++ {
			if disturbed < disturbances && b*size >= (disturbed+1)*n/(disturbances+1) {
				disturb(disturbed)
				disturbed++
			}
			mu.Lock()
			from, stop := settled[b], failed
			mu.Unlock()
			if stop {
				break
			}
			batch := &record.Batch{Container: c}
			for i := b*size + from; i < (b+1)*size; i++ {
				batch.Records = append(batch.Records, record.Record{
					Time: oneOClock + int64(i)*1000, Line: fmt.Appendf(nil, "line %d", i), Resume: int64(i+1) * 100,
				})
			}
			flying.Add(1)
			a.Send(t.Context(), batch, func(err error) {
				defer flying.Done()
				mu.Lock()
				defer mu.Unlock()
				var partial *adapters.PartialError
				switch {
				case err == nil:
					settled[b] = size
				case errors.As(err, &partial):
					settled[b] += partial.Settled
					failed = true
				default:
					failed = true
				}
			})
		}
		a.Flush(t.Context())
		flying.Wait()
		for failed, next = false, 0; next < len(settled) && settled[next] == size; next++ {
		}
		if next == len(settled) {
			return rounds
		}
		// Order is kept: what was settled behind the first gap goes again.
		for b := next + 1; b < len(settled); b++ {
			settled[b] = 0
		}
		if rounds > 1000 {
			t.Fatalf("after %d rounds %d of %d batches are settled", rounds, next, len(settled))
		}
		pause := time.NewTimer(20*time.Millisecond + rand.N(30*time.Millisecond))
		select {
		case <-pause.C:
		case <-t.Context().Done():
		}
	}
}

// checkExactly fails the test unless the stream has each of n lines once, and
// returns how many lines come before one that was sent before them.
func checkExactly(t *testing.T, stream jetstream.Stream, n int) (unordered int) {
	t.Helper()
	lines := (&streamed{t: t, stream: stream}).Lines()
	seen := make([]int, n)
	last := -1
	for _, line := range lines {
		var i int
		if _, err := fmt.Sscanf(string(line), "line %d", &i); err != nil || i < 0 || i >= n {
			t.Fatalf("%q was never sent", line)
		}
		seen[i]++
		if i < last {
			unordered++
		}
		last = i
	}
	missing, repeated := 0, 0
	for _, times := range seen {
		switch {
		case times == 0:
			missing++
		case times > 1:
			repeated += times - 1
		}
	}
	t.Logf("%d lines sent, %d stored: %d missing, %d repeated, %d out of order", n, len(lines), missing, repeated, unordered)
	if missing+repeated > 0 {
		t.Fail()
	}
	return unordered
}

// lineCount is how many lines the tests of delivery send.
func lineCount(few, many int) int {
	if os.Getenv("TALLYMAN_SOAK") == "1" {
		return many
	}
	return few
}

// Each line is stored once although the server is restarted five times under
// way.
func TestExactlyOnceOverRestarts(t *testing.T) {
	folder := t.TempDir()
	port := server.RANDOM_PORT
	start := func() *server.Server {
		return startServer(t, func(o *server.Options) { o.Port, o.StoreDir = port, folder })
	}
	s := start()
	port = s.Addr().(*net.TCPAddr).Port
	a := open(t, resolve(t, "tcp", address(s), map[string]string{"jetstream": "true", "stream": "LOGS", "ack_timeout": "5s"}))
	n := lineCount(10_000, 200_000)
	rounds := ship(t, a, n, 5, func(int) {
		s.Shutdown()
		s.WaitForShutdown()
		s = start()
	})
	t.Logf("the sender began again %d times", rounds)
	if rounds == 0 {
		t.Error("no restart was noticed: the test shows nothing")
	}
	js, err := jetstream.New(connectTo(t, s))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	if checkExactly(t, stream, n) > 0 {
		t.Error("the order is not kept")
	}
}

// Each line is stored once in a stream of three replicas although its leader is
// killed under way. The order is not: what is on its way to a leader that is
// gone is lost, and what comes later may reach the next one.
func TestExactlyOnceInCluster(t *testing.T) {
	servers := startCluster(t, 3)
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, address(s))
	}
	options := map[string]string{
		"jetstream": "true", "stream": "LOGS", "stream.replicas": "3", "ack_timeout": "2s",
	}
	a := open(t, resolve(t, "tcp", strings.Join(addresses, ","), options))
	conn, err := natsgo.Connect("nats://"+strings.Join(addresses, ",nats://"),
		natsgo.MaxReconnects(-1), natsgo.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	n := lineCount(6_000, 200_000)
	rounds := ship(t, a, n, 1, func(int) {
		info := streamInfo(t, js)
		for _, s := range servers {
			if s.Name() == info.Cluster.Leader {
				s.Shutdown()
				s.WaitForShutdown()
			}
		}
	})
	t.Logf("the sender began again %d times", rounds)
	streamInfo(t, js)
	stream, err := js.Stream(t.Context(), "LOGS")
	if err != nil {
		t.Fatal(err)
	}
	checkExactly(t, stream, n)
}

// streamInfo waits until the stream has a leader.
func streamInfo(t *testing.T, js jetstream.JetStream) *jetstream.StreamInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for {
		stream, err := js.Stream(ctx, "LOGS")
		if err == nil && stream.CachedInfo().Cluster != nil && stream.CachedInfo().Cluster.Leader != "" {
			return stream.CachedInfo()
		}
		if ctx.Err() != nil {
			t.Fatalf("the stream has no leader: %v", err)
		}
	}
}

// startCluster starts servers that know each other.
func startCluster(t *testing.T, n int) []*server.Server {
	t.Helper()
	var servers []*server.Server
	var routes []*url.URL
	for range n {
		// Nobody listens there: the servers will.
		routes = append(routes, &url.URL{Scheme: "nats", Host: refused(t)})
	}
	for i, route := range routes {
		port, err := strconv.Atoi(route.Port())
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, launchServer(t, func(o *server.Options) {
			o.ServerName = fmt.Sprint("server", i)
			o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "test", "127.0.0.1", port
			o.Routes = routes
		}))
	}
	for _, s := range servers {
		if !s.ReadyForConnections(patience) {
			t.Fatal("a server of the cluster does not listen")
		}
	}
	return servers
}
