package api

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallyman/adapters/textenc"
	"tallyman/collector/history"
	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// Line is a line as the API tells it.
type Line struct {
	Cursor    string    `json:"cursor"`
	Container string    `json:"container"`
	Name      string    `json:"name"`
	Time      time.Time `json:"time"`
	Stream    string    `json:"stream"`
	Level     string    `json:"level"`
	Line      string    `json:"line"`
	// Cut says that the line was too long and has lost its end.
	Cut bool `json:"cut,omitempty"`
	// Context says that the line was not searched for but is near to one.
	Context bool `json:"context,omitempty"`
}

func newLine(l *history.Line) Line {
	c := l.Cursor()
	return Line{
		Cursor: c.String(), Container: l.Container.ID, Name: l.Container.Name, Time: time.Unix(0, l.Time).UTC(),
		Stream: l.Stream.String(), Level: l.Level.String(), Line: string(l.Line), Cut: l.Cut,
	}
}

// appendLine appends the JSON of newLine.
func appendLine(dst []byte, l *history.Line) []byte {
	cursor := l.Cursor()
	dst = append(dst, `{"cursor":"`...)
	if text, err := cursor.AppendText(dst); err == nil {
		dst = text
	}
	dst = append(append(dst, `","container":"`...), l.Container.ID...)
	dst = textenc.AppendJSON(append(dst, `","name":`...), l.Container.Name)
	dst = append(dst, `,"time":"`...)
	dst = time.Unix(0, l.Time).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(append(dst, `","stream":"`...), l.Stream.String()...)
	dst = append(append(dst, `","level":"`...), l.Level.String()...)
	dst = textenc.AppendJSON(append(dst, `","line":`...), l.Line)
	if l.Cut {
		dst = append(dst, `,"cut":true`...)
	}
	return append(dst, '}')
}

// parseQuery reads what a request wants of the logs.
func parseQuery(r *http.Request) (history.Query, error) {
	values := r.URL.Query()
	var q history.Query
	var err error
	now := time.Now()
	if q.Since, err = ParseTime("since", values.Get("since"), now); err != nil {
		return q, err
	}
	if q.Until, err = ParseTime("until", values.Get("until"), now); err != nil {
		return q, err
	}
	for name, to := range map[string]**history.Cursor{"before": &q.Before, "after": &q.After} {
		if text := values.Get(name); text != "" {
			c, err := history.ParseCursor(text)
			if err != nil {
				return q, badRequest("the value %q of %s: %w", text, name, err)
			}
			*to = &c
		}
	}
	for _, word := range Words(values.Get("stream")) {
		switch word {
		case record.Stdout.String():
			q.Streams = append(q.Streams, record.Stdout)
		case record.Stderr.String():
			q.Streams = append(q.Streams, record.Stderr)
		default:
			return q, badRequest("unknown stream %q; known are stdout, stderr", word)
		}
	}
	if word := values.Get("level"); word != "" {
		var ok bool
		if q.Level, ok = level.Parse(word); !ok {
			return q, badRequest("unknown level %q; known are trace, debug, info, notice, warning, error, critical, alert, emergency", word)
		}
	}
	for _, text := range values["q"] {
		if text == "" {
			continue
		}
		m, err := history.ParseMatcher(text)
		if err != nil {
			return q, badRequest("%w", err)
		}
		q.Match = append(q.Match, m)
	}
	return q, nil
}

// ParseTime reads a time, the value of name: RFC 3339, where without a zone it is
// this process's, seconds since the Unix epoch, or how long before now. The answer
// is in nanoseconds since the Unix epoch, 0 for none.
func ParseTime(name, text string, now time.Time) (int64, error) {
	// 0 is no bound for docker logs either.
	if text == "" || text == "0" {
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil && hasNanoseconds(at) {
			return at.UnixNano(), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && hasNanoseconds(now.Add(-ago)) {
		return now.Add(-ago).UnixNano(), nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 9e9 {
		whole := math.Floor(seconds)
		return int64(whole)*1e9 + int64(math.Round((seconds-whole)*1e9)), nil
	}
	return 0, badRequest("the time %q of %s cannot be read; it is written as 2006-01-02T15:04:05Z, as seconds since 1970, or as how long ago, such as 10m", text, name)
}

// hasNanoseconds reports whether a time can be told in nanoseconds since the Unix
// epoch; see time.Time.UnixNano.
func hasNanoseconds(t time.Time) bool { return t.Year() > 1678 && t.Year() < 2262 }

// parseCount reads a number from 0 to most. "all" stands for most where all is
// allowed.
func parseCount(r *http.Request, name string, otherwise, most int) (int, error) {
	text := r.URL.Query().Get(name)
	switch text {
	case "":
		return otherwise, nil
	case "all":
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, badRequest("bad value %q of %s; it is a number from 0 to %d", text, name, most)
	}
	return n, nil
}

// look opens the past of what a request selects, when it has one of the turns,
// which are scans or long. The caller calls the function that it returns when it
// is done.
func (a *Server) look(ctx context.Context, turns chan struct{}, list []*record.Container, q history.Query, back bool) (*history.Scan, func(), error) {
	targets, err := a.targets(ctx, list)
	if err != nil {
		return nil, nil, err
	}
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	scan, err := history.NewScan(targets, q, back)
	if err != nil {
		<-turns
		return nil, nil, err
	}
	return scan, func() {
		scan.Close()
		<-turns
	}, nil
}

// Words splits a list at its commas, without what is empty.
func Words(list string) []string {
	var found []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			found = append(found, word)
		}
	}
	return found
}
