package nats

import (
	"errors"
	"fmt"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters"
)

// auth is how the client shows who it is.
type auth struct {
	user, password, token, nkey, creds string
}

func newAuth(c adapters.Config) (auth, error) {
	a := auth{
		user: c.Options["user"], password: c.Options["password"], token: c.Options["token"],
		nkey: c.Options["nkey"], creds: c.Options["creds"],
	}
	if c.User != nil && c.User.Username() != "" && a.user == "" {
		password, both := c.User.Password()
		switch {
		case both:
			a.user = c.User.Username()
			if a.password == "" {
				a.password = password
			}
		case a.password != "":
			a.user = c.User.Username()
		case a.token == "":
			// A user alone is a token, as everywhere in NATS.
			a.token = c.User.Username()
		}
	}
	ways := 0
	for _, way := range []string{a.user, a.token, a.nkey, a.creds} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return auth{}, errors.New("more than one of user, token, nkey and creds is given")
	case a.password != "" && a.user == "":
		return auth{}, fmt.Errorf("option %q needs a user", "password")
	}
	return a, nil
}

// options reads the files anew, so that changed ones are found.
func (a *auth) options() ([]natsgo.Option, error) {
	switch {
	case a.user != "":
		return []natsgo.Option{natsgo.UserInfo(a.user, a.password)}, nil
	case a.token != "":
		return []natsgo.Option{natsgo.Token(a.token)}, nil
	case a.creds != "":
		return []natsgo.Option{natsgo.UserCredentials(a.creds)}, nil
	case a.nkey != "":
		option, err := natsgo.NkeyOptionFromSeed(a.nkey)
		if err != nil {
			return nil, fmt.Errorf("reading the NKey's seed from %q: %w", a.nkey, err)
		}
		return []natsgo.Option{option}, nil
	}
	return nil, nil
}
