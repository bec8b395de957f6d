package browser

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// levels are the agent's levels by gravity; names that mean the same share one.
var levels = map[string]int{
	"unknown": 0, "trace": 1, "debug": 2, "info": 3, "notice": 4, "warn": 5, "warning": 5,
	"error": 6, "critical": 7, "alert": 8, "emergency": 9,
}

// query is what a request wants to see.
type query struct {
	containers   []string
	name         string
	stream       string
	level        int
	search       *regexp.Regexp
	inverted     bool
	since, until time.Time
}

func (a *agent) queryOf(r *http.Request) (*query, error) {
	q := &query{name: r.FormValue("name"), stream: r.FormValue("stream")}
	if list := r.FormValue("container"); list != "" {
		q.containers = strings.Split(list, ",")
	}
	if group := r.FormValue("group"); group != "" {
		for _, c := range a.containers {
			if c.Group == group {
				q.containers = append(q.containers, c.ID)
			}
		}
	}
	if word := r.FormValue("level"); word != "" {
		level, ok := levels[word]
		if !ok {
			return nil, fmt.Errorf("level %q is unknown; known are trace to emergency", word)
		}
		q.level = level
	}
	if text := r.FormValue("q"); text != "" {
		text, q.inverted = strings.CutPrefix(text, "!")
		if !strings.ContainsFunc(text, unicode.IsUpper) {
			text = "(?i)" + text
		}
		var err error
		if q.search, err = regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("q is no regular expression: %w", err)
		}
	}
	for key, place := range map[string]*time.Time{"since": &q.since, "until": &q.until} {
		if text := r.FormValue(key); text != "" {
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				return nil, fmt.Errorf("%s %q is no time", key, text)
			}
			*place = at
		}
	}
	return q, nil
}

func (q *query) fits(line fakeLine) bool {
	if q.name != "" {
		if ok, _ := path.Match(q.name, line.Name); !ok {
			return false
		}
	}
	return (q.containers == nil || slices.Contains(q.containers, line.Container)) &&
		(q.stream == "" || q.stream == line.Stream) &&
		levels[line.Level] >= q.level &&
		(q.search == nil || q.search.MatchString(line.Line) != q.inverted) &&
		(q.since.IsZero() || !line.Time.Before(q.since)) &&
		(q.until.IsZero() || !line.Time.After(q.until))
}
