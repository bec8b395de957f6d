package gelf

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	library "github.com/Graylog2/go-gelf/gelf"

	"tallyman/collector/record"
	"tallyman/collector/record/level"
)

// Limits of an object whose members become fields. One with more members, or
// with names that are too much alike, is sent as a line; what is nested deeper
// becomes a text.
const (
	maxMembers = 500
	maxDepth   = 8
	maxAlike   = 8
	// maxKinds is of how many names it is remembered what they hold, 255 bytes each
	// at most.
	maxKinds = 4096
)

// parser makes fields of lines that are JSON objects. Its memory is kept from
// line to line.
type parser struct {
	buf   bytes.Buffer
	extra map[string]any
	// taken are names that are not free; owned by the container's fields.
	taken map[string]string
	// failed says that there were too many members.
	failed bool
	// numbers has the names of members that were sent before, true for those that
	// were numbers.
	numbers map[string]bool
}

// appendObject appends the message of a line that is a JSON object, whose
// members become fields. It is false for any other line.
//
// The library's Message is what puts the parts together here: beside the
// parsing, its cost does not matter.
func (e *encoder) appendObject(dst []byte, r *record.Record) ([]byte, bool) {
	object, ok := parseObject(r.Line)
	if !ok {
		return dst, false
	}
	p := &e.parser
	p.buf.Reset()
	if p.extra == nil {
		p.extra, p.numbers = make(map[string]any), make(map[string]bool)
	}
	clear(p.extra)
	p.taken, p.failed = e.current.names, false
	m := library.Message{
		Version:  "1.1",
		Host:     e.maker.hostname,
		Short:    takeText(object, "short_message", "message", "msg"),
		Full:     takeText(object, "full_message"),
		TimeUnix: float64(r.Time/1e6) / 1000,
		Extra:    p.extra,
	}
	if m.Short == "" {
		m.Short = string(r.Line)
	}
	severity, ok := takeSeverity(object)
	if !ok {
		severity = e.severity(r)
	}
	if p.flatten("", object, 1); p.failed {
		return dst, false
	}
	// The library leaves a level of 0 out, which is an emergency, so the level
	// goes where everything is written.
	p.extra["level"] = severity
	if len(e.current.names) > 0 {
		m.RawExtra = e.current.object
	}
	if err := m.MarshalJSONBuf(&p.buf); err != nil {
		return dst, false
	}
	return append(dst, p.buf.Bytes()...), true
}

// parseObject parses a line that is one JSON object and nothing else. Numbers
// stay as they are written.
func parseObject(line []byte) (map[string]any, bool) {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
		return nil, false
	}
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil || decoder.InputOffset() != int64(len(line)) {
		return nil, false
	}
	return object, true
}

// takeText removes the first of some members that is a text and not blank, and
// returns it.
func takeText(object map[string]any, names ...string) string {
	for _, name := range names {
		if text, ok := object[name].(string); ok && !blank([]byte(text)) {
			delete(object, name)
			return text
		}
	}
	return ""
}

// takeSeverity removes the member that tells the level, and returns its number
// in GELF. A level is a word, a number of syslog's, or one of the numbers from
// 10 (trace) to 60 (fatal) that Bunyan and Pino write.
func takeSeverity(object map[string]any) (int, bool) {
	for _, name := range []string{"level", "severity", "lvl"} {
		var l level.Level
		switch value := object[name].(type) {
		case string:
			var ok bool
			if l, ok = level.Parse(value); !ok {
				continue
			}
		case json.Number:
			n, err := value.Int64()
			if err != nil || n < 0 || n > 60 {
				continue
			}
			if n <= library.LOG_DEBUG {
				delete(object, name)
				return int(n), true
			}
			numbered := [...]level.Level{level.Trace, level.Debug, level.Info, level.Warning, level.Error, level.Critical}
			if n%10 != 0 {
				continue
			}
			l = numbered[n/10-1]
		default:
			continue
		}
		delete(object, name)
		return l.Severity(), true
	}
	return 0, false
}

// flatten makes fields of the members of an object. Those of an object within it
// get its name before theirs.
func (p *parser) flatten(prefix string, object map[string]any, depth int) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if p.failed {
			return
		}
		switch value := object[name].(type) {
		case map[string]any:
			if depth < maxDepth {
				p.flatten(prefix+name+"_", value, depth+1)
			} else {
				p.add(prefix+name, compact(value))
			}
		case []any:
			p.add(prefix+name, compact(value))
		case json.Number:
			p.addNumber(prefix+name, value)
		case string:
			p.add(prefix+name, value)
		case bool:
			// Graylog drops it, and null too; a text it keeps.
			p.add(prefix+name, strconv.FormatBool(value))
		}
	}
}

// compact writes a value as JSON, without what is only of use within HTML. It
// is for values that JSON has.
func compact(v any) string {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// add adds a text, unless it is empty.
func (p *parser) add(name, value string) {
	if value != "" {
		p.set(name, cutString(value, maxValue))
	}
}

// addNumber adds a number, as a text where Graylog's long and double would not
// hold it.
func (p *parser) addNumber(name string, value json.Number) {
	_, err := value.Int64()
	if err != nil && strings.ContainsAny(value.String(), ".eE") {
		_, err = value.Float64()
	}
	if err != nil {
		p.add(name, value.String())
		return
	}
	p.set(name, value)
}

// set adds a field under a legal name that neither the container nor another
// member has: a line cannot replace what the agent says of it. Graylog's index has
// one type for a field, and loses a message that has a text where a number was
// before, so a field that has held a text holds texts ever after, and a text that
// comes where numbers were goes to another name.
func (p *parser) set(name string, value any) {
	name = fieldName(name)
	number, isNumber := value.(json.Number)
	for range maxAlike {
		_, ofContainer := p.taken[name]
		_, ofLine := p.extra[name]
		numbers, known := p.numbers[name]
		if ofContainer || ofLine || known && numbers && !isNumber {
			name += "_"
			continue
		}
		if known && isNumber && !numbers {
			value = cutString(number.String(), maxValue)
		} else if !known && len(p.numbers) < maxKinds {
			p.numbers[name] = isNumber
		}
		p.extra[name] = value
		p.failed = len(p.extra) > maxMembers
		return
	}
	p.failed = true
}
