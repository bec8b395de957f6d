package routes

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Words are patterns for a name, in the sense of path.Match but that a star
// matches slashes too. One with an exclamation mark in front excludes: a name is
// wanted when no excluding pattern matches it, and one of the others does or
// there is none.
type Words []string

func parseWords(key, value string) (Words, error) {
	var words Words
	for _, item := range splitList(value) {
		pattern, not := cutNot(item)
		if pattern == "" {
			return nil, fmt.Errorf("bad pattern %q of %q: nothing is behind the exclamation mark", item, key)
		}
		if err := checkPattern(pattern); err != nil {
			return nil, fmt.Errorf("bad pattern %q of %q: %w", item, key, err)
		}
		words = append(words, not+pattern)
	}
	return words, nil
}

func (w Words) match(name string) bool {
	wanted, some := false, false
	for _, item := range w {
		pattern, not := cutNot(item)
		fits := match(pattern, name)
		if not != "" && fits {
			return false
		}
		if not == "" {
			wanted, some = wanted || fits, true
		}
	}
	return wanted || !some
}

// parseLabels reads conditions separated by commas.
func parseLabels(key, value string) ([]string, error) {
	var conditions []string
	for _, item := range splitList(value) {
		alternatives := splitBars(item)
		for i, text := range alternatives {
			bare, not := cutNot(strings.TrimSpace(text))
			label, pattern, _ := strings.Cut(bare, ":")
			if err := checkPattern(pattern); err != nil {
				return nil, fmt.Errorf("bad pattern %q of label %q in %q: %w", pattern, label, key, err)
			}
			if label == "" {
				return nil, fmt.Errorf("bad item %q of %q: it is written label:pattern", item, key)
			}
			alternatives[i] = not + bare
		}
		conditions = append(conditions, strings.Join(alternatives, "|"))
	}
	return conditions, nil
}

// matchLabels reports whether one of the alternatives of a condition holds.
func matchLabels(condition string, labels map[string]string) bool {
	return slices.ContainsFunc(splitBars(condition), func(item string) bool {
		bare, not := cutNot(item)
		label, pattern, hasPattern := strings.Cut(bare, ":")
		value, ok := labels[label]
		return (ok && (!hasPattern || match(pattern, value))) == (not == "")
	})
}

// cutNot cuts the exclamation mark off, and returns it if there is one.
func cutNot(item string) (pattern, not string) {
	if rest, ok := strings.CutPrefix(item, "!"); ok {
		return strings.TrimSpace(rest), "!"
	}
	return item, ""
}

// splitBars splits at the bars that belong to no pattern: neither escaped nor in
// a set.
func splitBars(condition string) []string {
	var items []string
	start, set := 0, false
	for i := 0; i < len(condition); i++ {
		switch c := condition[i]; {
		case c == '\\':
			i++
		case c == '[':
			set = true
		case c == ']':
			set = false
		case c == '|' && !set:
			items = append(items, condition[start:i])
			start = i + 1
		}
	}
	return append(items, condition[start:])
}

// checkPattern returns path.ErrBadPattern for a pattern that is malformed.
func checkPattern(pattern string) error {
	_, err := path.Match(pattern, "")
	return err
}

// noSlashes makes path.Match treat a slash as any other letter.
var noSlashes = strings.NewReplacer("/", "\x00")

// match is path.Match for a pattern that is known to be well formed, in which a
// star matches slashes too.
func match(pattern, name string) bool {
	ok, err := path.Match(noSlashes.Replace(pattern), noSlashes.Replace(name))
	return ok && err == nil
}
