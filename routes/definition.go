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
	"tallyman/routes/multiline"
)

// Definition is a route as it was asked for, checked and complete.
type Definition struct {
	// Name is the name under which positions are kept, where one was given.
	Name string
	// Adapter names the adapter, Config is what it is made from.
	Adapter string
	Config  adapters.Config
	Filter  Filter
	Lines   LineOptions
	// Backlog says that logs of containers that were there before the route are
	// read from their oldest line rather than from their end.
	Backlog bool
	// Since is where in the past the route begins instead; the zero value says
	// nowhere.
	Since Since
	// Tail is how many lines at most it begins with of each of those logs.
	Tail Tail

	description adapters.Description
	spec        Spec
}

// Catalog is the list of adapters that definitions may name, and the settings
// that hold for all of them.
type Catalog struct {
	Adapters []adapters.Description
	// LookupEnv finds the environment variables that options name and that a
	// URI refers to as $NAME; nil finds none.
	LookupEnv func(string) (string, bool)
	// Backlog and Tail are the defaults of Definition's.
	Backlog bool
	Tail    Tail
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
	return c.define(u)
}

// define reads the parts of a route URI.
func (c *Catalog) define(u *url.URL) (Definition, error) {
	scheme, joins := strings.CutPrefix(u.Scheme, multilineScheme)
	description, transport, ok := c.find(scheme)
	if !ok {
		return Definition{}, fmt.Errorf("unknown scheme %q; known are %s", u.Scheme, strings.Join(c.Schemes(), ", "))
	}
	if u.Fragment != "" {
		return Definition{}, fmt.Errorf("what is behind the # would be left out; a # in an option is written %%23")
	}
	target := description.TargetOf(transport)
	address, err := address(u, target)
	if err != nil {
		return Definition{}, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Definition{}, fmt.Errorf("the options after the question mark: %w", err)
	}
	d := Definition{Adapter: description.Name, Backlog: c.Backlog, Tail: c.Tail, description: description}
	d.Lines.Multiline = multiline.Default()
	if joins {
		if d.Lines.Multiline, err = logspoutMultiline(c.LookupEnv); err != nil {
			return Definition{}, err
		}
	}
	options, lines := make(map[string]string), make(url.Values)
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if len(query[key]) > 1 {
			return Definition{}, fmt.Errorf("option %q is given %d times", key, len(query[key]))
		}
		value := query[key][0]
		switch {
		case strings.HasPrefix(key, "filter."):
			err = d.Filter.Set(key, value)
		case isLineKey(key):
			lines.Set(key, value)
		case key == "name":
			if d.Name = value; value == noRoute {
				err = fmt.Errorf("bad value %q of option %q: the label %s has that for no route", value, key, labelRoute)
			}
		case key == "backlog":
			if d.Backlog, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("bad value %q of option %q; known are true, false", value, key)
			}
		case key == "since":
			d.Since, err = ParseSince(value)
		case key == "tail":
			if d.Tail, err = ParseTail(value); err != nil {
				err = fmt.Errorf("bad value %q of option %q: %w", value, key, err)
			}
			// Keys come in order, so that this one has the last word.
			d.Backlog = d.Backlog || !query.Has("backlog")
		default:
			options[key] = value
		}
		if err != nil {
			return Definition{}, err
		}
	}
	if d.Lines, err = parseLines(lines, d.Lines.Multiline); err != nil {
		return Definition{}, err
	}
	d.Config, err = description.Resolve(transport, address, options, c.LookupEnv)
	d.Config.User = u.User
	if target.Path {
		d.Config.Path = u.Path
	}
	d.spec = specOf(u, &d, query)
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

// address checks the parts of a URI that name the destination and returns the
// adapter's address.
func address(u *url.URL, target adapters.Target) (string, error) {
	if u.User != nil && !target.User {
		return "", fmt.Errorf("a user name means nothing to this adapter")
	}
	if target.File {
		switch {
		case u.Host != "":
			return "", fmt.Errorf("the host %q means nothing to this adapter; the URI is written %s:///path", u.Host, u.Scheme)
		case u.Path == "" || u.Path == "/":
			return "", fmt.Errorf("the path is missing; the URI is written %s:///path", u.Scheme)
		}
		return u.Path, nil
	}
	if u.Path != "" && u.Path != "/" && !target.Path {
		return "", fmt.Errorf("the path %q means nothing to this adapter", u.Path)
	}
	hosts := strings.Split(u.Host, ",")
	if len(hosts) > 1 && !target.Several {
		return "", fmt.Errorf("not one host and port: %q", u.Host)
	}
	for i, host := range hosts {
		one := url.URL{Host: host}
		switch {
		case one.Hostname() == "":
			return "", fmt.Errorf("the host is missing; a route URI is written %s://host:port", u.Scheme)
		case one.Port() != "":
		case target.Port == "":
			return "", fmt.Errorf("the port is missing behind %q; a route URI is written %s://host:port", host, u.Scheme)
		default:
			hosts[i] = strings.TrimSuffix(host, ":") + ":" + target.Port
		}
	}
	return strings.Join(hosts, ","), nil
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
	identity := d.Scheme() + "://" + d.Config.Address + strings.TrimSuffix(d.Config.Path, "/")
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
	for name, value := range d.Config.Options {
		switch o, _ := d.description.Option(name); {
		case value == o.Default:
		case o.Secret:
			query.Set(name, "xxxxx")
		default:
			query.Set(name, value)
		}
	}
	if d.Name != "" {
		query.Set("name", d.Name)
	}
	if text := d.Since.String(); text != "" {
		query.Set("since", text)
	}
	d.Lines.set(query)
	// This way an address comes out as a URI has it: an IPv6 zone is escaped.
	u := url.URL{Scheme: d.Scheme(), Host: d.Config.Address, Path: d.Config.Path}
	if d.description.TargetOf(d.Config.Transport).File {
		u.Host, u.Path = "", d.Config.Address
	}
	if d.Config.User != nil {
		u.User = url.User("xxxxx")
	}
	text := u.String()
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
