package syslog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/template"
	"tallyman/adapters/transport/wire"
)

// Bounds of the options of RELP.
const (
	minMessage = 480
	maxMessage = 16 << 20
	maxWindow  = 100_000
)

// options lists the options that messages are made by.
func options() []adapters.Option {
	return []adapters.Option{
		{
			Name: "format", Default: formatAuto, Env: "SYSLOG_FORMAT",
			Values: []string{formatAuto, string(rfc5424), string(rfc3164), string(bsd), string(local)},
			Help: "Layout of the header: auto, which is local to a Unix socket and else rfc5424; rfc5424; rfc3164 as Logspout writes it, with a time of RFC 5424; bsd, which is " +
				"RFC 3164 to the letter; or local, the same without a host name, for the socket of a local daemon.",
		},
		{
			Name: "framing", Default: "auto", Values: []string{"auto", "traditional", "octet-counted"},
			Env: "SYSLOG_TCP_FRAMING", Transports: []string{"tcp", "tls"},
			Help: "How messages are told apart over TCP and TLS: each ends with a newline (traditional), or its length goes " +
				"before it; auto counts over TLS and not over TCP. To a Unix socket each ends with a newline.",
		},
		{
			Name: "facility", Default: "user",
			Help: "Facility of every message: a number from 0 to 23 or a word such as daemon or local0.",
		},
		{
			Name: "severity", Default: severityByStream,
			Values: append([]string{severityByStream, severityByLevel}, severities[:]...),
			Help: "Severity: info for stdout and err for stderr (stream); that which the line names, else as before (level); " +
				"or the same for all.",
		},
		{
			Name: "priority", Env: "SYSLOG_PRIORITY",
			Help: "Template of the number in place of facility and severity.",
		},
		{
			Name: "timestamp", Env: "SYSLOG_TIMESTAMP",
			Help: "Template of the time.",
		},
		{
			Name: "timestamp_digits", Default: "0", Values: []string{"0", "1", "2", "3", "4", "5", "6"},
			Help: "Digits of the second's fraction in the time.",
		},
		{
			Name: "timezone", Default: "Local",
			Help: "Time zone of the timestamps: Local, UTC, or a name such as Europe/Berlin.",
		},
		{
			Name: "hostname", Env: "SYSLOG_HOSTNAME",
			Help: "Host name, or a template of it, in place of the container's; {{.Host}} is that of the agent's host.",
		},
		{
			Name: "tag", Env: "SYSLOG_TAG",
			Help: "Tag (APP-NAME), or a template of it, in place of the container's name. It replaces append_tag too.",
		},
		{
			Name: "append_tag",
			Help: "Text or template to put behind the container's name in the tag.",
		},
		{
			Name: "pid", Env: "SYSLOG_PID",
			Help: "Process id (PROCID), or a template of it, in place of that of the container's init.",
		},
		{
			Name: "msgid",
			Help: "Message id (MSGID), or a template of it; rfc5424 only.",
		},
		{
			Name: "structured_data", Env: "SYSLOG_STRUCTURED_DATA",
			Help: `Structured data, or a template of it, without its brackets, such as env@32473 site="a"; rfc5424 only.`,
		},
		{
			Name: "sd", Default: "none", Values: []string{"none", "container"},
			Help: "Structured data made here: container tells the container's id, name and image; rfc5424 only.",
		},
		{
			Name: "sd.id", Default: "docker@32473",
			Help: "Name of the element that sd makes, with the private enterprise number of who defines it.",
		},
		{
			Name: "sd.labels",
			Help: "Keys of the labels that sd=container tells too, separated by commas (%2C in a URI); * stands for any characters but a slash.",
		},
		{
			Name: "data", Env: "SYSLOG_DATA",
			Help: "Template of the text in place of the line.",
		},
		{
			Name: "text", Default: textUnaltered, Values: []string{textUnaltered, textUTF8, textBOM, textPrintable},
			Help: "What is made of the text: nothing; UTF-8, where other bytes become U+FFFD; the same behind a byte order mark; " +
				"or UTF-8 without control characters, which become #033 and the like.",
		},
	}
}

// relpOptions lists the options of RELP alone.
func relpOptions() []adapters.Option {
	over := []string{relpTransport, relpsTransport}
	return []adapters.Option{
		{
			Name: "relp.window", Default: "1024", Transports: over,
			Help: "How many RELP messages may wait for the server's response, 1 to 100000.",
		},
		{
			Name: "relp.max_bytes", Default: "131072", Transports: over,
			Help: "Longest RELP message in bytes, 480 to 16777216; a longer one is cut between two characters.",
		},
	}
}

// number reads an option that is a number.
func number(options map[string]string, option string, least, most int) (int, error) {
	n, err := strconv.Atoi(options[option])
	if err != nil || n < least || n > most {
		return 0, badOption(option, options[option], fmt.Errorf("it is a number from %d to %d", least, most))
	}
	return n, nil
}

// newEncoder reads the options.
func newEncoder(c adapters.Config) (*encoder, error) {
	e := &encoder{
		format:  formatOf(c.Transport, c.Options["format"]),
		framing: framingOf(c.Transport, c.Options["framing"]),
		text:    newTextRule(c.Options["text"]),
		host:    c.Hostname,
		logger:  c.Logger,
		count:   c.Count,
	}
	var err error
	if e.priority, err = newPriority(c.Options["facility"], c.Options["severity"]); err != nil {
		return nil, badOption("facility", c.Options["facility"], err)
	}
	if e.fields, err = newFields(c.Options); err != nil {
		return nil, err
	}
	if e.location, err = time.LoadLocation(c.Options["timezone"]); err != nil {
		return nil, badOption("timezone", c.Options["timezone"], err)
	}
	if e.digits, err = number(c.Options, "timestamp_digits", 0, 6); err != nil {
		return nil, err
	}
	data, err := newContainerData(c.Options["sd.id"], c.Options["sd.labels"])
	if err != nil {
		return nil, err
	}
	if c.Options["sd"] == "container" {
		// RFC 5424, section 6.3.2: no element is there twice.
		if name, _, _ := strings.Cut(c.Options["structured_data"], " "); name == data.id {
			return nil, badOption("structured_data", c.Options["structured_data"], fmt.Errorf("option sd makes the element %q already", name))
		}
		e.data = data
	} else if c.Options["sd.labels"] != "" {
		return nil, badOption("sd.labels", c.Options["sd.labels"], errors.New("it has a meaning only when option sd is container"))
	}
	e.layout = layout(e.format, e.digits)
	e.runner = template.Runner{
		Location: e.location, Layout: e.layout, Host: e.host,
		Severity: e.priority.severity, Facility: e.priority.facility,
	}
	return e, e.checkFormat()
}

// checkFormat refuses what a format has no place for. Logspout's own options are
// not among it: there one set of variables may serve routes of both formats.
func (e *encoder) checkFormat() error {
	if (e.format == bsd || e.format == local) && e.digits > 0 {
		return badOption("timestamp_digits", strconv.Itoa(e.digits), errors.New("the time of RFC 3164 has whole seconds"))
	}
	if e.format == rfc5424 {
		return nil
	}
	const only = "the format rfc5424 alone has a place for it"
	switch {
	case e.data != nil:
		return badOption("sd", "container", errors.New(only))
	case e.fields.msgid.given:
		return badOption("msgid", e.fields.msgid.text, errors.New(only))
	case e.text.mark:
		return badOption("text", textBOM, errors.New(only))
	}
	return nil
}

// layout returns the layout of the time, for package time.
func layout(f format, digits int) string {
	if f == bsd || f == local {
		return time.Stamp
	}
	if digits == 0 {
		return time.RFC3339
	}
	return "2006-01-02T15:04:05." + strings.Repeat("0", digits) + "Z07:00"
}

// formatOf returns the layout of the messages of a transport. What listens on a
// Unix socket is a local daemon, which knows its host's name.
func formatOf(transport, option string) format {
	switch {
	case option != formatAuto:
		return format(option)
	case transport == wire.Unix:
		return local
	default:
		return rfc5424
	}
}

// framingOf returns how a transport tells messages apart.
func framingOf(transport, option string) framing {
	switch transport {
	case "udp":
		return datagram
	case wire.Unix:
		return traditional
	case "tcp", "tls":
		if option == "octet-counted" || option == "auto" && transport == "tls" {
			return counted
		}
		return traditional
	default:
		return bare
	}
}
