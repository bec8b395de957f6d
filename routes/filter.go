package routes

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
	"tallyman/routes/lines"
)

// Filter says which containers, which of their streams and which of their lines
// a route wants. All its parts must agree; the zero value wants everything.
type Filter struct {
	// ID is a prefix of the container's ID.
	ID string
	// Name is for the container's name, Image for the image as it was named when
	// the container was made, Project and Service for what Docker Compose calls
	// them, Swarm for the service of a swarm.
	Name, Image, Project, Service, Swarm Words
	// Labels are conditions that must all hold. Each is one or more of
	// label:pattern and label, separated by bars, of which one must hold; with an
	// exclamation mark in front of it one holds where it would not.
	Labels []string
	// Sources are the streams wanted, all when there is none.
	Sources []record.Stream
	// Include and Exclude are for lines: one that matches Exclude or does not
	// match Include is left out; nil leaves out none.
	Include, Exclude *lines.Pattern
	// Level is the least that a line has to be; level.Unknown wants all. A line
	// that names no level counts as an error on stderr and as info on stdout.
	Level level.Level
}

// The labels by which Docker Compose and swarm mode name what a container
// belongs to.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelSwarm   = "com.docker.swarm.service.name"
)

// filterKeys are the query keys that Filter knows.
const filterKeys = "filter.id, filter.name, filter.image, filter.project, filter.service, filter.swarm, filter.labels, filter.sources, " +
	"filter.include, filter.exclude, filter.level"

// words returns the part of the filter that a query key sets, nil when that is
// no list of patterns.
func (f *Filter) words(key string) *Words {
	switch key {
	case "filter.name":
		return &f.Name
	case "filter.image":
		return &f.Image
	case "filter.project":
		return &f.Project
	case "filter.service":
		return &f.Service
	case "filter.swarm":
		return &f.Swarm
	}
	return nil
}

// Set sets one part of the filter from its query key, such as filter.name. An
// error names the word that is wrong and those that are known.
func (f *Filter) Set(key, value string) (err error) {
	if words := f.words(key); words != nil {
		*words, err = parseWords(key, value)
		return err
	}
	switch key {
	case "filter.id":
		if len(value) > 64 || strings.Trim(value, "0123456789abcdef") != "" {
			return fmt.Errorf("bad value %q of %q: a container's ID is up to 64 digits of 0-9a-f", value, key)
		}
		f.ID = value
	case "filter.labels":
		f.Labels, err = parseLabels(key, value)
	case "filter.sources":
		for _, item := range splitList(value) {
			s, err := parseStream(item)
			if err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			f.Sources = append(f.Sources, s)
		}
	case "filter.include":
		f.Include, err = parsePattern(key, value)
	case "filter.exclude":
		f.Exclude, err = parsePattern(key, value)
	case "filter.level":
		var ok bool
		if f.Level, ok = level.Parse(value); !ok {
			return fmt.Errorf("bad value %q of %q; known are trace, debug, info, notice, warning, error, critical, alert, emergency", value, key)
		}
	default:
		return fmt.Errorf("unknown filter %q; known are %s", key, filterKeys)
	}
	return err
}

func parsePattern(key, value string) (*lines.Pattern, error) {
	p, err := lines.Compile(value)
	if err != nil {
		return nil, fmt.Errorf("bad value %q of %q: %w", value, key, err)
	}
	return p, nil
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
	set := func(key, value string) {
		if value != "" {
			query.Set(key, value)
		}
	}
	set("filter.id", f.ID)
	for _, key := range []string{"filter.name", "filter.image", "filter.project", "filter.service", "filter.swarm"} {
		set(key, strings.Join(*f.words(key), ","))
	}
	set("filter.labels", strings.Join(f.Labels, ","))
	names := make([]string, len(f.Sources))
	for i, s := range f.Sources {
		names[i] = s.String()
	}
	set("filter.sources", strings.Join(names, ","))
	if f.Include != nil {
		query.Set("filter.include", f.Include.String())
	}
	if f.Exclude != nil {
		query.Set("filter.exclude", f.Exclude.String())
	}
	if f.Level != level.Unknown {
		query.Set("filter.level", f.Level.String())
	}
	return query.Encode()
}

// MatchContainer reports whether the filter wants a container.
func (f *Filter) MatchContainer(c *record.Container) bool {
	return strings.HasPrefix(c.ID, f.ID) &&
		f.Name.match(c.Name) && f.Image.match(c.Image) &&
		f.Project.match(c.Label(labelProject)) && f.Service.match(c.Label(labelService)) && f.Swarm.match(c.Label(labelSwarm)) &&
		!slices.ContainsFunc(f.Labels, func(condition string) bool { return !matchLabels(condition, c.Labels) })
}

// unwanted returns which streams are left out.
func (f *Filter) unwanted() (unwanted [record.Streams]bool) {
	for s := range record.Stream(record.Streams) {
		unwanted[s] = len(f.Sources) > 0 && !slices.Contains(f.Sources, s)
	}
	return unwanted
}
