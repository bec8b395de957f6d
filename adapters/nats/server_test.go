package nats

import (
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
	"tallyman/adapters/transport"
)

const patience = adaptertest.Patience

// shortLimits make a dead server known in a fraction of a second.
func shortLimits() transport.Limits {
	return transport.Limits{DialTimeout: 2 * time.Second, WriteTimeout: 400 * time.Millisecond}
}

// resolve makes a configuration as the route table does.
func resolve(t testing.TB, transportName, address string, options map[string]string) adapters.Config {
	t.Helper()
	d := Description()
	c, err := d.Resolve(transportName, address, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Hostname = "node7"
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// startServer starts a server with JetStream, on a free port unless configure
// sets another.
func startServer(t testing.TB, configure func(*server.Options)) *server.Server {
	t.Helper()
	s := launchServer(t, configure)
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not listen")
	}
	return s
}

// launchServer is startServer without waiting for the server.
func launchServer(t testing.TB, configure func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(),
	}
	if configure != nil {
		configure(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// connectTo returns a client of the tests' own.
func connectTo(t testing.TB, s *server.Server, options ...natsgo.Option) *natsgo.Conn {
	t.Helper()
	options = append(options, natsgo.MaxReconnects(-1), natsgo.ReconnectWait(20*time.Millisecond))
	conn, err := natsgo.Connect(s.ClientURL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// address returns where a server listens.
func address(s *server.Server) string { return s.Addr().String() }

// proxy stands before a server and can do to its client what a server does when
// it fails.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

// How many bytes of a client pass before its connection is reset, or no more is
// read of it; the second is more than a handshake needs.
const (
	resetAfter = 300_000
	muteAfter  = 8_000
)

// startProxy starts a proxy that resets its first connection, or falls mute on
// each, or reads each slowly.
func startProxy(t *testing.T, target string, mode adaptertest.Mode) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target}
	p.running.Go(func() {
		for n := 0; ; n++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if mode == adaptertest.Mute {
				_ = client.(*net.TCPConn).SetReadBuffer(16 << 10)
			}
			server, err := net.Dial("tcp4", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			if p.conns = append(p.conns, client, server); p.closed {
				_, _ = client.Close(), server.Close()
			}
			p.mu.Unlock()
			p.running.Go(func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			})
			p.running.Go(func() {
				if p.forward(server, client, mode, n == 0) {
					_, _ = client.Close(), server.Close()
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.closed = true
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// forward reports whether the connection is to be closed.
func (p *proxy) forward(server, client net.Conn, mode adaptertest.Mode, first bool) bool {
	buf := make([]byte, 4<<10)
	passed := 0
	from := client
	if mode == adaptertest.ReadsSlowly {
		from = adaptertest.SlowConn{Conn: client}
	}
	for {
		n, err := from.Read(buf)
		if _, err := server.Write(buf[:n]); err != nil {
			return true
		}
		switch passed += n; {
		case mode == adaptertest.Mute && passed >= muteAfter:
			return false
		case mode == adaptertest.Resets && first && passed >= resetAfter:
			_ = client.(*net.TCPConn).SetLinger(0)
			return true
		case err != nil:
			return true
		}
	}
}

// serveCommand, as the first argument, makes the test binary a server, so that a
// benchmark's process time is the client's alone.
const serveCommand = "serve-nats-in"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == serveCommand {
		serve(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// serve serves until its standard input ends.
func serve(folder string) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: folder,
	})
	if err != nil {
		os.Exit(1)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(address(s) + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
}

// processCPU returns the time that this process has spent on a processor.
func processCPU(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// contains fails the test unless err says what.
func contains(t *testing.T, err error, what string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), what) {
		t.Fatalf("got %v, want an error with %q", err, what)
	}
}
