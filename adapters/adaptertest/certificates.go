package adaptertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificates are an authority of a test, a server that it vouches for, and a
// client.
type Certificates struct {
	// Server is the configuration of a server called localhost and 127.0.0.1.
	Server *tls.Config
	// Authority is the pool with the authority alone.
	Authority *x509.CertPool
	// CAFile, CertFile and KeyFile are PEM files: the authority, and the
	// client's certificate and key.
	CAFile, CertFile, KeyFile string
}

// NewCertificates makes certificates that are valid for an hour.
func NewCertificates(t *testing.T) *Certificates {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	must(err)
	signed, err := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), key)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)

	folder := t.TempDir()
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(folder, name)
		must(os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return name
	}
	parsed, err := x509.ParseCertificate(root)
	must(err)
	c := &Certificates{
		Server: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{{Certificate: [][]byte{signed}, PrivateKey: key}},
		},
		Authority: x509.NewCertPool(),
		CAFile:    write("ca.pem", "CERTIFICATE", root),
		CertFile:  write("client.pem", "CERTIFICATE", signed),
		KeyFile:   write("client.key", "PRIVATE KEY", keyDER),
	}
	c.Authority.AddCert(parsed)
	return c
}
