package routes

import (
	"fmt"
	"net/url"
	"path"
	"strings"

	"tallyman/collector/record"
)

// Filter says which containers and which of their streams a route wants. All
// its parts must agree; the zero value wants everything.
type Filter struct {
	// ID is a prefix of the container's ID.
	ID string
	// Name is a pattern in the sense of path.Match for the container's name.
	Name string
	// Labels are key:pattern or key; each must be there and match. In the
	// pattern a star matches any text, slashes too.
	Labels []string
	// Sources are the streams wanted, all when there is none.
	Sources []record.Stream
}

// filterKeys are the query keys that Filter knows.
const filterKeys = "filter.id, filter.name, filter.labels, filter.sources"

// Set sets one part of the filter from its query key, such as filter.name. An
// error names the word that is wrong and those that are known.
func (f *Filter) Set(key, value string) error {
	switch key {
	case "filter.id":
		if len(value) > 64 || strings.Trim(value, "0123456789abcdef") != "" {
			return fmt.Errorf("bad value %q of %q: a container's ID is up to 64 digits of 0-9a-f", value, key)
		}
		f.ID = value
	case "filter.name":
		if _, err := path.Match(value, ""); err != nil {
			return fmt.Errorf("bad pattern %q of %q: %w", value, key, err)
		}
		f.Name = value
	case "filter.labels":
		for _, item := range splitList(value) {
			label, pattern, _ := strings.Cut(item, ":")
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("bad pattern %q of label %q in %q: %w", pattern, label, key, err)
			}
			if label == "" {
				return fmt.Errorf("bad item %q of %q: it is written label:pattern", item, key)
			}
			f.Labels = append(f.Labels, item)
		}
	case "filter.sources":
		for _, item := range splitList(value) {
			s, err := parseStream(item)
			if err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			f.Sources = append(f.Sources, s)
		}
	default:
		return fmt.Errorf("unknown filter %q; known are %s", key, filterKeys)
	}
	return nil
}

// parseStream returns the stream of a name.
func parseStream(name string) (record.Stream, error) {
	for s := range record.Stream(record.Streams) {
		if name == s.String() {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown source %q; known are stdout, stderr", name)
}

func splitList(value string) []string {
	var items []string
	for _, item := range strings.Split(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// String returns the filter as the query of a URI.
func (f *Filter) String() string {
	query := url.Values{}
	if f.ID != "" {
		query.Set("filter.id", f.ID)
	}
	if f.Name != "" {
		query.Set("filter.name", f.Name)
	}
	if len(f.Labels) > 0 {
		query.Set("filter.labels", strings.Join(f.Labels, ","))
	}
	if len(f.Sources) > 0 {
		names := make([]string, len(f.Sources))
		for i, s := range f.Sources {
			names[i] = s.String()
		}
		query.Set("filter.sources", strings.Join(names, ","))
	}
	return query.Encode()
}

// MatchContainer reports whether the filter wants a container.
func (f *Filter) MatchContainer(c *record.Container) bool {
	if !strings.HasPrefix(c.ID, f.ID) {
		return false
	}
	if f.Name != "" && !match(f.Name, c.Name) {
		return false
	}
	for _, item := range f.Labels {
		key, pattern, hasPattern := strings.Cut(item, ":")
		value, ok := c.Labels[key]
		if !ok || hasPattern && !match(noSlashes.Replace(pattern), noSlashes.Replace(value)) {
			return false
		}
	}
	return true
}

// noSlashes makes path.Match treat a slash as any other letter.
var noSlashes = strings.NewReplacer("/", "\x00")

// match is path.Match for a pattern that is known to be well formed.
func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// streams returns a table of the streams wanted, and false when it is all.
func (f *Filter) streams() (wanted [record.Streams]bool, some bool) {
	for _, s := range f.Sources {
		wanted[s] = true
	}
	for _, w := range wanted {
		some = some || !w
	}
	return wanted, some && len(f.Sources) > 0
}
