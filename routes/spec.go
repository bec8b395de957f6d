package routes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Spec is a route as it is written in JSON and in the configuration file. Its
// JSON is Logspout's.
type Spec struct {
	// ID is the route's name, under which its positions are kept. A route of a
	// URI without a name goes by digits that are made from its identity.
	ID            string   `json:"id"`
	FilterID      string   `json:"filter_id,omitempty"`
	FilterName    string   `json:"filter_name,omitempty"`
	FilterSources []string `json:"filter_sources,omitempty"`
	FilterLabels  []string `json:"filter_labels,omitempty"`
	// Adapter is what stands before the :// of a route URI, Address what stands
	// between it and the question mark.
	Adapter string `json:"adapter"`
	Address string `json:"address"`
	// Options are all that may stand behind the question mark, but for the name
	// and the filters above.
	Options map[string]string `json:"options,omitempty"`
}

// hidden stands for what may be secret.
const hidden = "xxxxx"

// specFilters are the query keys that Spec has fields for.
const (
	keyName    = "name"
	keyID      = "filter.id"
	keyPattern = "filter.name"
	keySources = "filter.sources"
	keyLabels  = "filter.labels"
)

// specOf returns what u, with its query, says of d.
func specOf(u *url.URL, d *Definition, query url.Values) Spec {
	s := Spec{ID: d.Name, Adapter: u.Scheme, Options: make(map[string]string)}
	if _, alias := d.description.Aliases[u.Scheme]; alias {
		s.Adapter = d.Scheme()
	}
	if s.Address = u.Host + u.EscapedPath(); u.User != nil {
		s.Address = u.User.String() + "@" + s.Address
	}
	for key := range query {
		value := query.Get(key)
		switch key {
		case keyName:
		case keyID:
			s.FilterID = value
		case keyPattern:
			s.FilterName = value
		case keySources:
			s.FilterSources = splitList(value)
		case keyLabels:
			s.FilterLabels = splitList(value)
		default:
			s.Options[key] = value
		}
	}
	return s
}

// uri returns the route URI that says the same.
func (s *Spec) uri() string {
	query := url.Values{}
	set := func(key, value string) {
		if value != "" {
			query.Set(key, value)
		}
	}
	for key, value := range s.Options {
		query.Set(key, value)
	}
	set(keyName, s.ID)
	set(keyID, s.FilterID)
	set(keyPattern, s.FilterName)
	set(keySources, strings.Join(s.FilterSources, ","))
	set(keyLabels, strings.Join(s.FilterLabels, ","))
	return s.Adapter + "://" + s.Address + "?" + query.Encode()
}

// goodID are the IDs that can be a file's name and a part of a path.
var goodID = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`)

// Define makes the definition of a spec. Nothing in it is replaced by variables
// of the environment but the defaults of options that have one.
func (c *Catalog) Define(s Spec) (Definition, error) {
	title := s.ID
	if title == "" {
		title = s.Adapter + "://" + redactAddress(s.Address)
	}
	d, err := c.defineSpec(&s)
	if err != nil {
		return Definition{}, fmt.Errorf("route %q: %w", title, err)
	}
	return d, nil
}

func (c *Catalog) defineSpec(s *Spec) (Definition, error) {
	if s.Adapter == "" {
		return Definition{}, fmt.Errorf("bad adapter: %q; known are %s", s.Adapter, strings.Join(c.Schemes(), ", "))
	}
	if s.ID != "" && !goodID.MatchString(s.ID) {
		return Definition{}, fmt.Errorf("bad id %q: it is made of letters, digits, dots, hyphens and underscores, and begins with neither dot nor hyphen", s.ID)
	}
	if strings.ContainsAny(s.Address, "?#") {
		return Definition{}, fmt.Errorf("bad address: a question mark and a # belong into no address")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Options)) {
		switch key {
		case keyName, keyID, keyPattern, keySources, keyLabels:
			return Definition{}, fmt.Errorf("option %q has a field of its own: id, filter_id, filter_name, filter_sources or filter_labels", key)
		}
	}
	if slices.ContainsFunc(s.FilterLabels, func(item string) bool { return strings.Contains(item, ",") }) {
		return Definition{}, fmt.Errorf("an item of filter_labels holds a comma; they are written as a list")
	}
	u, err := url.Parse(s.uri())
	if err != nil {
		return Definition{}, notURI(s.Address, err)
	}
	d, err := c.define(u)
	if err != nil {
		return Definition{}, err
	}
	for key, value := range s.Options {
		if o, _ := d.description.Option(key); o.Secret && value == hidden {
			return Definition{}, fmt.Errorf("option %q: %s is shown in place of a secret, write the secret itself", key, hidden)
		}
	}
	return d, d.Validate()
}

// DefineAs is Define for a spec with an ID. Where that is the one that stands for
// a route without a name, the definition has none, so that positions stay where
// they are.
func (c *Catalog) DefineAs(s Spec) (Definition, error) {
	unnamed := s
	unnamed.ID = ""
	d, err := c.Define(unnamed)
	if err == nil && d.ID() == s.ID {
		return d, nil
	}
	return c.Define(s)
}

// ID returns the name of the route, or the digits that stand for one.
func (d *Definition) ID() string {
	if d.Name != "" {
		return d.Name
	}
	sum := sha256.Sum256([]byte(d.Identity()))
	return hex.EncodeToString(sum[:6])
}

// Spec returns the definition as it was written, with its ID. What may be secret
// is hidden unless secrets is true.
func (d *Definition) Spec(secrets bool) Spec {
	s := d.spec
	s.ID = d.ID()
	if secrets {
		return s
	}
	s.Address = redactAddress(s.Address)
	s.Options = maps.Clone(s.Options)
	for name := range s.Options {
		if o, _ := d.description.Option(name); o.Secret {
			s.Options[name] = hidden
		}
	}
	return s
}

// redactAddress hides the user of an address.
func redactAddress(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return hidden + address[i:]
	}
	return address
}
