package routes

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyman/routes/lines"
	"tallyman/routes/multiline"
)

// LineOptions say what a route does with lines besides choosing them. They do not
// belong to its identity. The zero value does nothing.
type LineOptions struct {
	// ANSI says that the escape sequences of terminals are taken off.
	ANSI bool
	// Multiline says which lines are joined.
	Multiline multiline.Options
	// Sample is the part of lines that is delivered, Rate how many of each
	// container are.
	Sample lines.Share
	Rate   lines.Limit

	// redact and patterns are the presets and the user's own patterns, by name,
	// of which the redactor is made; it is nil when there are none.
	redact   []string
	patterns map[string]string
	redactor *lines.Redactor
}

// lineKeys are the query keys that LineOptions knows. One with a star stands for
// all that begin so.
var lineKeys = []string{
	"ansi", "sample", "rate", "redact", "redact.*",
	"multiline", "multiline.mode", "multiline.separator", "multiline.flush", "multiline.optin",
}

// isLineKey reports whether a query key is of LineOptions.
func isLineKey(key string) bool {
	return strings.HasPrefix(key, "redact.") || slices.Contains(lineKeys, key)
}

// parseLines reads line options. multi holds for what the query does not say of
// multiline.
func parseLines(query url.Values, multi multiline.Options) (LineOptions, error) {
	o := LineOptions{Multiline: multi}
	var err error
	for _, key := range slices.Sorted(maps.Keys(query)) {
		value := query.Get(key)
		name, isPattern := strings.CutPrefix(key, "redact.")
		switch {
		case isPattern:
			if o.patterns == nil {
				o.patterns = make(map[string]string)
			}
			o.patterns[name] = value
			err = o.redacts().AddPattern(name, value)
		case key == "redact":
			for _, kind := range splitList(value) {
				o.redact = append(o.redact, kind)
				if err = o.redacts().AddPreset(kind); err != nil {
					break
				}
			}
		case key == "ansi":
			if value != "strip" && value != "keep" {
				err = fmt.Errorf("known are strip, keep")
			}
			o.ANSI = value == "strip"
		case key == "sample":
			o.Sample, err = lines.ParseShare(value)
		case key == "rate":
			o.Rate, err = lines.ParseLimit(value)
		}
		if err != nil {
			return o, fmt.Errorf("bad value %q of option %q: %w", value, key, err)
		}
	}
	return o, o.Multiline.Parse(query)
}

// redacts returns the redactor, which it makes if there is none.
func (o *LineOptions) redacts() *lines.Redactor {
	if o.redactor == nil {
		o.redactor = lines.NewRedactor()
	}
	return o.redactor
}

// String returns the options as the query of a URI.
func (o *LineOptions) String() string {
	query := make(url.Values)
	o.set(query)
	return query.Encode()
}

// set sets the query keys that parseLines reads the options from.
func (o *LineOptions) set(query url.Values) {
	if o.ANSI {
		query.Set("ansi", "strip")
	}
	if text := o.Sample.String(); text != "" {
		query.Set("sample", text)
	}
	if o.Rate.Lines > 0 {
		query.Set("rate", o.Rate.String())
	}
	if len(o.redact) > 0 {
		query.Set("redact", strings.Join(o.redact, ","))
	}
	for name, pattern := range o.patterns {
		query.Set("redact."+name, pattern)
	}
	o.Multiline.Set(query)
}

// multilineScheme is what Logspout has in front of a scheme to join lines.
const multilineScheme = "multiline+"

// logspoutMultiline returns the options of the scheme multiline+…, from the
// variables that Logspout has for them.
func logspoutMultiline(lookupEnv func(string) (string, bool)) (multiline.Options, error) {
	o := multiline.Default()
	get := func(name, value string) string {
		if lookupEnv != nil {
			if v, ok := lookupEnv(name); ok && v != "" {
				return v
			}
		}
		return value
	}
	bad := func(name string, err error) error {
		return fmt.Errorf("bad value %q of %s: %w", get(name, ""), name, err)
	}
	mode, err := multiline.ParseMode(get("MULTILINE_MATCH", multiline.NonFirst.String()))
	if err != nil {
		return o, bad("MULTILINE_MATCH", err)
	}
	if o.Rule, err = multiline.NewPattern(get("MULTILINE_PATTERN", `^\s`), mode); err != nil {
		return o, bad("MULTILINE_PATTERN", err)
	}
	o.Separator = get("MULTILINE_SEPARATOR", multiline.DefaultSeparator)
	wait := get("MULTILINE_FLUSH_AFTER", strconv.FormatInt(multiline.DefaultWait.Milliseconds(), 10))
	ms, err := strconv.Atoi(wait)
	if err != nil || ms <= 0 || ms > int(multiline.MaxWait.Milliseconds()) {
		return o, bad("MULTILINE_FLUSH_AFTER", fmt.Errorf("it is a number of milliseconds from 1 to %d", multiline.MaxWait.Milliseconds()))
	}
	o.Wait = time.Duration(ms) * time.Millisecond
	all, err := strconv.ParseBool(get("MULTILINE_ENABLE_DEFAULT", "true"))
	if err != nil {
		return o, bad("MULTILINE_ENABLE_DEFAULT", fmt.Errorf("known are true, false"))
	}
	o.OptIn = !all
	return o, nil
}
