package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
	"unicode/utf8"
)

// ErrTooLong says that no datagram can carry a message.
var ErrTooLong = errors.New("the message is too long for a datagram")

// refreshAfter is how long a name's address is used. Nothing comes back from a
// UDP peer that has moved away, so errors alone would not tell.
const refreshAfter = time.Minute

// sendBuffer is the socket's send buffer that is asked for, in bytes.
const sendBuffer = 1 << 20

// Datagram sends messages over UDP or to a Unix socket, each in a datagram of
// its own. A message is delivered when the kernel has taken it. What becomes of
// it after is not known over UDP, except that a host where nobody listens may
// say so, which fails the message after the lost one. A Unix socket's queue
// holds it for the peer, and where the queue is full the message waits.
//
// Its methods are called by one goroutine at a time.
type Datagram struct {
	config Config
	conn   net.Conn
	// since is when conn was made.
	since  time.Time
	writes interrupter
	cut    uint64
	closed bool
	// buf is lent to the caller of Begin.
	buf []byte
}

// NewDatagram checks the configuration and returns a Datagram that is not
// connected.
func NewDatagram(c Config) (*Datagram, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Limits.MaxDatagram > MaxUDPPayload {
		return nil, fmt.Errorf("setting the longest datagram to %d bytes: one carries at most %d",
			c.Limits.MaxDatagram, MaxUDPPayload)
	}
	c.Limits = c.Limits.WithDefaults()
	return &Datagram{config: c}, nil
}

// Begin starts a batch. It resolves the address and makes a socket when there
// is none, after an error, and when the address is a minute old, and returns
// memory to build messages in, to be handed back to Keep.
func (d *Datagram) Begin(ctx context.Context) ([]byte, error) {
	if d.closed {
		return nil, d.config.Closed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.conn == nil || !d.config.Unix && time.Since(d.since) > refreshAfter {
		if err := d.connect(ctx); err != nil && d.conn == nil {
			return nil, err
		}
	}
	d.writes.watch(ctx)
	if err := d.writes.arm(d.conn, d.config.Limits.WriteTimeout); err != nil {
		return nil, fmt.Errorf("writing to %q: %w", d.config.Address, err)
	}
	return d.buf[:0], nil
}

// Keep takes the memory back that Begin lent.
func (d *Datagram) Keep(buf []byte) {
	if d.buf = buf; cap(buf) > 4*MaxUDPPayload {
		d.buf = nil
	}
}

func (d *Datagram) connect(ctx context.Context) error {
	d.since = time.Now()
	dialer := net.Dialer{Timeout: d.config.Limits.DialTimeout, Resolver: d.config.Resolver}
	network := "udp"
	if d.config.Unix {
		network = "unixgram"
	}
	conn, err := dialer.DialContext(ctx, network, d.config.Address)
	if err != nil {
		return fmt.Errorf("dialling %q: %w", d.config.Address, err)
	}
	// The kernel gives what it allows, and less only makes a flood wait sooner.
	_ = conn.(interface{ SetWriteBuffer(bytes int) error }).SetWriteBuffer(sendBuffer)
	d.disconnect()
	d.conn = conn
	return nil
}

func (d *Datagram) disconnect() {
	if d.conn != nil {
		_ = d.conn.Close() // It holds nothing that could be lost here.
		d.conn = nil
	}
}

// Send sends one message. A message longer than Limits.MaxDatagram is cut
// between two runes, and keeps its final newline if it has one. After ErrTooLong
// the next message can be sent; after any other error, which says that this
// message was not sent, the caller starts again with Begin.
func (d *Datagram) Send(message []byte) error {
	if len(message) > d.config.Limits.MaxDatagram {
		message = cutTo(message, d.config.Limits.MaxDatagram)
		d.cut++
	}
	_, err := d.conn.Write(message)
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.EMSGSIZE) {
		return ErrTooLong
	}
	d.disconnect()
	return fmt.Errorf("sending to %q: %w", d.config.Address, err)
}

// cutTo shortens message, in its own memory, to at most most bytes.
func cutTo(message []byte, most int) []byte {
	newline := message[len(message)-1] == '\n'
	if newline {
		most--
	}
	end := most
	for end > 0 && end > most-utf8.UTFMax && !utf8.RuneStart(message[end]) {
		end--
	}
	if !utf8.RuneStart(message[end]) {
		end = most // It is not UTF-8, so any place is as good.
	}
	if message = message[:end]; newline {
		message = append(message, '\n')
	}
	return message
}

// Cut returns how many messages were cut.
func (d *Datagram) Cut() uint64 { return d.cut }

// Close closes the socket.
func (d *Datagram) Close() {
	d.closed = true
	d.disconnect()
	d.writes.release()
	d.buf = nil
}
