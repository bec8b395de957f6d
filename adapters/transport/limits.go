package transport

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
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
	// Gather is how many bytes are gathered before they are written; 512 KiB: a
	// receiver that is faster than the sender sleeps between writes, and each
	// waking of it is the sender's work.
	Gather int
	// InFlight is how many bytes may be written and not acknowledged; 2 MiB. A
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
	setDefault(&l.Gather, 512<<10)
	setDefault(&l.InFlight, 2<<20)
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

// maxSocketPath is the longest path of a Unix socket, in bytes: the kernel has
// room for one more, a zero (unix(7)).
const maxSocketPath = 107

// checkSocketPath reports what is wrong with the path of a Unix socket.
func checkSocketPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("reading the socket's path %q: it does not begin with a slash", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("reading the socket's path %q: it is longer than %d bytes", path, maxSocketPath)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("reading the socket's path %q: it holds a zero byte", path)
	}
	return nil
}

// check reports what is wrong with the address.
func (c *Config) check() error {
	if c.Unix {
		return checkSocketPath(c.Address)
	}
	return CheckAddress(c.Address)
}
