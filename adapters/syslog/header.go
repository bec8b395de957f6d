package syslog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The longest header fields: RFC 5424, section 6, and for a tag in RFC 3164,
// section 4.1.3. A host name in the old format has no limit.
const (
	maxHostname = 255
	maxAppName  = 48
	maxProcID   = 128
	maxMsgID    = 32
	maxTag3164  = 32
)

// fields are the parts of a message that an option can set.
type fields struct {
	priority, timestamp, hostname, tag, pid, msgid, data, text field
	// templates says that there is some template, headerPerLine that some part
	// of the header depends on the line.
	templates, headerPerLine bool
}

// newFields reads the options that may be templates.
func newFields(options map[string]string) (f fields, err error) {
	var problems []error
	read := func(option, standard string) field {
		made, err := newField(option, options[option], standard)
		problems = append(problems, err)
		if !made.given || made.template != nil {
			return made
		}
		if strings.ContainsFunc(made.text, isControl) {
			problems = append(problems, badOption(option, made.text, errors.New("it holds a control character")))
		}
		return made
	}
	f.priority = read("priority", "{{.Priority}}")
	f.timestamp = read("timestamp", "{{.Timestamp}}")
	f.hostname = read("hostname", "{{.Container.Config.Hostname}}")
	f.tag = read("tag", "{{.ContainerName}}")
	f.pid = read("pid", "{{.Container.State.Pid}}")
	f.msgid = read("msgid", "-")
	f.data = read("structured_data", "-")
	f.text = read("data", "{{.Data}}")
	if added := options["append_tag"]; added != "" && options["tag"] == "" {
		// As in Logspout, the whole is one template.
		f.tag, err = newField("append_tag", "{{.ContainerName}}"+added, "")
		problems = append(problems, err)
	}
	if f.priority.given && f.priority.template == nil {
		if _, err := parsePriority(f.priority.text); err != nil {
			problems = append(problems, badOption("priority", f.priority.text, err))
		}
	}
	f.templates = f.text.template != nil
	for _, part := range []*field{&f.priority, &f.timestamp, &f.hostname, &f.tag, &f.pid, &f.msgid, &f.data} {
		f.templates = f.templates || part.template != nil
		f.headerPerLine = f.headerPerLine || part.perLine()
	}
	return f, errors.Join(problems...)
}

func parsePriority(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxPriority {
		return 0, fmt.Errorf("it is a number from 0 to %d", maxPriority)
	}
	return n, nil
}

// badOption says what is wrong with an option's value.
func badOption(option, value string, err error) error {
	return fmt.Errorf("bad value %q of option %q: %w", value, option, err)
}

// appendStart appends the header up to the timestamp and the space behind it.
func (e *encoder) appendStart(dst []byte, severity int, at time.Time) []byte {
	dst = append(dst, '<')
	dst = e.appendPriority(dst, severity)
	dst = append(dst, '>')
	if e.format == rfc5424 {
		dst = append(dst, "1 "...)
	}
	if text, ok := e.render(&e.fields.timestamp); ok {
		// The times of RFC 3164 have spaces within.
		dst = appendField(dst, text, len(text), e.format != rfc5424)
	} else {
		dst = at.AppendFormat(dst, e.layout)
	}
	return append(dst, ' ')
}

func (e *encoder) appendPriority(dst []byte, severity int) []byte {
	if text, ok := e.render(&e.fields.priority); ok {
		n, err := parsePriority(string(text))
		if err == nil {
			return strconv.AppendInt(dst, int64(n), 10)
		}
		e.defaulted(&e.fields.priority, badOption("priority", string(text), err))
	}
	return strconv.AppendInt(dst, int64(e.priority.facility<<3|severity), 10)
}

// appendRest appends the header from behind the timestamp to the text.
func (e *encoder) appendRest(dst []byte) []byte {
	if e.format == rfc5424 {
		dst = e.appendPart(dst, &e.fields.hostname, e.container.Hostname, maxHostname)
		dst = e.appendPart(dst, &e.fields.tag, e.container.Name, maxAppName)
		dst = e.appendPart(dst, &e.fields.pid, strconv.Itoa(e.container.PID), maxProcID)
		dst = e.appendPart(dst, &e.fields.msgid, "-", maxMsgID)
		return append(e.appendStructured(dst), ' ')
	}
	if e.format != local {
		dst = e.appendPart(dst, &e.fields.hostname, e.container.Hostname, 0)
	}
	dst = e.appendPart(dst, &e.fields.tag, e.container.Name, maxTag3164)
	dst[len(dst)-1] = '['
	dst = e.appendPart(dst, &e.fields.pid, strconv.Itoa(e.container.PID), maxProcID)
	dst[len(dst)-1] = ']'
	return append(dst, ": "...)
}

// appendPart appends a header field and a space; most is its length at most, 0
// for any.
func (e *encoder) appendPart(dst []byte, f *field, standard string, most int) []byte {
	if text, ok := e.render(f); ok {
		dst = appendField(dst, text, most, false)
	} else {
		dst = appendField(dst, []byte(standard), most, false)
	}
	return append(dst, ' ')
}

// appendField appends a header field of at most most characters, 0 for any.
// Fields are printable US-ASCII without spaces (RFC 5424, section 6); any other
// character becomes an underscore, for a space would shift all fields behind it.
// The field of an empty text is the nil value.
func appendField(dst, text []byte, most int, spaces bool) []byte {
	if len(text) == 0 {
		return append(dst, '-')
	}
	n := 0
	for _, r := range string(text) {
		if n++; n > most && most > 0 {
			break
		}
		if r <= ' ' && !(r == ' ' && spaces) || r > '~' {
			r = '_'
		}
		dst = append(dst, byte(r))
	}
	return dst
}

// appendStructured appends the structured data: the container's element, and
// what the option gives in brackets, as Logspout has it.
func (e *encoder) appendStructured(dst []byte) []byte {
	start := len(dst)
	if e.data != nil {
		dst = e.data.append(dst, e.container)
	}
	if text, ok := e.render(&e.fields.data); ok && len(text) > 0 && string(text) != "-" {
		dst = append(dst, '[')
		for _, c := range text {
			if isControl(rune(c)) {
				c = ' '
			}
			dst = append(dst, c)
		}
		dst = append(dst, ']')
	}
	if len(dst) == start {
		dst = append(dst, '-')
	}
	return dst
}
