package wire

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tallyman/adapters"
	"tallyman/adapters/transport"
)

// Unix is the transport to a Unix socket. The URI names its path:
// adapter+unix:///path. Datagrams are sent where the socket takes them, else a
// stream, so an Encoder for it tells messages apart by a newline at the end of
// each.
const Unix = "unix"

// Transports returns the transports over a network that New knows, the default
// first. An adapter may offer Unix besides.
func Transports() []string { return []string{"udp", "tcp", "tls"} }

// Target is the Target of a Description with these transports: a path for Unix,
// else a host and a port.
func Target(transport string) adapters.Target { return adapters.Target{File: transport == Unix} }

// Options returns the options that New reads, for a Description. Those of TLS are
// for the transport tls and the others that are named.
func Options(secured ...string) []adapters.Option {
	return slices.Concat([]adapters.Option{
		{
			Name: "udp.max_bytes", Default: strconv.Itoa(transport.MaxUDPPayload), Transports: []string{"udp", Unix},
			Help: "Longest datagram in bytes, over UDP and to a Unix socket; a longer message is cut between two characters.",
		},
	}, TLSOptions(append([]string{"tls"}, secured...)...))
}

// TLSOptions returns the options that TLS reads, for the transports that speak it.
func TLSOptions(secured ...string) []adapters.Option {
	options := []adapters.Option{
		{
			Name: "tls.ca", Env: "LOGSPOUT_TLS_CA_CERTS", File: true,
			Help: "PEM files of certificate authorities to trust besides the system's, separated by commas (%2C in a URI).",
		},
		{
			Name: "tls.disable_system_roots", Default: "false", Values: []string{"true", "false"},
			Env:  "LOGSPOUT_TLS_DISABLE_SYSTEM_ROOTS",
			Help: "Trust the authorities of tls.ca alone.",
		},
		{
			Name: "tls.cert", Env: "LOGSPOUT_TLS_CLIENT_CERT", File: true,
			Help: "PEM file of the certificate to present to the server.",
		},
		{
			Name: "tls.key", Env: "LOGSPOUT_TLS_CLIENT_KEY", File: true,
			Help: "PEM file of the key of tls.cert.",
		},
		{
			Name: "tls.server_name",
			Help: "Name that the server's certificate must bear, in place of the address's host.",
		},
		{
			Name: "tls.min_version", Default: "1.2", Values: []string{"1.2", "1.3"},
			Help: "Least version of TLS to speak.",
		},
		{
			Name: "tls.hardening", Default: "false", Values: []string{"true", "false"}, Env: "LOGSPOUT_TLS_HARDENING",
			Help: "Speak the cipher suites and curves alone that Logspout calls hardened: ECDHE with AES-GCM or ChaCha20-Poly1305.",
		},
		{
			Name: "tls.insecure_skip_verify", Default: "false", Values: []string{"true", "false"},
			Help: "Take any certificate, and so any server. For tests.",
		},
	}
	for i := range options {
		options[i].Transports = secured
	}
	return options
}

// TLS reads the options that TLSOptions lists.
func TLS(options map[string]string) *transport.TLSOptions {
	t := &transport.TLSOptions{
		NoSystemRoots:      options["tls.disable_system_roots"] == "true",
		CertFile:           options["tls.cert"],
		KeyFile:            options["tls.key"],
		ServerName:         options["tls.server_name"],
		MinVersion:         tls.VersionTLS12,
		Hardened:           options["tls.hardening"] == "true",
		InsecureSkipVerify: options["tls.insecure_skip_verify"] == "true",
	}
	if options["tls.min_version"] == "1.3" {
		t.MinVersion = tls.VersionTLS13
	}
	for name := range strings.SplitSeq(options["tls.ca"], ",") {
		if name = strings.TrimSpace(name); name != "" {
			t.CAFiles = append(t.CAFiles, name)
		}
	}
	return t
}

// maxDatagram reads the option udp.max_bytes.
func maxDatagram(options map[string]string) (int, error) {
	text := options["udp.max_bytes"]
	// RFC 5426, section 3.2: every receiver takes at least 480 bytes.
	const least = 480
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > transport.MaxUDPPayload {
		return 0, fmt.Errorf("bad value %q of option %q; it is a number from %d to %d",
			text, "udp.max_bytes", least, transport.MaxUDPPayload)
	}
	return n, nil
}
