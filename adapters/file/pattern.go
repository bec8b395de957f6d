package file

import (
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"tallyman/collector/record"
)

// pattern is a path with placeholders.
type pattern struct {
	// literals and words alternate: a literal, a word, … and a last literal. most
	// has how many bytes the text of each word may have.
	literals []string
	words    []string
	most     []int
	// streams says that the two streams of a container may have files of their
	// own.
	streams bool
}

// placeholders are the words that may stand in braces in a path.
var placeholders = [...]string{"name", "id", "project", "service", "stream"}

// parsePattern reads a path.
func parsePattern(path string) (pattern, error) {
	var p pattern
	if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") || strings.ContainsRune(path, 0) {
		return p, fmt.Errorf("reading the path %q: it is to begin with a slash and to name a file", path)
	}
	rest := filepath.Clean(path)
	// taken is how many bytes the literals have of the name that is being read.
	taken := 0
	for {
		literal, after, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return p, fmt.Errorf("reading the path %q: a brace is closed that was not opened", path)
		}
		p.literals = append(p.literals, literal)
		for i, part := range strings.Split(literal, "/") {
			if i > 0 {
				if !p.share(taken, maxFolder) {
					return p, tooLong(path)
				}
				taken = 0
			}
			taken += len(part)
		}
		if !found {
			if !p.share(taken, maxName) {
				return p, tooLong(path)
			}
			return p, nil
		}
		word, after, closed := strings.Cut(after, "}")
		if !closed || !known(word) {
			return p, fmt.Errorf("reading the path %q: unknown placeholder {%s}; known are {%s}",
				path, word, strings.Join(placeholders[:], "}, {"))
		}
		p.words = append(p.words, word)
		p.streams = p.streams || word == "stream"
		rest = after
	}
}

func tooLong(path string) error {
	return fmt.Errorf("reading the path %q: a name in it may have %d bytes, the text of each placeholder %d of them",
		path, maxName, leastValue)
}

// share deals the bytes that a name may have, and of which some are taken, to the
// placeholders in it, which are those that have none yet. It reports whether they
// are enough.
func (p *pattern) share(taken, limit int) bool {
	words := p.words[len(p.most):]
	sharing := len(words)
	for _, word := range words {
		switch word {
		case "id":
			taken, sharing = taken+idLength, sharing-1
		case "stream":
			taken, sharing = taken+len("stdout"), sharing-1
		}
	}
	most := maxValue
	if sharing > 0 {
		most = min(most, (limit-taken)/sharing)
	}
	for range words {
		p.most = append(p.most, most)
	}
	return taken <= limit && most >= leastValue
}

func known(word string) bool {
	for _, p := range placeholders {
		if word == p {
			return true
		}
	}
	return false
}

// path returns where the lines of a stream of c belong.
func (p *pattern) path(c *record.Container, stream record.Stream) string {
	var b strings.Builder
	for i, word := range p.words {
		b.WriteString(p.literals[i])
		b.WriteString(clean(value(word, c, stream), p.most[i]))
	}
	b.WriteString(p.literals[len(p.words)])
	return b.String()
}

// value returns what a placeholder stands for.
func value(word string, c *record.Container, stream record.Stream) string {
	switch word {
	case "name":
		return c.Name
	case "id":
		return c.ShortID()
	case "project":
		return firstOf(c.Label("com.docker.compose.project"), c.Label("com.docker.stack.namespace"))
	case "service":
		return firstOf(c.Label("com.docker.compose.service"), c.Label("com.docker.swarm.service.name"), c.Name)
	default:
		return stream.String()
	}
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// Lengths in bytes. A file's name has at most 255, of which maxName are left
// before what the names of rotated and half compressed files have behind it;
// placeholders share them, of which each has from leastValue to maxValue.
const (
	maxFolder  = 255
	maxName    = maxFolder - len("@20060102T150405.000000Z.gz.4294967295.tmp")
	maxValue   = 100
	leastValue = 16
	idLength   = 12
)

// clean makes a part of a file's name of a text that anybody may have chosen, a
// label's for example, of at most most bytes. It is not empty, does not begin with
// a dot, and holds no slash and no control character; and no sign that sets rotated
// files apart, so that no container's file can pass for another's rotated one.
func clean(text string, most int) string {
	if len(text) > most {
		end := most
		for end > most-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || r == '/' || r == '\\' || r == backupMark {
			return '_'
		}
		return r
	}, text)
	if text == "" || text[0] == '.' {
		return "_" + strings.TrimPrefix(text, ".")
	}
	return text
}
