package adapters

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Description is how an adapter is listed, configured and documented. The list
// of all of them is the package all.
type Description struct {
	// Name is the scheme of the route URI, before any plus sign.
	Name string
	// Summary says in one sentence what the adapter does.
	Summary string
	// Transports are the words allowed behind the plus sign; the first is used
	// when the URI has none. Empty where the adapter has no choice.
	Transports []string
	// Aliases map a whole scheme to the transport it stands for, such as "tcp"
	// for raw+tcp.
	Aliases map[string]string
	// Target says which parts of a route URI name the destination over a
	// transport; nil stands for a host and a port.
	Target func(transport string) Target
	// Options are all that a route URI may set. One whose name ends with ".*"
	// stands for every option that begins so, such as header.X-Tenant.
	Options []Option
	// New makes the adapter. It checks the configuration and does not connect.
	New func(Config) (Adapter, error)
}

// Target says which parts of a route URI name the destination. The zero value
// is a host and a port, and nothing else.
type Target struct {
	// Port is the port where a URI names none; empty where it has to.
	Port string
	// Several says that there may be more than one host, separated by commas.
	Several bool
	// Path says that a path may follow the address.
	Path bool
	// User says that a user name and a password may stand before the address.
	User bool
	// File says that the URI names a file or a socket, adapter:///path, and no
	// host.
	File bool
}

// Option is one setting of an adapter.
type Option struct {
	Name, Default, Help string
	// Env names the environment variable that replaces Default, for Logspout's
	// users; empty for none.
	Env string
	// Values are the words allowed; empty when any text is.
	Values []string
	// Secret says that the value is never to be shown.
	Secret bool
	// File says that the value is the name of a file, several of them separated by
	// commas, and not what the file holds.
	File bool
	// Transports are those over which a route may set the option; empty for all.
	// A variable of the environment, which holds for all routes, has no effect
	// over others.
	Transports []string
}

// Config is what an adapter is made from.
type Config struct {
	// Transport is one of the description's transports.
	Transport string
	// Address is the route's host and port, several of them separated by commas
	// where the target allows it, or the path of a file.
	Address string
	// Path is what follows the address, with its slash; empty for none.
	Path string
	// User has the name and the password of the URI; nil for none. It is never
	// to be shown.
	User *url.Userinfo
	// Options hold a value for every option of the description, and those given
	// that an option with a star stands for.
	Options map[string]string
	// Hostname is the name of the agent's host.
	Hostname string
	// Logger is for changes of state, never for single records.
	Logger *slog.Logger
	// Count counts what happened to lines that were delivered all the same, such
	// as "cut", for a metric's label. It may be called in any goroutine. Resolve
	// sets one that does nothing.
	Count func(event string, lines int64)
}

// Resolve checks the transport and the options of a route against d and returns
// the complete configuration. lookupEnv finds an option's environment variable;
// nil finds none. An error names the word that is wrong and those that are known.
func (d *Description) Resolve(transport, address string, options map[string]string,
	lookupEnv func(string) (string, bool),
) (Config, error) {
	c := Config{
		Transport: transport, Address: address, Options: make(map[string]string, len(d.Options)),
		Count: func(string, int64) {},
	}
	if transport == "" && len(d.Transports) > 0 {
		c.Transport = d.Transports[0]
	}
	if c.Transport != "" && !slices.Contains(d.Transports, c.Transport) {
		return c, fmt.Errorf("unknown transport %q of adapter %q; known are %s", transport, d.Name, list(d.Transports))
	}
	for _, o := range d.Options {
		if strings.HasSuffix(o.Name, ".*") {
			continue
		}
		value, source := o.Default, "the default of option"
		if lookupEnv != nil && o.Env != "" {
			if v, ok := lookupEnv(o.Env); ok && v != "" {
				value, source = v, o.Env+" for option"
			}
		}
		if v, ok := options[o.Name]; ok {
			value, source = v, "option"
		}
		if len(o.Values) > 0 && !slices.Contains(o.Values, value) {
			return c, fmt.Errorf("bad value %q of %s %q of adapter %q; known are %s",
				value, source, o.Name, d.Name, list(o.Values))
		}
		c.Options[o.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o, ok := d.Option(name)
		if !ok {
			return c, fmt.Errorf("unknown option %q of adapter %q; known are %s", name, d.Name, list(d.optionNames()))
		}
		if len(o.Transports) > 0 && !slices.Contains(o.Transports, c.Transport) {
			return c, fmt.Errorf("option %q of adapter %q has no meaning over %s; it is for %s",
				name, d.Name, c.Transport, list(o.Transports))
		}
		c.Options[name] = options[name]
	}
	for _, o := range d.Options {
		if o.File && isContent(c.Options[o.Name]) {
			return c, fmt.Errorf("bad value of option %q of adapter %q: it is the name of a file, not what the file holds", o.Name, d.Name)
		}
	}
	return c, nil
}

// isContent reports whether a value is what belongs into a file of keys or
// certificates and not the file's name. It may be secret, and opening it would put
// it into an error.
func isContent(value string) bool {
	return strings.ContainsAny(value, "\n\x00") || strings.Contains(value, "-----BEGIN ") ||
		strings.HasPrefix(value, "eyJ") || // A JWT.
		strings.HasPrefix(value, "SU") && len(value) == seedLength
}

// seedLength is that of an NKey's seed, which begins with SU for a user:
// https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth.
const seedLength = 58

// TargetOf returns which parts of a route URI name the destination over a
// transport; the first transport where none is named.
func (d *Description) TargetOf(transport string) Target {
	if d.Target == nil {
		return Target{}
	}
	if transport == "" && len(d.Transports) > 0 {
		transport = d.Transports[0]
	}
	return d.Target(transport)
}

// Option returns the option that a name in a route URI sets.
func (d *Description) Option(name string) (Option, bool) {
	for _, o := range d.Options {
		prefix, open := strings.CutSuffix(o.Name, "*")
		if o.Name == name && !open || open && strings.HasPrefix(name, prefix) && name != prefix {
			return o, true
		}
	}
	return Option{}, false
}

func (d *Description) optionNames() []string {
	names := make([]string, len(d.Options))
	for i, o := range d.Options {
		names[i] = o.Name
	}
	return names
}

// list writes words for an error message.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
