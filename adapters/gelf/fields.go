package gelf

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"tallyman/adapters/textenc"
	"tallyman/collector/record"
)

// Limits of a field. Graylog's index takes no keyword of more bytes than
// maxValue, which is Lucene's longest term; names are far below that, for all of
// them are kept in the index's mapping.
const (
	maxName  = 255
	maxValue = 32766
)

// fieldMaker makes the fields that all messages of a container share. They are
// those of Docker's gelf driver, under its names.
type fieldMaker struct {
	hostname          string
	tag               *template.Template
	labels, env       []string
	labelsLike        *regexp.Regexp
	envLike           *regexp.Regexp
	static            map[string]string
	logger            *slog.Logger
	warnedOfTemplates bool
}

// fields are what all messages of one container share.
type fields struct {
	// head is the beginning of a message, up to the value of its timestamp.
	head []byte
	// names are the names of the container's fields and object a JSON object of
	// them, for messages that are put together in another way.
	names  map[string]string
	object json.RawMessage
}

// fill makes f anew.
func (m *fieldMaker) fill(f *fields, c *record.Container) {
	f.names = m.values(c)
	body := []byte("{")
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = textenc.AppendJSON(body, name)
		body = append(body, ':')
		body = textenc.AppendJSON(body, f.names[name])
	}
	f.object = append(body, '}')

	head := append(f.head[:0], `{"version":"1.1","host":`...)
	head = textenc.AppendJSON(head, m.hostname)
	if len(f.names) > 0 {
		head = append(head, ',')
		head = append(head, body[1:]...)
	}
	f.head = append(head, `,"timestamp":`...)
}

// values returns the fields of a container. As in Docker, labels replace what
// the driver has of itself, variables of the environment replace labels; what
// the route sets replaces all. Graylog drops fields without text, so there are
// none.
func (m *fieldMaker) values(c *record.Container) map[string]string {
	values := map[string]string{
		"_command":        strings.Join(c.Command, " "),
		"_container_id":   c.ID,
		"_container_name": c.Name,
		"_image_id":       c.ImageID,
		"_image_name":     c.Image,
		"_tag":            m.tagOf(c),
	}
	if !c.Created.IsZero() {
		values["_created"] = c.Created.UTC().Format(time.RFC3339Nano)
	}
	choose(values, c.Labels, m.labels, m.labelsLike)
	if len(m.env) > 0 || m.envLike != nil {
		environment := make(map[string]string, len(c.Env))
		for _, variable := range c.Env {
			if name, value, ok := strings.Cut(variable, "="); ok {
				environment[name] = value
			}
		}
		choose(values, environment, m.env, m.envLike)
	}
	maps.Copy(values, m.static)
	for name, value := range values {
		if value == "" {
			delete(values, name)
		} else {
			values[name] = cutString(value, maxValue)
		}
	}
	return values
}

// tagOf runs the template of the tag. It was tried when the route was made; a
// template that fails all the same, for want of a label perhaps, is no reason to
// hold lines back, and the default takes its place.
func (m *fieldMaker) tagOf(c *record.Container) string {
	tag, err := runTag(m.tag, tagData{container: c, hostname: m.hostname})
	if err == nil {
		return tag
	}
	if !m.warnedOfTemplates {
		m.warnedOfTemplates = true
		m.logger.Warn("using the short ID as tag", "container", c.Name, "error", err)
	}
	return c.ShortID()
}

// choose copies those of all that are named, or whose name a pattern fits, into
// values, under names that are legal.
func choose(values, all map[string]string, names []string, like *regexp.Regexp) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains(names, name) || like != nil && like.MatchString(name) {
			values[fieldName(name)] = all[name]
		}
	}
}

// fieldName returns the name of an additional field: with an underscore before
// it, and legal as the GELF specification and Graylog have it. Characters that
// are not become underscores, and a name that Graylog would skip, because it
// stands for something else there, gets an underscore behind it.
func fieldName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' ||
			r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, cutString(name, maxName))
	if !strings.HasPrefix(name, "_") {
		name = "_" + name
	}
	if reserved(name) {
		name += "_"
	}
	return name
}

// reserved reports whether Graylog ignores an additional field: those that the
// message itself has in Graylog's words, and those that its index keeps.
func reserved(name string) bool {
	switch strings.TrimPrefix(name, "_") {
	case "host", "source", "short_message", "message", "full_message", "timestamp", "level",
		"id", "_id", "_ttl", "_source", "_all", "_index", "_type", "_score":
		return true
	}
	return false
}

// staticFields reads the options whose names begin with prefix.
func staticFields(options map[string]string, prefix string) (map[string]string, error) {
	static := make(map[string]string)
	for option, value := range options {
		name, ok := strings.CutPrefix(option, prefix)
		if !ok {
			continue
		}
		if legal := fieldName(name); strings.TrimPrefix(legal, "_") != strings.TrimPrefix(name, "_") {
			return nil, fmt.Errorf("bad name of option %q: a field's name has letters, digits, dots, dashes and "+
				"underscores, at most %d, and is not one of Graylog's own", option, maxName)
		}
		if _, twice := static[fieldName(name)]; twice {
			return nil, fmt.Errorf("the field %q is given twice", fieldName(name))
		}
		static[fieldName(name)] = value
	}
	return static, nil
}
