package nats

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"tallyman/collector/record"
)

// Bounds of a subject, in bytes. The server ends a connection over a control
// line, which has the subject in it, of more than 4096.
const (
	longestToken   = 128
	longestSubject = 2048
)

// template makes the subject of a record from what is known of it. It is
// immutable.
type template []part

// part is a text, or a placeholder where value is set.
type part struct {
	text  string
	value value
}

// value finds what stands in place of a placeholder.
type value func(c *record.Container, s scope) string

// scope is what a subject may tell besides the container.
type scope struct {
	host   string
	stream record.Stream
}

// field is a placeholder without a key.
type field struct {
	name  string
	value value
}

func fields() []field {
	return []field{
		{"host", func(_ *record.Container, s scope) string { return s.host }},
		{"project", func(c *record.Container, _ scope) string {
			return firstLabel(c, "com.docker.compose.project", "com.docker.stack.namespace")
		}},
		{"service", func(c *record.Container, _ scope) string {
			return firstLabel(c, "com.docker.compose.service", "com.docker.swarm.service.name")
		}},
		{"container", func(c *record.Container, _ scope) string { return c.Name }},
		{"stream", func(_ *record.Container, s scope) string { return s.stream.String() }},
		{"image", func(c *record.Container, _ scope) string { return c.Image }},
		{"id", func(c *record.Container, _ scope) string { return c.ShortID() }},
	}
}

func firstLabel(c *record.Container, keys ...string) string {
	for _, key := range keys {
		if value := c.Label(key); value != "" {
			return value
		}
	}
	return ""
}

// placeholders returns all of them as they are written.
func placeholders() []string {
	var names []string
	for _, f := range fields() {
		names = append(names, "{"+f.name+"}")
	}
	return append(names, "{label:KEY}")
}

// parseTemplate reads a subject with placeholders in braces.
func parseTemplate(text string) (template, error) {
	var t template
	length := 0
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if literal != "" {
			t = append(t, part{text: literal})
			length += len(literal)
		}
		if !found {
			break
		}
		name, after, found := strings.Cut(after, "}")
		if !found {
			return nil, errors.New("a brace is not closed")
		}
		value, err := findValue(name)
		if err != nil {
			return nil, err
		}
		t = append(t, part{value: value})
		length += longestToken
		rest = after
	}
	if length > longestSubject {
		return nil, fmt.Errorf("subjects could be longer than %d bytes", longestSubject)
	}
	for _, p := range t {
		if strings.ContainsFunc(p.text, func(r rune) bool { return r != '.' && illegalInToken(r) }) || !utf8.ValidString(p.text) {
			return nil, errors.New("spaces, control characters, *, >, quotes and closing braces have no place in it")
		}
	}
	if pattern := t.pattern(); !validPattern(pattern) {
		return nil, errors.New("each of the parts between the dots needs some text")
	}
	if strings.HasPrefix(text, "$") {
		return nil, errors.New("subjects that begin with $ are the server's own")
	}
	return t, nil
}

// findValue returns the value of the placeholder of a name.
func findValue(name string) (value, error) {
	if key, ok := strings.CutPrefix(name, "label:"); ok && key != "" {
		return func(c *record.Container, _ scope) string { return c.Label(key) }, nil
	}
	for _, f := range fields() {
		if f.name == name {
			return f.value, nil
		}
	}
	return nil, fmt.Errorf("unknown placeholder {%s}; known are %s", name, strings.Join(placeholders(), ", "))
}

// subject returns the subject of the records of one stream of a container.
func (t template) subject(c *record.Container, s scope) string {
	var dst []byte
	for _, p := range t {
		if p.value == nil {
			dst = append(dst, p.text...)
		} else {
			dst = appendToken(dst, p.value(c, s))
		}
	}
	return string(dst)
}

// pattern returns the pattern that every subject of t fits: a star stands for
// each token with a placeholder in it.
func (t template) pattern() string {
	var b strings.Builder
	for _, p := range t {
		if p.value == nil {
			b.WriteString(p.text)
		} else {
			b.WriteByte('*')
		}
	}
	tokens := strings.Split(b.String(), ".")
	for i, token := range tokens {
		if strings.Contains(token, "*") {
			tokens[i] = "*"
		}
	}
	return strings.Join(tokens, ".")
}

// validPattern reports whether the server takes a pattern for a stream.
func validPattern(pattern string) bool {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		switch {
		case token == "", token == ">" && i < len(tokens)-1:
			return false
		case token == "*", token == ">":
		case strings.ContainsFunc(token, illegalInToken):
			return false
		}
	}
	return true
}

// appendToken appends a value as one token of a subject, or as a part of one. A
// container's labels are its maker's to choose, so a value must neither become
// several tokens nor a subject of the server, which begins with a dollar sign.
func appendToken(dst []byte, value string) []byte {
	if value == "" {
		return append(dst, '_')
	}
	start := len(dst)
	for _, r := range value {
		if illegalInToken(r) || r == '$' || r == utf8.RuneError {
			r = '_'
		}
		if len(dst)-start+utf8.RuneLen(r) > longestToken {
			break
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// illegalInToken reports whether a character may not be in a token, or would be
// changed where the server quotes a subject in an error.
func illegalInToken(r rune) bool {
	switch r {
	case '.', '*', '>', '"', '\'', '\\', '{', '}':
		return true
	}
	return r <= ' ' || r >= 0x7f && r <= 0xa0
}
