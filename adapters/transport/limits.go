package transport

import (
	"fmt"
	"net"
	"time"
)

// MaxUDPPayload is the longest UDP payload that IPv4 can carry.
const MaxUDPPayload = 65507

// Limits bounds what a connection may hold and how long it may take. A field
// that is zero stands for its default.
type Limits struct {
	// DialTimeout bounds the look-up of the name, the connection and the TLS
	// handshake together; 10 s.
	DialTimeout time.Duration
	// WriteTimeout is how long the peer may take nothing while there is
	// something to write; 10 s.
	WriteTimeout time.Duration
	// AckTimeout is how long written bytes may stay without any
	// acknowledgement; 30 s.
	AckTimeout time.Duration
	// Gather is how many bytes are gathered before they are written; 256 KiB.
	Gather int
	// InFlight is how many bytes may be written and not acknowledged; 1 MiB. A
	// single write may be longer when nothing else is in flight.
	InFlight int
	// MaxDatagram is the longest message that a Datagram sends, in bytes;
	// MaxUDPPayload.
	MaxDatagram int
}

// WithDefaults returns l with the default in place of every zero.
func (l Limits) WithDefaults() Limits {
	setDefault(&l.DialTimeout, 10*time.Second)
	setDefault(&l.WriteTimeout, 10*time.Second)
	setDefault(&l.AckTimeout, 30*time.Second)
	setDefault(&l.Gather, 256<<10)
	setDefault(&l.InFlight, 1<<20)
	setDefault(&l.MaxDatagram, MaxUDPPayload)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// CheckAddress reports what is wrong with an address of the form host:port.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading address %q: %w", address, err)
	}
	if port == "" {
		return fmt.Errorf("reading address %q: the port is missing", address)
	}
	return nil
}
