package nats

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"tallyman/adapters"
	"tallyman/adapters/transport"
)

// settings are the options, read and checked.
type settings struct {
	subject       template
	json, headers bool
	jetstream     bool
	window        int
	limits        transport.Limits
	stream        *natsgo.StreamConfig // nil when none is to be made
	// absences is nil where lines wait for a stream that takes their subject.
	absences  *absences
	connector connector
	hostname  string
}

// reader reads options and keeps the first error.
type reader struct {
	options map[string]string
	err     error
}

func (r *reader) refuse(name, allowed string) {
	if r.err == nil {
		r.err = fmt.Errorf("bad value %q of option %q; it is %s", r.options[name], name, allowed)
	}
}

func (r *reader) duration(name string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(r.options[name])
	if err != nil || d < least || d > most {
		r.refuse(name, fmt.Sprintf("a duration from %v to %v", least, most))
	}
	return d
}

func (r *reader) number(name string, least, most int64) int64 {
	n, err := strconv.ParseInt(r.options[name], 10, 64)
	if err != nil || n < least || n > most {
		r.refuse(name, fmt.Sprintf("a number from %d to %d", least, most))
	}
	return n
}

// limit reads a number above zero, or -1 for none.
func (r *reader) limit(name string) int64 {
	n, err := strconv.ParseInt(r.options[name], 10, 64)
	if err != nil || n < 1 && n != -1 {
		r.refuse(name, "a number above 0, or -1 for no limit")
	}
	return n
}

// Bounds of the options.
const (
	mostWindow  = 64 << 10
	leastAck    = 100 * time.Millisecond
	mostAck     = 10 * time.Minute
	mostAge     = 100 * 365 * 24 * time.Hour
	leastRepeat = 100 * time.Millisecond
)

func newSettings(c adapters.Config, limits transport.Limits) (*settings, error) {
	subject, err := parseTemplate(c.Options["subject"])
	if err != nil {
		return nil, fmt.Errorf("bad value %q of option %q: %w", c.Options["subject"], "subject", err)
	}
	r := &reader{options: c.Options}
	s := &settings{
		subject:   subject,
		json:      c.Options["format"] == "json",
		headers:   c.Options["headers"] == "true",
		jetstream: c.Options["jetstream"] == "true",
		window:    int(r.number("window", 1, mostWindow)),
		limits:    limits.WithDefaults(),
		hostname:  c.Hostname,
	}
	s.limits.AckTimeout = r.duration("ack_timeout", leastAck, mostAck)
	if r.options["no_stream"] == "reject" {
		s.absences = newAbsences(s.limits.AckTimeout)
	}
	s.readStream(r)
	if r.err != nil {
		return nil, r.err
	}
	s.connector, err = newConnector(c, s.limits)
	return s, err
}

// readStream reads how a stream is to be made.
func (s *settings) readStream(r *reader) {
	config := natsgo.StreamConfig{
		Name:       r.options["stream"],
		MaxAge:     r.duration("stream.max_age", 0, mostAge),
		MaxBytes:   r.limit("stream.max_bytes"),
		MaxMsgs:    r.limit("stream.max_msgs"),
		Replicas:   int(r.number("stream.replicas", 1, 5)),
		Duplicates: r.duration("stream.duplicates", leastRepeat, mostAge),
		Subjects:   []string{s.subject.pattern()},
	}
	if config.MaxAge > 0 {
		// The server refuses to know messages for longer than it keeps them.
		config.Duplicates = min(config.Duplicates, config.MaxAge)
	}
	if r.options["stream.storage"] == "memory" {
		config.Storage = natsgo.MemoryStorage
	}
	if r.options["stream.discard"] == "new" {
		config.Discard = natsgo.DiscardNew
	}
	if text := r.options["stream.subjects"]; text != "" {
		config.Subjects = strings.Split(text, ",")
		for i, subject := range config.Subjects {
			config.Subjects[i] = strings.TrimSpace(subject)
			if !validPattern(config.Subjects[i]) {
				r.refuse("stream.subjects", "one or more subjects, separated by commas")
			}
		}
	}
	switch {
	case config.Name == "":
		for _, o := range streamOptions() {
			if r.options[o.Name] != o.Default && r.err == nil {
				r.err = fmt.Errorf("option %q is for a new stream, which option %q has to name", o.Name, "stream")
			}
		}
	case !s.jetstream:
		if r.err == nil {
			r.err = fmt.Errorf("option %q needs option %q to be true", "stream", "jetstream")
		}
	case strings.ContainsFunc(config.Name, illegalInToken) || strings.ContainsAny(config.Name, `/\`):
		r.refuse("stream", `a name without spaces and without any of . * > / \`)
	default:
		s.stream = &config
	}
}
