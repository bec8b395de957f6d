// Package wire makes an adapter of an Encoder: it joins the transports TCP, TLS
// and UDP with the contract of package adapters, for every protocol that is a
// sequence of messages with no answers.
package wire

import (
	"fmt"
	"strconv"
	"strings"

	"tallyman/adapters"
	"tallyman/adapters/transport"
)

// Transports returns the transports that New knows, the default first.
func Transports() []string { return []string{"udp", "tcp", "tls"} }

// Options returns the options that New reads, for a Description.
func Options() []adapters.Option {
	return []adapters.Option{
		{
			Name: "udp.max_bytes", Default: strconv.Itoa(transport.MaxUDPPayload),
			Help: "Longest UDP message in bytes; a longer one is cut between two characters.",
		},
		{
			Name: "tls.ca", Env: "LOGSPOUT_TLS_CA_CERTS",
			Help: "PEM files of certificate authorities to trust besides the system's, separated by commas (%2C in a URI).",
		},
		{
			Name: "tls.disable_system_roots", Default: "false", Values: []string{"true", "false"},
			Env:  "LOGSPOUT_TLS_DISABLE_SYSTEM_ROOTS",
			Help: "Trust the authorities of tls.ca alone.",
		},
		{
			Name: "tls.cert", Env: "LOGSPOUT_TLS_CLIENT_CERT",
			Help: "PEM file of the certificate to present to the server.",
		},
		{
			Name: "tls.key", Env: "LOGSPOUT_TLS_CLIENT_KEY",
			Help: "PEM file of the key of tls.cert.",
		},
		{
			Name: "tls.server_name",
			Help: "Name that the server's certificate must bear, in place of the address's host.",
		},
		{
			Name: "tls.insecure_skip_verify", Default: "false", Values: []string{"true", "false"},
			Help: "Take any certificate, and so any server. For tests.",
		},
	}
}

// tlsOptions reads the options of TLS.
func tlsOptions(options map[string]string) *transport.TLSOptions {
	t := &transport.TLSOptions{
		NoSystemRoots:      options["tls.disable_system_roots"] == "true",
		CertFile:           options["tls.cert"],
		KeyFile:            options["tls.key"],
		ServerName:         options["tls.server_name"],
		InsecureSkipVerify: options["tls.insecure_skip_verify"] == "true",
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
