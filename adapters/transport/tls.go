package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// TLSOptions says whom a TLS connection trusts and who it claims to be. The
// files are read at every connect, so that renewed ones are found.
type TLSOptions struct {
	// CAFiles are PEM files with certificates to trust besides the system's.
	CAFiles []string
	// NoSystemRoots trusts CAFiles alone.
	NoSystemRoots bool
	// CertFile and KeyFile are the client's certificate and key in PEM, both
	// or neither.
	CertFile, KeyFile string
	// ServerName replaces the address's host as the name that the server's
	// certificate must bear.
	ServerName string
	// MinVersion is the least version of TLS to speak, as in tls.Config; TLS 1.2
	// when zero.
	MinVersion uint16
	// Hardened leaves out all but suites with forward secrecy and authenticated
	// encryption, and of the curves those of Logspout's list and the hybrid of
	// X25519 with ML-KEM.
	Hardened bool
	// InsecureSkipVerify takes any certificate.
	InsecureSkipVerify bool
}

// harden makes the configuration Hardened. The suites of TLS 1.3 are all so (RFC
// 8446, appendix B.4), and Go has no choice of them.
func harden(config *tls.Config) {
	config.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	}
	config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP521, tls.CurveP384, tls.CurveP256}
}

// Config reads the files and returns the client's configuration for address.
func (o *TLSOptions) Config(address string) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         max(o.MinVersion, tls.VersionTLS12),
		ServerName:         o.ServerName,
		InsecureSkipVerify: o.InsecureSkipVerify, //nolint:gosec // Only when the user asked for it.
		// Small first records would only cost more system calls: a log has no
		// reader who waits for the first byte.
		DynamicRecordSizingDisabled: true,
	}
	if o.Hardened {
		harden(config)
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("reading address %q: %w", address, err)
		}
		config.ServerName = host
	}
	if err := o.addRoots(config); err != nil {
		return nil, err
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("a client certificate and its key go together: one of them is missing")
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("loading the client certificate %q: %w", o.CertFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (o *TLSOptions) addRoots(config *tls.Config) error {
	if len(o.CAFiles) == 0 && !o.NoSystemRoots {
		return nil
	}
	config.RootCAs = x509.NewCertPool()
	if !o.NoSystemRoots {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return fmt.Errorf("loading the system's certificates: %w", err)
		}
		config.RootCAs = pool
	} else if len(o.CAFiles) == 0 {
		return errors.New("without the system's certificates a CA file is needed")
	}
	for _, name := range o.CAFiles {
		pem, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading the CA file: %w", err)
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("reading the CA file %q: it holds no certificate", name)
		}
	}
	return nil
}

// confirmTime is how long a new TLS 1.3 connection waits for the server's word
// on the client's certificate.
const confirmTime = time.Second

// confirmation tells whether a server that asked for the client's certificate
// has accepted it. In TLS 1.3 the client's handshake ends before the server has
// looked (RFC 8446, section 4.6.1 and appendix A.1), so that a server which
// refuses would still acknowledge, and lose, what is written right after. A
// session ticket is the first thing a server sends once it is content.
type confirmation struct {
	asked  atomic.Bool
	ticket chan struct{}
}

func newConfirmation(config *tls.Config) *confirmation {
	c := &confirmation{ticket: make(chan struct{}, 1)}
	own := &tls.Certificate{}
	if len(config.Certificates) > 0 {
		own = &config.Certificates[0]
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c.asked.Store(true)
		return own, nil
	}
	config.ClientSessionCache = c
	return c
}

// Get finds no session: each connection makes a full handshake.
func (c *confirmation) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put takes note that the server has sent a session ticket.
func (c *confirmation) Put(string, *tls.ClientSessionState) {
	select {
	case c.ticket <- struct{}{}:
	default:
	}
}

// countingConn counts the bytes that TLS hands to the kernel, handshake and
// alerts included, to be compared with the socket's queue.
type countingConn struct {
	net.Conn
	total atomic.Uint64
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.total.Add(uint64(n))
	return n, err
}
