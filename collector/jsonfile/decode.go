package jsonfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"

	"tallyman/collector/record"
)

// The keys as dockerd writes them, always in this order: log, stream, attrs,
// time (moby daemon/logger/jsonfilelog/jsonlog). All but time are left out when
// they are empty.
const (
	logKey    = `{"log":"`
	streamKey = `"stream":"`
	timeKey   = `"time":"`
	stdoutTag = `"stream":"stdout",`
	stderrTag = `"stream":"stderr",`
)

// The same as little-endian words, since one comparison of eight bytes is a
// good deal cheaper than a call that compares strings.
var (
	logWord    = word(logKey)
	timeWord   = word(timeKey)
	streamWord = word(stdoutTag)
	stdoutWord = word(stdoutTag[8:])
	stderrWord = word(stderrTag[8:])
)

func word(s string) uint64 { return binary.LittleEndian.Uint64([]byte(s)) }

var errBroken = errors.New("not a json-file record")

// decoder turns lines of a json-file into records. Its zero value is ready.
type decoder struct {
	clock clock
}

// decode sets the time, the stream and the line of rec from one line of a
// json-file, without its line feed. The record's line points into line, whose
// escapes are resolved in place. whole is false for a part of a longer line,
// which dockerd marks by nothing but the missing newline at the end.
func (d *decoder) decode(line []byte, rec *record.Record) (whole bool, err error) {
	text, ok := d.envelope(line, rec)
	if !ok {
		return d.decodeAny(line, rec)
	}
	text, whole = trimNewline(text)
	if i := bytes.IndexByte(text, '\\'); i >= 0 {
		text = unescape(text, i)
	}
	rec.Line = text
	return whole, nil
}

// envelope finds what dockerd has put around the text: it reads the fixed parts
// from both ends and never looks at the text between them. It returns the text
// with its escapes, or false when line is not exactly as dockerd writes it.
func (d *decoder) envelope(line []byte, rec *record.Record) ([]byte, bool) {
	end, ok := d.timeAtEnd(line, rec)
	if !ok {
		return nil, false
	}
	// The common case, 8 bytes before the text and 20 behind it:
	// {"log":"TEXT","stream":"stdout","time":"…"}
	if a := end - len(stdoutTag); a >= len(logKey)+2 &&
		binary.LittleEndian.Uint64(line[a:]) == streamWord && line[a-1] == ',' && line[a-2] == '"' &&
		binary.LittleEndian.Uint64(line) == logWord {
		switch binary.LittleEndian.Uint64(line[a+8:]) {
		case stdoutWord:
			rec.Stream = record.Stdout
			return line[len(logKey) : a-2], true
		case stderrWord:
			rec.Stream = record.Stderr
			return line[len(logKey) : a-2], true
		}
	}
	return envelopeForward(line[:end], rec)
}

// timeAtEnd reads `"time":"…"}` at the end of line and returns where it begins.
func (d *decoder) timeAtEnd(line []byte, rec *record.Record) (int, bool) {
	n := len(line) - 2
	if n < len(timeKey)+len(secondLayout)+1 || line[n] != '"' || line[n+1] != '}' || line[n-1] != 'Z' {
		return 0, false
	}
	// The fraction has lost its trailing zeros: try its lengths, commonest first.
	for size := maxTimeLen; size >= minTimeLen; size-- {
		a := n - size - len(timeKey)
		if a >= 0 && line[n-size-1] == '"' && binary.LittleEndian.Uint64(line[a:]) == timeWord {
			var ok bool
			rec.Time, ok = d.clock.parse(line[n-size : n])
			return a, ok
		}
	}
	return 0, false
}

// envelopeForward reads what precedes the time from the front: the text up to
// its closing quote, the stream, and the attributes, which are passed over.
// line ends where the time begins.
func envelopeForward(line []byte, rec *record.Record) ([]byte, bool) {
	var text []byte
	rest := line
	if bytes.HasPrefix(rest, []byte(logKey)) {
		rest = rest[len(logKey):]
		n := closingQuote(rest)
		if n < 0 || n+1 >= len(rest) || rest[n+1] != ',' {
			return nil, false
		}
		text, rest = rest[:n], rest[n+2:]
	} else if len(rest) > 0 && rest[0] == '{' {
		rest = rest[1:]
	} else {
		return nil, false
	}
	rec.Stream = record.Stdout
	if bytes.HasPrefix(rest, []byte(streamKey)) {
		rest = rest[len(streamKey):]
		n := closingQuote(rest)
		if n < 0 || n+1 >= len(rest) || rest[n+1] != ',' {
			return nil, false
		}
		switch string(rest[:n]) {
		case "stdout":
		case "stderr":
			rec.Stream = record.Stderr
		default:
			return nil, false
		}
		rest = rest[n+2:]
	}
	if len(rest) > 0 && (!bytes.HasPrefix(rest, []byte(`"attrs":{`)) || !bytes.HasSuffix(rest, []byte("},"))) {
		return nil, false
	}
	return text, true
}

// closingQuote returns the index of the first quote in b that no backslash
// escapes, or -1.
func closingQuote(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '"')
		if i < 0 {
			return -1
		}
		at += i
		if backslashesBefore(b, at)%2 == 0 {
			return at
		}
		at++
	}
}

// backslashesBefore returns how many backslashes stand directly before b[at].
func backslashesBefore(b []byte, at int) int {
	n := 0
	for at-n > 0 && b[at-n-1] == '\\' {
		n++
	}
	return n
}

// trimNewline takes the escaped newline off the end of an escaped text.
func trimNewline(text []byte) ([]byte, bool) {
	n := len(text)
	if n < 2 || text[n-1] != 'n' || text[n-2] != '\\' || backslashesBefore(text, n-2)%2 != 0 {
		return text, false
	}
	return text[:n-2], true
}

// decodeAny reads a line that is valid JSON but not laid out as dockerd does it.
func (d *decoder) decodeAny(line []byte, rec *record.Record) (bool, error) {
	var fields struct {
		Log    string `json:"log"`
		Stream string `json:"stream"`
		Time   string `json:"time"`
	}
	if err := json.Unmarshal(line, &fields); err != nil {
		return false, errBroken
	}
	nanos, ok := d.clock.parse([]byte(fields.Time))
	if !ok {
		return false, errBroken
	}
	rec.Time = nanos
	rec.Stream = record.Stdout
	if fields.Stream == "stderr" {
		rec.Stream = record.Stderr
	}
	rec.Line = []byte(fields.Log)
	if n := len(rec.Line); n > 0 && rec.Line[n-1] == '\n' {
		rec.Line = rec.Line[:n-1]
		return true, nil
	}
	return false, nil
}
