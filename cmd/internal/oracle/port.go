package oracle

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// blockSize is how much is read at a time, maxLine how long a line may be.
const (
	blockSize = 256 << 10
	maxLine   = 4 << 20
)

// longAgo as a deadline ends a read that is waiting.
var longAgo = time.Unix(1, 0)

// port is the network side of a sink: a listener that can be closed and opened
// again, its connections, and a gate at which all readers can be stopped.
type port struct {
	sink    *Sink
	network string
	// address is the real one, also while nobody listens there.
	address string
	// running counts the goroutines.
	running sync.WaitGroup
	// reading is held for reading while a block is read and taken, so that
	// Pause can wait for those on their way.
	reading sync.RWMutex

	mu sync.Mutex
	// All below is guarded by mu.
	listener net.Listener
	conns    map[net.Conn]bool
	// opened is closed when readers may go on, nil when they need not stop.
	opened chan struct{}
	closed bool
}

func listen(s *Sink, c Config) (*port, error) {
	p := &port{sink: s, network: c.Network, address: c.Address, conns: map[net.Conn]bool{}}
	if p.address == "" {
		p.address = "127.0.0.1:0"
	}
	switch c.Network {
	case "tcp":
		return p, p.accept()
	case "udp":
		address, err := net.ResolveUDPAddr("udp", p.address)
		if err != nil {
			return nil, err
		}
		conn, err := net.ListenUDP("udp", address)
		if err != nil {
			return nil, err
		}
		// The kernel gives what it allows; less only means more loss.
		_ = conn.SetReadBuffer(16 << 20)
		p.address = conn.LocalAddr().String()
		p.conns[conn] = true
		p.running.Go(func() { p.receive(conn) })
		return p, nil
	}
	return nil, fmt.Errorf("unknown network %q; known are tcp, udp", c.Network)
}

// accept listens, and takes connections until the listener is closed.
func (p *port) accept() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.listener, p.address = listener, listener.Addr().String()
	p.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.sink.mu.Lock()
			p.sink.accepted++
			p.sink.mu.Unlock()
			if !p.keep(conn) {
				_ = conn.Close()
				continue
			}
			p.running.Go(func() { p.receive(conn) })
		}
	})
	return nil
}

func (p *port) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[conn] = true
	}
	return !p.closed
}

// receive reads from a connection until it ends.
func (p *port) receive(conn net.Conn) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, conn)
		p.mu.Unlock()
		_ = conn.Close()
	}()
	block := make([]byte, blockSize)
	held := 0
	for {
		p.pass()
		var err error
		held, err = p.read(conn, block, held)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			continue // It was interrupted to stop at the gate.
		}
		if err == nil && held == len(block) && held < maxLine {
			block = append(block, make([]byte, len(block))...)
		}
		if err != nil || held == len(block) {
			if held > 0 {
				p.sink.mu.Lock()
				p.sink.torn++
				p.sink.mu.Unlock()
			}
			return
		}
	}
}

// read reads and takes one block, which begins with the bytes that are held from
// the one before, and returns how many bytes at its start are held for the next.
func (p *port) read(conn net.Conn, block []byte, held int) (int, error) {
	p.reading.RLock()
	defer p.reading.RUnlock()
	n, err := conn.Read(block[held:])
	if n == 0 {
		return held, err
	}
	if p.network == "udp" && block[n-1] != '\n' && n < len(block) {
		// The end of a datagram is the end of its last line.
		block[n] = '\n'
		p.sink.take(block[:n+1], n)
		return 0, err
	}
	return copy(block, p.sink.take(block[:held+n], n)), err
}

// pass waits at the gate.
func (p *port) pass() {
	p.mu.Lock()
	opened := p.opened
	p.mu.Unlock()
	if opened != nil {
		<-opened
	}
}

// Address returns host and port. It stays the same through Refuse and Accept.
func (s *Sink) Address() string {
	s.port.mu.Lock()
	defer s.port.mu.Unlock()
	return s.port.address
}

// Pause stops reading. Connections stay, and new ones are accepted, but nothing
// is taken from them, so that the senders' buffers fill.
func (s *Sink) Pause() {
	p := s.port
	p.mu.Lock()
	if p.opened == nil && !p.closed {
		p.opened = make(chan struct{})
		for conn := range p.conns {
			_ = conn.SetReadDeadline(longAgo) // Only a closed connection refuses.
		}
	}
	p.mu.Unlock()
	// Whoever passed the gate before it closed is still to be counted.
	p.reading.Lock()
	defer p.reading.Unlock()
}

// Resume reads on after Pause.
func (s *Sink) Resume() {
	s.port.mu.Lock()
	defer s.port.mu.Unlock()
	s.port.resumeLocked()
}

func (p *port) resumeLocked() {
	if p.opened == nil {
		return
	}
	for conn := range p.conns {
		_ = conn.SetReadDeadline(time.Time{}) // Only a closed connection refuses.
	}
	close(p.opened)
	p.opened = nil
}

// Refuse stops listening, so that new connections are refused. Those there are
// stay.
func (s *Sink) Refuse() error {
	p := s.port
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	err := p.listener.Close()
	p.listener = nil
	return err
}

// Accept listens again after Refuse.
func (s *Sink) Accept() error { return s.port.accept() }

// ResetAll ends all connections with a reset, as a crashed server would: what is
// on its way is lost.
func (s *Sink) ResetAll() {
	p := s.port
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // Without it, closing is merely polite.
			_ = tcp.Close()
		}
	}
}

// Close ends everything and waits for it. What came can still be reported.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	s.arrived.Broadcast()
	s.mu.Unlock()
	if s.port == nil {
		return nil
	}
	err := s.Refuse()
	p := s.port
	p.mu.Lock()
	p.closed = true
	p.resumeLocked()
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	return err
}
