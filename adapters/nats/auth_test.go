package nats

import (
	"crypto/tls"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"tallyman/adapters"
	"tallyman/adapters/adaptertest"
)

// attempt sends one line and returns what became of it.
func attempt(t *testing.T, c adapters.Config) error {
	t.Helper()
	a, err := newAdapter(c, shortLimits())
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	a.Send(t.Context(), adaptertest.NewBatch(web(), []byte("hello")), func(err error) { result <- err })
	if err := a.Close(t.Context()); err != nil {
		t.Logf("closing: %v", err)
	}
	return <-result
}

// retried fails the test unless err says what and gives nothing up.
func retried(t *testing.T, err error, what string) {
	t.Helper()
	contains(t, err, what)
	switch err.(type) {
	case *adapters.RejectedError, *adapters.PermanentError:
		t.Fatalf("lines are given up: %v", err)
	}
}

func TestUserAndPassword(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.Username, o.Password = "ship", "hunter2" })
	f := func(user *url.Userinfo, options map[string]string, want string) {
		t.Helper()
		c := resolve(t, "tcp", address(s), options)
		c.User = user
		err := attempt(t, c)
		if want == "" {
			if err != nil {
				t.Errorf("%v %v: %v", user, options, err)
			}
			return
		}
		retried(t, err, want)
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("the password is shown: %v", err)
		}
	}
	type o = map[string]string
	f(url.UserPassword("ship", "hunter2"), nil, "")
	f(nil, o{"user": "ship", "password": "hunter2"}, "")
	f(url.User("ship"), o{"password": "hunter2"}, "")
	f(url.UserPassword("ship", "hunter3"), nil, "Authorization Violation")
	f(nil, nil, "Authorization Violation")
}

func TestToken(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.Authorization = "s3cret" })
	c := resolve(t, "tcp", address(s), map[string]string{"token": "s3cret"})
	if err := attempt(t, c); err != nil {
		t.Errorf("the token as an option: %v", err)
	}
	c = resolve(t, "tcp", address(s), nil)
	c.User = url.User("s3cret")
	if err := attempt(t, c); err != nil {
		t.Errorf("the token in the address: %v", err)
	}
	c.User = url.User("other")
	retried(t, attempt(t, c), "Authorization Violation")
}

// writeFile writes a file of the test's own.
func writeFile(t *testing.T, name string, text []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestNKey(t *testing.T) {
	key := must[nkeys.KeyPair](t)(nkeys.CreateUser())
	public := must[string](t)(key.PublicKey())
	s := startServer(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
	file := writeFile(t, "user.nk", must[[]byte](t)(key.Seed()))
	if err := attempt(t, resolve(t, "tcp", address(s), map[string]string{"nkey": file})); err != nil {
		t.Error(err)
	}
	// The file is read at every connect, so that one that is not there yet is
	// no reason to refuse the route.
	retried(t, attempt(t, resolve(t, "tcp", address(s), map[string]string{"nkey": file + ".none"})), "no such file")
}

// A server in operator mode knows accounts and users by JWTs alone.
func TestCreds(t *testing.T) {
	create := must[nkeys.KeyPair](t)
	text := must[string](t)
	operator, account, user := create(nkeys.CreateOperator()), create(nkeys.CreateAccount()), create(nkeys.CreateUser())
	operatorClaims := jwt.NewOperatorClaims(text(operator.PublicKey()))
	operatorJWT := text(operatorClaims.Encode(operator))
	accountKey := text(account.PublicKey())
	accountJWT := text(jwt.NewAccountClaims(accountKey).Encode(operator))
	userJWT := text(jwt.NewUserClaims(text(user.PublicKey())).Encode(account))
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountKey, accountJWT); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, func(o *server.Options) {
		o.JetStream = false
		o.TrustedOperators = []*jwt.OperatorClaims{must[*jwt.OperatorClaims](t)(jwt.DecodeOperatorClaims(operatorJWT))}
		o.AccountResolver = resolver
	})
	creds := must[[]byte](t)(jwt.FormatUserConfig(userJWT, must[[]byte](t)(user.Seed())))
	if err := attempt(t, resolve(t, "tcp", address(s), map[string]string{"creds": writeFile(t, "user.creds", creds)})); err != nil {
		t.Error(err)
	}
	retried(t, attempt(t, resolve(t, "tcp", address(s), nil)), "Authorization Violation")
}

func TestTLS(t *testing.T) {
	certificates := adaptertest.NewCertificates(t)
	demanding := certificates.Server.Clone()
	demanding.ClientAuth, demanding.ClientCAs = tls.RequireAndVerifyClientCert, certificates.Authority
	start := func(config *tls.Config, first bool) *server.Server {
		return startServer(t, func(o *server.Options) {
			o.TLSConfig, o.TLS, o.TLSTimeout = config, true, 5
			o.TLSVerify = config.ClientAuth == tls.RequireAndVerifyClientCert
			o.TLSHandshakeFirst = first
		})
	}
	plain, secure := startServer(t, nil), start(certificates.Server, false)
	verifying, first := start(demanding, false), start(certificates.Server, true)
	type o = map[string]string
	f := func(s *server.Server, transport string, options o, want string) {
		t.Helper()
		for _, options["jetstream"] = range []string{"false", "true"} {
			if options["jetstream"] == "true" {
				options["stream"] = "LOGS"
			}
			err := attempt(t, resolve(t, transport, address(s), options))
			if want != "" {
				retried(t, err, want)
			} else if err != nil {
				t.Errorf("%v: %v", options, err)
			}
			delete(options, "stream")
		}
	}
	f(secure, "tls", o{"tls.ca": certificates.CAFile}, "")
	f(secure, "tls", o{"tls.insecure_skip_verify": "true"}, "")
	f(secure, "tls", o{"tls.ca": certificates.CAFile, "tls.server_name": "localhost"}, "")
	f(secure, "tls", o{}, "certificate signed by unknown authority")
	f(secure, "tls", o{"tls.ca": certificates.CAFile, "tls.server_name": "elsewhere"}, "not elsewhere")
	_, err := newAdapter(resolve(t, "tls", address(secure), o{"tls.ca": "/nowhere"}), shortLimits())
	contains(t, err, "no such file")
	f(verifying, "tls", o{"tls.ca": certificates.CAFile, "tls.cert": certificates.CertFile, "tls.key": certificates.KeyFile}, "")
	f(verifying, "tls", o{"tls.ca": certificates.CAFile}, "options tls.cert and tls.key")
	f(first, "tls", o{"tls.ca": certificates.CAFile, "tls.handshake_first": "true"}, "")
	f(plain, "tls", o{"tls.ca": certificates.CAFile}, natsgo.ErrSecureConnWanted.Error())
	// The test's authority is not among the system's, so that this is as far
	// as it comes.
	f(secure, "tcp", o{}, "certificate signed by unknown authority")
}
