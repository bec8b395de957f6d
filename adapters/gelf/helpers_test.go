package gelf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// options are those of a route.
type options = map[string]string

// resolve makes a configuration as the route table does.
func resolve(t testing.TB, transportName, address string, o options) adapters.Config {
	t.Helper()
	d := Description()
	c, err := d.Resolve(transportName, address, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	c.Hostname = "dock1"
	return c
}

func mustEncoder(t testing.TB, transportName string, o options) *encoder {
	t.Helper()
	c := resolve(t, transportName, "127.0.0.1:12201", o)
	e, err := newEncoder(&c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// oneOClock is the time of the examples.
var oneOClock = time.Date(2026, 11, 21, 1, 9, 8, 987654321, time.UTC).UnixNano()

func web() *record.Container {
	return &record.Container{
		ID: strings.Repeat("0123456789abcdef", 4), Name: "web",
		Image: "example/web:1", ImageID: "sha256:" + strings.Repeat("fedcba9876543210", 4),
		Hostname: "0123456789ab", Command: []string{"/bin/web", "-v", "a b"},
		Env:     []string{"PATH=/bin", "REGION=eu", "EMPTY=", "odd"},
		Labels:  map[string]string{"com.example.team": "blue", "id": "7", "a/b": "c", "none": ""},
		Created: time.Date(2026, 11, 20, 1, 2, 3, 450000000, time.UTC),
	}
}

// encode returns the message of one line.
func encode(t testing.TB, e *encoder, c *record.Container, r record.Record) []byte {
	t.Helper()
	e.Begin(c)
	dst, err := e.Append([]byte("before|"), &r)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimPrefix(dst, []byte("before|"))
}

func decode(t testing.TB, message []byte) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(message, &fields); err != nil {
		t.Fatalf("%v in %.500q", err, message)
	}
	return fields
}

var legalName = regexp.MustCompile(`^_[\w.\-]*$`)

// checkLegal fails the test unless Graylog takes a message and all of its
// fields.
func checkLegal(t testing.TB, message []byte) map[string]any {
	t.Helper()
	if !json.Valid(message) || bytes.IndexByte(message, 0) >= 0 || !utf8.Valid(message) {
		t.Fatalf("this is not JSON: %.500q", message)
	}
	if n, keys := countKeys(t, message), decode(t, message); n != len(keys) {
		t.Fatalf("a name is there twice: %.500q", message)
	}
	fields := decode(t, message)
	for name, value := range fields {
		text, isText := value.(string)
		number, isNumber := value.(float64)
		ok := false
		switch name {
		case "version":
			ok = text == "1.1"
		case "host", "short_message":
			ok = isText
		case "full_message":
			ok = isText && text != ""
		case "timestamp":
			ok = isNumber
		case "level":
			ok = isNumber && number >= 0 && number <= 7
		default:
			ok = legalName.MatchString(name) && !reserved(name) && (isNumber || isText && text != "" && len(text) <= maxValue)
		}
		if !ok {
			t.Fatalf("Graylog does not take %q: %.200q", name, fmt.Sprint(value))
		}
	}
	for _, name := range []string{"version", "host", "short_message", "timestamp", "level"} {
		if _, ok := fields[name]; !ok {
			t.Fatalf("%s is missing in %.500q", name, message)
		}
	}
	return fields
}

// countKeys counts the members of an object, repeated ones too.
func countKeys(t testing.TB, message []byte) int {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(message))
	depth, tokens := 0, 0
	for {
		token, err := decoder.Token()
		if err != nil {
			return (tokens) / 2
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if depth == 1 {
				tokens++
			}
		}
	}
}

// textOf returns the text of a message in which it comes last, at a fraction of
// what parsing all of it takes.
func textOf(message []byte) []byte {
	_, text, _ := bytes.Cut(message, []byte(`,"short_message":`))
	text, ended := bytes.CutSuffix(text, []byte("}"))
	var short string
	if err := json.Unmarshal(text, &short); err != nil || !ended {
		return fmt.Appendf(nil, "no text: %v in %.200q", err, message)
	}
	return []byte(short)
}

// asText returns a line as JSON can hold it.
func asText(line []byte) string { return string([]rune(string(line))) }
