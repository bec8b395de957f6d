package multiline

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The defaults of Options.
const (
	DefaultSeparator = "\n"
	DefaultWait      = 500 * time.Millisecond
	// MaxWait is the most that Wait may be.
	MaxWait = time.Minute
)

// Options say which lines are joined and how. The zero value joins none.
type Options struct {
	// Rule is nil when lines are joined only for containers that bring a rule of
	// their own.
	Rule *Rule
	// Separator stands between two lines, Wait is how long a message waits for
	// its next line.
	Separator string
	Wait      time.Duration
	// OptIn says that Rule holds only for containers that ask for it.
	OptIn bool
}

// Default returns the options without a rule.
func Default() Options { return Options{Separator: DefaultSeparator, Wait: DefaultWait} }

// Parse reads the query keys that begin with multiline into o; others do not
// matter. An error names the key, the value and what is allowed.
func (o *Options) Parse(query url.Values) error {
	mode := First
	for _, key := range slices.Sorted(maps.Keys(query)) {
		value := query.Get(key)
		var err error
		switch key {
		case "multiline.mode":
			mode, err = ParseMode(value)
		case "multiline.separator":
			o.Separator = value
		case "multiline.flush":
			o.Wait, err = parseWait(value)
		case "multiline.optin":
			if o.OptIn, err = strconv.ParseBool(value); err != nil {
				err = errors.New("known are true, false")
			}
		}
		if err != nil {
			return fmt.Errorf("bad value %q of option %q: %w", value, key, err)
		}
	}
	if query.Has("multiline") {
		text := query.Get("multiline")
		rule, err := NewRule(text, mode)
		if err != nil {
			return fmt.Errorf("bad value %q of option %q: %w", text, "multiline", err)
		}
		o.Rule = rule
	}
	if !query.Has("multiline.mode") {
		return nil
	}
	if o.Rule == nil || o.Rule.pattern == nil || !query.Has("multiline") {
		return fmt.Errorf("option %q is for a pattern in option %q", "multiline.mode", "multiline")
	}
	return nil
}

func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > MaxWait {
		return 0, fmt.Errorf("it is a time such as 500ms or 2s, up to %v", MaxWait)
	}
	return d, nil
}

// Set sets the query keys that Parse reads the options from.
func (o *Options) Set(query url.Values) {
	if o.Rule != nil {
		query.Set("multiline", o.Rule.String())
		if o.Rule.mode != First {
			query.Set("multiline.mode", o.Rule.mode.String())
		}
	}
	if o.Separator != DefaultSeparator {
		query.Set("multiline.separator", o.Separator)
	}
	if o.Wait != DefaultWait {
		query.Set("multiline.flush", o.Wait.String())
	}
	if o.OptIn {
		query.Set("multiline.optin", "true")
	}
}
