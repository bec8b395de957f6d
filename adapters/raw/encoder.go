package raw

import (
	"fmt"

	"tallyman/adapters/template"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

// newEncoder returns the encoder for a format; host is the name of the agent's
// host. The default format needs no template.
func newEncoder(format, host string) (wire.Encoder, error) {
	if format == defaultFormat {
		return lines{}, nil
	}
	t, err := template.Parse("format", format)
	if err != nil {
		return nil, fmt.Errorf("bad value %q of option %q: %w", format, "format", err)
	}
	return &templated{template: t, runner: template.Runner{Host: host}}, nil
}

// lines appends each line and a newline.
type lines struct{}

// Begin has nothing to prepare.
func (lines) Begin(*record.Container) {}

// Append appends the line.
func (lines) Append(dst []byte, r *record.Record) ([]byte, error) {
	return append(append(dst, r.Line...), '\n'), nil
}

// templated runs a template for each record.
type templated struct {
	template *template.Template
	runner   template.Runner
}

// Begin sets the container of the messages.
func (e *templated) Begin(c *record.Container) { e.runner.Begin(c) }

// Append runs the template.
func (e *templated) Append(dst []byte, r *record.Record) ([]byte, error) {
	e.runner.Record(r)
	return e.runner.Append(dst, e.template)
}
