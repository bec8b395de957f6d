package adapters

import (
	"fmt"
	"log/slog"
	"maps"
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
	// Options are all that a route URI may set.
	Options []Option
	// New makes the adapter. It checks the configuration and does not connect.
	New func(Config) (Adapter, error)
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
}

// Config is what an adapter is made from.
type Config struct {
	// Transport is one of the description's transports.
	Transport string
	// Address is the route's host and port.
	Address string
	// Options hold a value for every option of the description.
	Options map[string]string
	// Logger is for changes of state, never for single records.
	Logger *slog.Logger
}

// Resolve checks the transport and the options of a route against d and returns
// the complete configuration. lookupEnv finds an option's environment variable;
// nil finds none. An error names the word that is wrong and those that are known.
func (d *Description) Resolve(transport, address string, options map[string]string,
	lookupEnv func(string) (string, bool),
) (Config, error) {
	c := Config{Transport: transport, Address: address, Options: make(map[string]string, len(d.Options))}
	if transport == "" && len(d.Transports) > 0 {
		c.Transport = d.Transports[0]
	}
	if c.Transport != "" && !slices.Contains(d.Transports, c.Transport) {
		return c, fmt.Errorf("unknown transport %q of adapter %q; known are %s", transport, d.Name, list(d.Transports))
	}
	for _, o := range d.Options {
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
		if _, ok := c.Options[name]; !ok {
			return c, fmt.Errorf("unknown option %q of adapter %q; known are %s", name, d.Name, list(d.optionNames()))
		}
	}
	return c, nil
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
