package nats

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"tallyman/adapters/adaptertest"
)

// The server's configuration in the README is one that a server takes, and its
// user may do all that the route beside it does, and no more.
func TestReadmesConfiguration(t *testing.T) {
	readme := must[[]byte](t)(os.ReadFile("README.md"))
	_, text, found := strings.Cut(string(readme), "\n    port: 4222\n")
	config, _, closed := strings.Cut(text, "\n\n")
	if !found || !closed {
		t.Fatal("the README has no configuration")
	}
	certificates := adaptertest.NewCertificates(t)
	config = strings.NewReplacer("/var/lib/nats", filepath.Join(t.TempDir(), "store"),
		"/etc/nats/server.pem", certificates.CertFile, "/etc/nats/server.key", certificates.KeyFile).Replace(config)
	t.Setenv("SHIP_PASSWORD", "hunter2")
	t.Setenv("READER_PASSWORD", "reader")
	options := must[*server.Options](t)(server.ProcessConfigFile(writeFile(t, "nats-server.conf", []byte(config))))
	s := startServer(t, func(o *server.Options) {
		port, host := o.Port, o.Host
		*o = *options
		o.Port, o.Host, o.NoLog, o.NoSigs = port, host, true, true
	})
	type o = map[string]string
	with := func(more o) o {
		all := o{"user": "ship", "password": "hunter2", "tls.ca": certificates.CAFile, "jetstream": "true", "stream": "LOGS", "stream.max_age": "72h"}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	if err := attempt(t, resolve(t, "tls", address(s), with(nil))); err != nil {
		t.Error(err)
	}
	if err := attempt(t, resolve(t, "tls", address(s), with(o{"subject": "elsewhere.{host}"}))); err == nil {
		t.Error("the user may publish anywhere")
	}
	retried(t, attempt(t, resolve(t, "tls", address(s), with(o{"password": "hunter3"}))), "Authorization Violation")
}
