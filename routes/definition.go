// Package routes holds the routes and delivers to them. A route is a set of
// cursors, one in the log of each container it wants, and a destination.
//
// There is no queue: a route reads from Docker's own files what it is about to
// send, and its cursors move when the destination has taken it.
package routes

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tallyman/adapters"
)

// Definition is a route as it was asked for, checked and complete.
type Definition struct {
	// Name is the name under which positions are kept, where one was given.
	Name string
	// Adapter names the adapter, Config is what it is made from.
	Adapter string
	Config  adapters.Config
	Filter  Filter
	// Backlog says that logs of containers that were there before the route are
	// read from their oldest line rather than from their end.
	Backlog bool

	description adapters.Description
}

// Catalog is the list of adapters that definitions may name, and the settings
// that hold for all of them.
type Catalog struct {
	Adapters []adapters.Description
	// LookupEnv finds the environment variables that options name and that a
	// URI refers to as $NAME; nil finds none.
	LookupEnv func(string) (string, bool)
	// Backlog is the default of Definition.Backlog.
	Backlog bool
}

// Schemes returns all that may stand before "://", sorted.
func (c *Catalog) Schemes() []string {
	var all []string
	for _, d := range c.Adapters {
		all = append(all, d.Name)
		for _, t := range d.Transports {
			all = append(all, d.Name+"+"+t)
		}
		all = slices.AppendSeq(all, maps.Keys(d.Aliases))
	}
	slices.Sort(all)
	return all
}

// uriStart finds the commas that separate URIs: those before a scheme. Commas
// within a filter are left alone.
var uriStart = regexp.MustCompile(`,\s*([A-Za-z][A-Za-z0-9+.-]*://)`)

// SplitURIs splits a list of route URIs at the commas before a scheme.
func SplitURIs(list string) []string {
	var uris []string
	for _, part := range strings.Split(uriStart.ReplaceAllString(list, "\n$1"), "\n") {
		if part = strings.TrimSpace(part); part != "" {
			uris = append(uris, part)
		}
	}
	return uris
}

// Parse reads a route URI:
//
//	adapter[+transport]://host:port[?filter.name=GLOB&…&option=value]
//
// An error names the word that is wrong and those that are known.
func (c *Catalog) Parse(uri string) (Definition, error) {
	d, err := c.parse(uri)
	if err != nil {
		return Definition{}, fmt.Errorf("route %q: %w", Redact(uri), err)
	}
	return d, nil
}

func (c *Catalog) parse(uri string) (Definition, error) {
	u, err := url.Parse(os.Expand(uri, c.expand))
	if err != nil {
		return Definition{}, notURI(uri, err)
	}
	if u.Scheme == "" || u.Opaque != "" {
		return Definition{}, fmt.Errorf("not a route URI; it is written adapter[+transport]://host:port[?option=value]")
	}
	description, transport, ok := c.find(u.Scheme)
	if !ok {
		return Definition{}, fmt.Errorf("unknown scheme %q; known are %s", u.Scheme, strings.Join(c.Schemes(), ", "))
	}
	if u.Fragment != "" {
		return Definition{}, fmt.Errorf("what is behind the # would be left out; a # in an option is written %%23")
	}
	if err := checkAddress(u); err != nil {
		return Definition{}, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Definition{}, fmt.Errorf("the options after the question mark: %w", err)
	}
	d := Definition{Adapter: description.Name, Backlog: c.Backlog, description: description}
	options := make(map[string]string)
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if len(query[key]) > 1 {
			return Definition{}, fmt.Errorf("option %q is given %d times", key, len(query[key]))
		}
		value := query[key][0]
		switch {
		case strings.HasPrefix(key, "filter."):
			err = d.Filter.Set(key, value)
		case key == "name":
			d.Name = value
		case key == "backlog":
			if d.Backlog, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("bad value %q of option %q; known are true, false", value, key)
			}
		default:
			options[key] = value
		}
		if err != nil {
			return Definition{}, err
		}
	}
	d.Config, err = description.Resolve(transport, u.Host, options, c.LookupEnv)
	return d, err
}

// expand returns the value of an environment variable that a URI names.
func (c *Catalog) expand(name string) string {
	if c.LookupEnv == nil {
		return ""
	}
	value, _ := c.LookupEnv(name)
	return value
}

// find returns the adapter and the transport that a scheme names.
func (c *Catalog) find(scheme string) (adapters.Description, string, bool) {
	name, transport, chosen := strings.Cut(scheme, "+")
	for _, d := range c.Adapters {
		if d.Name == name && chosen == (transport != "") {
			return d, transport, true
		}
		if t, ok := d.Aliases[scheme]; ok {
			return d, t, true
		}
	}
	return adapters.Description{}, "", false
}

func checkAddress(u *url.URL) error {
	if u.Hostname() == "" {
		return fmt.Errorf("the host is missing; a route URI is written %s://host:port", u.Scheme)
	}
	if u.Port() == "" {
		return fmt.Errorf("the port is missing behind %q; a route URI is written %s://host:port", u.Host, u.Scheme)
	}
	if u.Path != "" && u.Path != "/" {
		return fmt.Errorf("the path %q means nothing to this adapter", u.Path)
	}
	if u.User != nil {
		return fmt.Errorf("a user name means nothing to this adapter")
	}
	return nil
}

// Validate makes the adapter as a route would and throws it away.
func (d *Definition) Validate() error {
	a, err := d.description.New(d.Config)
	if err != nil {
		return err
	}
	return a.Close(closedContext())
}

// Identity is the name under which the route's positions are kept: the one it
// was given, else its adapter, address and filters. Options do not belong to
// it, so that changing one does not start the route anew.
func (d *Definition) Identity() string {
	if d.Name != "" {
		return d.Name
	}
	identity := d.Scheme() + "://" + d.Config.Address
	if f := d.Filter.String(); f != "" {
		identity += "?" + f
	}
	return identity
}

// Scheme returns the adapter with its transport, as a URI names them.
func (d *Definition) Scheme() string {
	if d.Config.Transport == "" {
		return d.Adapter
	}
	return d.Adapter + "+" + d.Config.Transport
}

// String returns a URI of the route that shows no secret.
func (d *Definition) String() string {
	query := url.Values{}
	for _, o := range d.description.Options {
		value := d.Config.Options[o.Name]
		switch {
		case value == o.Default:
		case o.Secret:
			query.Set(o.Name, "xxxxx")
		default:
			query.Set(o.Name, value)
		}
	}
	if d.Name != "" {
		query.Set("name", d.Name)
	}
	// This way an address comes out as a URI has it: an IPv6 zone is escaped.
	text := (&url.URL{Scheme: d.Scheme(), Host: d.Config.Address}).String()
	parts := slices.DeleteFunc([]string{d.Filter.String(), query.Encode()}, func(s string) bool { return s == "" })
	if len(parts) > 0 {
		text += "?" + strings.Join(parts, "&")
	}
	return text
}

// Redact returns a URI without what may be secret in it, for messages about
// URIs that could not be parsed.
func Redact(uri string) string {
	before, query, found := strings.Cut(uri, "?")
	if i := strings.LastIndexByte(before, '@'); i >= 0 {
		scheme, _, ok := strings.Cut(before, "://")
		if ok {
			scheme += "://"
		} else {
			scheme = ""
		}
		before = scheme + "xxxxx" + before[i:]
	}
	if i := strings.IndexByte(before, '#'); i >= 0 {
		return before[:i] + "#xxxxx"
	}
	if !found {
		return before
	}
	query, _, fragment := strings.Cut(query, "#")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		key, _, ok := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(key, "filter."):
		case ok:
			pairs[i] = key + "=xxxxx"
		default:
			// It may be what follows an & in a secret.
			pairs[i] = "xxxxx"
		}
	}
	if fragment {
		pairs[len(pairs)-1] += "#xxxxx"
	}
	return before + "?" + strings.Join(pairs, "&")
}

// notURI says why a URI cannot be parsed, without showing what may be secret.
func notURI(uri string, err error) error {
	if strings.Contains(uri, "@") {
		// The reason may quote a part of a password.
		return errors.New("not a URI")
	}
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("not a URI: %w", err)
}
