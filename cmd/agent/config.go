package agent

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tallyman/routes"
)

// configFile is what the file of --config says.
type configFile struct {
	yamlFile
	// settings are the values of flags, by their keys.
	settings map[string]string
	routes   []configuredRoute
}

// configuredRoute is a route with its place in the file.
type configuredRoute struct {
	Spec routes.Spec
	// OptionFiles name files whose content is the value of an option.
	OptionFiles map[string]string

	line, column int
}

// readConfiguration reads a file. Errors tell the line and the column.
func readConfiguration(path string) (*configFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := parseConfiguration(path, text)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// parseConfiguration reads the text of a file. What it does not know is an error.
func parseConfiguration(path string, text []byte) (*configFile, error) {
	c := &configFile{yamlFile: yamlFile{path}, settings: make(map[string]string)}
	top, err := c.document(text)
	if err != nil || top == nil {
		return c, err
	}
	pairs, err := c.mapping(top, "the configuration")
	if err != nil {
		return nil, err
	}
	for _, pair := range pairs {
		if err := c.take(pair); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// take reads one key of the top level.
func (c *configFile) take(pair yamlPair) error {
	key := pair.key.Value
	if key == "routes" {
		return c.takeRoutes(pair.value)
	}
	known := []string{"routes"}
	for _, s := range settings() {
		if s.flag == "config" {
			continue
		}
		if s.key() != key {
			known = append(known, s.key())
			continue
		}
		if pair.value.Kind == yaml.SequenceNode {
			if !s.isList {
				return c.at(pair.value, "%q is no list", key)
			}
			values, err := c.texts(pair.value, key)
			c.settings[key] = strings.Join(values, ",")
			return err
		}
		var err error
		c.settings[key], err = c.text(pair.value, key)
		return err
	}
	slices.Sort(known)
	return c.at(pair.key, "unknown key %q; known are %s", key, strings.Join(known, ", "))
}

func (c *configFile) takeRoutes(value *yaml.Node) error {
	if value.Tag == "!!null" {
		return nil
	}
	if value.Kind != yaml.SequenceNode {
		return c.at(value, "routes is a list")
	}
	for _, node := range value.Content {
		pairs, err := c.mapping(node, "a route")
		if err != nil {
			return err
		}
		r := configuredRoute{line: node.Line, column: node.Column}
		for _, pair := range pairs {
			if err := c.takeRouteKey(&r, pair); err != nil {
				return err
			}
		}
		c.routes = append(c.routes, r)
	}
	return nil
}

// takeRouteKey reads one key of a route.
func (c *configFile) takeRouteKey(r *configuredRoute, pair yamlPair) (err error) {
	key := pair.key.Value
	switch key {
	case "id":
		r.Spec.ID, err = c.text(pair.value, key)
	case "adapter":
		r.Spec.Adapter, err = c.text(pair.value, key)
	case "address":
		r.Spec.Address, err = c.text(pair.value, key)
	case "filter_id":
		r.Spec.FilterID, err = c.text(pair.value, key)
	case "filter_name":
		r.Spec.FilterName, err = c.text(pair.value, key)
	case "filter_sources":
		r.Spec.FilterSources, err = c.texts(pair.value, key)
	case "filter_labels":
		r.Spec.FilterLabels, err = c.texts(pair.value, key)
	case "options":
		r.Spec.Options, err = c.textMap(pair.value, key)
	case "option_files":
		r.OptionFiles, err = c.textMap(pair.value, key)
	default:
		err = c.at(pair.key, "unknown key %q; known are adapter, address, filter_id, filter_labels, filter_name, filter_sources, "+
			"id, option_files, options", key)
	}
	return err
}

// define makes the file's routes. In addresses and options $NAME and ${NAME} stand
// for variables of the environment. The error tells of all routes that are wrong.
func (c *configFile) define(catalog *routes.Catalog) ([]routes.Definition, error) {
	var found []routes.Definition
	var problems []string
	for _, r := range c.routes {
		d, err := r.define(catalog)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s:%d:%d: %v", c.path, r.line, r.column, err))
			continue
		}
		found = append(found, d)
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "\n"))
	}
	return found, nil
}

func (r *configuredRoute) define(catalog *routes.Catalog) (routes.Definition, error) {
	s := r.Spec
	expand := func(text string) string {
		return os.Expand(text, func(name string) string {
			value, _ := catalog.LookupEnv(name)
			return value
		})
	}
	s.Address = expand(s.Address)
	s.Options = make(map[string]string)
	for name, value := range r.Spec.Options {
		s.Options[name] = expand(value)
	}
	for name, path := range r.OptionFiles {
		if _, both := s.Options[name]; both {
			return routes.Definition{}, fmt.Errorf("option %q is in options and in option_files", name)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return routes.Definition{}, fmt.Errorf("option %q: %w", name, err)
		}
		s.Options[name] = strings.TrimRight(string(text), "\r\n")
	}
	if s.ID == "" {
		return catalog.Define(s)
	}
	return catalog.DefineAs(s)
}
