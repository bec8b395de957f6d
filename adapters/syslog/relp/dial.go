package relp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"tallyman/adapters/transport"
)

// offers are what this client says of itself. Version 0 is what librelp, the
// protocol's own library, says on both sides; it names no other.
const offers = "relp_version=0\nrelp_software=tallyman\ncommands=" + commandSyslog

// dial connects, opens a session and starts its reader.
func dial(ctx context.Context, c *Config) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Limits.DialTimeout)
	defer cancel()
	conn, err := transport.NewDialer().DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("dialling %q: %w", c.Address, err)
	}
	raw := conn.(*net.TCPConn)
	s := &session{
		config: c, raw: raw, conn: raw,
		dead: make(chan struct{}), progress: make(chan struct{}, 1), window: make([]slot, c.Window),
	}
	if c.TLS != nil {
		if err := s.secure(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("securing the connection to %q: %w", c.Address, err)
		}
	}
	buf := make([]byte, readBuffer)
	rest, err := s.open(ctx, buf)
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("opening a session with %q: %w", c.Address, err)
	}
	s.running.Go(func() { s.read(buf, rest) })
	return s, nil
}

// secure makes the TLS handshake.
func (s *session) secure(ctx context.Context) error {
	config, err := s.config.TLS.Config(s.config.Address)
	if err != nil {
		return err
	}
	client := tls.Client(s.raw, config)
	if err := client.HandshakeContext(ctx); err != nil {
		return err
	}
	s.conn = client
	return nil
}

// open sends the offers and reads the server's. It leaves what came behind them
// at the start of buf and returns its length.
func (s *session) open(ctx context.Context, buf []byte) (rest int, err error) {
	if err := s.write(ctx, appendFrame(nil, 1, commandOpen, []byte(offers))); err != nil {
		return 0, err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	n, length := 0, 0
	var f frame
	for length == 0 && err == nil {
		var m int
		if m, err = s.conn.Read(buf[n:]); m > 0 {
			n += m
			f, length, err = parseFrame(buf[:n])
		}
	}
	if !stop() {
		<-interrupted
		return 0, ctx.Err()
	}
	if errors.Is(err, io.EOF) {
		return 0, errors.New("the server closed the connection")
	}
	if err != nil {
		return 0, err
	}
	if err := checkOpening(&f); err != nil {
		return 0, err
	}
	return copy(buf, buf[length:n]), nil
}

// checkOpening reports why there is no session to be had from a server that
// responded so.
func checkOpening(f *frame) error {
	if string(f.command) != commandResponse || f.txnr != 1 {
		return fmt.Errorf("the server sent %q with number %d in place of its offers", f.command, f.txnr)
	}
	r, err := parseResponse(f.data)
	if err != nil {
		return err
	}
	if r.code != codeOK {
		return fmt.Errorf("the server refused: %d %q", r.code, short(r.text))
	}
	version, commands := false, false
	for offer := range bytes.SplitSeq(r.data, []byte("\n")) {
		name, value, _ := bytes.Cut(offer, []byte("="))
		switch string(name) {
		case "relp_version":
			version = string(value) == "0" || string(value) == "1"
		case "commands":
			commands = slices.ContainsFunc(bytes.Split(value, []byte(",")), func(word []byte) bool {
				return string(word) == commandSyslog
			})
		}
	}
	if !version {
		return errors.New("the server offers no version of RELP that is known here")
	}
	if !commands {
		return errors.New("the server does not offer to take syslog messages")
	}
	return nil
}
