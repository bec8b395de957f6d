package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// yamlFile reads YAML by its nodes, so that every error tells the place. What is
// in the file may be secret and is in no error.
type yamlFile struct{ path string }

// yamlPair is a key of a mapping with its value.
type yamlPair struct{ key, value *yaml.Node }

// document returns the only document of a text, nil when there is none.
func (f yamlFile) document(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil //nolint:nilnil // An empty file is a good one.
	case err != nil:
		return nil, f.syntax(err)
	}
	switch err := decoder.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, f.syntax(err)
	default:
		return nil, fmt.Errorf("%s: it holds more than one document", f.path)
	}
	if body := document.Content[0]; body.Tag != "!!null" {
		return body, nil
	}
	return nil, nil //nolint:nilnil // As above: nothing but comments.
}

// yamlLine is how the library begins its errors.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax gives an error of the library the form of the others.
func (f yamlFile) syntax(err error) error {
	text := err.Error()
	found := yamlLine.FindStringSubmatch(text)
	if found == nil {
		return fmt.Errorf("%s: %s", f.path, text)
	}
	text = text[len(found[0]):]
	if found[1] == "" {
		return fmt.Errorf("%s: %s", f.path, text)
	}
	return fmt.Errorf("%s:%s: %s", f.path, found[1], text)
}

// at returns an error that tells the place of a node.
func (f yamlFile) at(node *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %s", f.path, node.Line, node.Column, fmt.Sprintf(format, args...))
}

// mapping returns the pairs of a mapping, those first that it takes over from
// others with <<. A key that stands twice is an error; what is taken over yields.
func (f yamlFile) mapping(node *yaml.Node, what string) ([]yamlPair, error) {
	return f.mappingWithin(node, what, 0)
}

// mostMerges bounds how deep mappings take over from others, which may go round.
const mostMerges = 10

func (f yamlFile) mappingWithin(node *yaml.Node, what string, depth int) ([]yamlPair, error) {
	if node = aliased(node); node.Kind != yaml.MappingNode || depth > mostMerges {
		return nil, f.at(node, "%s is a mapping of keys to values", what)
	}
	var merged, own []yamlPair
	for i := 0; i < len(node.Content); i += 2 {
		pair := yamlPair{node.Content[i], aliased(node.Content[i+1])}
		if pair.key.Tag == "!!merge" {
			sources := []*yaml.Node{pair.value}
			if pair.value.Kind == yaml.SequenceNode {
				sources = pair.value.Content
			}
			for _, source := range sources {
				pairs, err := f.mappingWithin(source, what, depth+1)
				if err != nil {
					return nil, err
				}
				merged = withOthers(merged, pairs)
			}
			continue
		}
		if hasKey(own, pair.key.Value) {
			return nil, f.at(pair.key, "the key %q is here a second time", pair.key.Value)
		}
		own = append(own, pair)
	}
	return withOthers(own, merged), nil
}

// withOthers adds those pairs whose keys are not there.
func withOthers(pairs, others []yamlPair) []yamlPair {
	for _, other := range others {
		if !hasKey(pairs, other.key.Value) {
			pairs = append(pairs, other)
		}
	}
	return pairs
}

func hasKey(pairs []yamlPair, key string) bool {
	for _, pair := range pairs {
		if pair.key.Value == key {
			return true
		}
	}
	return false
}

// aliased returns what a node stands for.
func aliased(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// text reads a single value, as it is written; empty for null.
func (f yamlFile) text(node *yaml.Node, what string) (string, error) {
	switch node = aliased(node); {
	case node.Kind != yaml.ScalarNode:
		return "", f.at(node, "%s is a single value", what)
	case node.Tag == "!!null":
		return "", nil
	default:
		return node.Value, nil
	}
}

// texts reads a list of single values.
func (f yamlFile) texts(node *yaml.Node, what string) ([]string, error) {
	node = aliased(node)
	if node.Tag == "!!null" {
		return nil, nil
	}
	if node.Kind != yaml.SequenceNode {
		return nil, f.at(node, "%s is a list", what)
	}
	var texts []string
	for _, item := range node.Content {
		text, err := f.text(item, "an item of "+what)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// textMap reads a mapping of single values.
func (f yamlFile) textMap(node *yaml.Node, what string) (map[string]string, error) {
	if aliased(node).Tag == "!!null" {
		return nil, nil
	}
	pairs, err := f.mapping(node, what)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string)
	for _, pair := range pairs {
		if texts[pair.key.Value], err = f.text(pair.value, what+"."+pair.key.Value); err != nil {
			return nil, err
		}
	}
	return texts, nil
}
