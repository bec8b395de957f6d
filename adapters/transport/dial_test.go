//go:build linux

package transport

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// nameServer answers every question for addresses of one name (RFC 1035,
// section 4.1).
type nameServer struct {
	conn net.PacketConn

	mu sync.Mutex
	// addresses is guarded by mu.
	addresses []netip.Addr
}

func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(s.answer(buf[:n]), from)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		running.Wait()
	})
	return s
}

// set changes the name's addresses.
func (s *nameServer) set(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = nil
	for _, a := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(a))
	}
}

func (s *nameServer) answer(question []byte) []byte {
	const header, typeA, typeAAAA = 12, 1, 28
	end := header
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end++
	asked := binary.BigEndian.Uint16(question[end:])
	reply := append([]byte(nil), question[:end+4]...)
	reply[2], reply[3] = 0x81, 0x80 // An answer, without error.
	for i := 6; i < header; i++ {
		reply[i] = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.addresses {
		if a.Is4() && asked == typeA || a.Is6() && asked == typeAAAA {
			reply[7]++
			// The name asked for, the type, class IN, valid for 0 s.
			reply = append(reply, 0xc0, header, 0, byte(asked), 0, 1, 0, 0, 0, 0, 0, byte(len(a.AsSlice())))
			reply = append(reply, a.AsSlice()...)
		}
	}
	return reply
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", s.conn.LocalAddr().String())
	}}
}

// A name is resolved anew at every connect, so that a peer which has moved is
// found.
func TestNameIsResolvedAtEveryConnect(t *testing.T) {
	names := startNameServer(t)
	old, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	_, port, err := net.SplitHostPort(old.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	moved, err := net.Listen("tcp4", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = moved.Close() }()

	config := testConfig("logs.example.:" + port)
	config.Resolver = names.resolver()
	s := newTestStream(t, config)
	for address, listener := range map[string]net.Listener{"127.0.0.1": old, "127.0.0.2": moved} {
		names.set(address)
		result := commit(t, s, t.Context(), 1)
		server := accept(t, listener)
		s.Flush(t.Context())
		if err := receive(t, result); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, frameLen)); err != nil {
			t.Fatal(err)
		}
		_ = server.Close()
		eventually(t, "the break is noticed", s.link.failed.Load)
	}

	// Datagrams go to the new address after a minute, or an error.
	first, second := listenUDP(t, "127.0.0.1:0"), (*net.UDPConn)(nil)
	_, port, err = net.SplitHostPort(first.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	second = listenUDP(t, "127.0.0.2:"+port)
	config.Address = "logs.example.:" + port
	d := newTestDatagram(t, config)
	buf := make([]byte, 10)
	for address, server := range map[string]*net.UDPConn{"127.0.0.1": first, "127.0.0.2": second} {
		names.set(address)
		d.since = d.since.Add(-2 * refreshAfter)
		if _, err := d.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Send([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, _, err := server.ReadFrom(buf); err != nil || string(buf[:n]) != "x" {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
	}
}

// Of a name with addresses of both families the one that answers is taken.
func TestBothFamiliesAreTried(t *testing.T) {
	names := startNameServer(t)
	listener := smallListener(t)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	config := testConfig("logs.example.:" + port)
	config.Resolver = names.resolver()
	// Nobody listens on the first; 2001:db8::/32 leads nowhere (RFC 3849).
	for _, dead := range []string{"::1", "2001:db8::1", "127.0.0.3"} {
		names.set(dead, "127.0.0.1")
		s := newTestStream(t, config)
		result := commit(t, s, t.Context(), 1)
		accept(t, listener)
		s.Flush(t.Context())
		if err := receive(t, result); err != nil {
			t.Fatal(err)
		}
	}
}

// The kernel is told to look after a connection on which nothing happens.
func TestSocketOptions(t *testing.T) {
	listener := smallListener(t)
	config := testConfig(listener.Addr().String())
	s := newTestStream(t, config)
	commit(t, s, t.Context(), 1)
	accept(t, listener)
	raw, err := s.link.raw.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, level, option, want int) {
		t.Helper()
		var got int
		var err error
		if controlErr := raw.Control(func(fd uintptr) {
			got, err = unix.GetsockoptInt(int(fd), level, option)
		}); controlErr != nil || err != nil {
			t.Fatal(controlErr, err)
		}
		if got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	f("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	f("TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
	f("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	f("TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4)
	f("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(config.Limits.AckTimeout.Milliseconds()))
}
