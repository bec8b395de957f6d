package raw

import (
	"encoding/json"
	"fmt"
	"text/template"
	"time"

	"tallyman/adapters"
	"tallyman/adapters/transport/wire"
	"tallyman/collector/record"
)

// newEncoder returns the encoder for a format. The default one needs no
// template.
func newEncoder(format string) (wire.Encoder, error) {
	if format == defaultFormat {
		return lines{}, nil
	}
	t, err := template.New("format").Funcs(template.FuncMap{"toJSON": toJSON}).Parse(format)
	if err != nil {
		return nil, fmt.Errorf("parsing the format %q: %w", format, err)
	}
	return &templated{template: t}, nil
}

// lines appends each line and a newline.
type lines struct{}

// Begin has nothing to prepare.
func (lines) Begin(*record.Container) {}

// Append appends the line.
func (lines) Append(dst []byte, r *record.Record) ([]byte, error) {
	return append(append(dst, r.Line...), '\n'), nil
}

// message is what a template sees as its dot.
type message struct {
	// Container is the engine's answer about the container or, where there is
	// none, what the agent knows of it.
	Container any
	// Source is stdout or stderr.
	Source string
	// Data is the line without its newline.
	Data string
	// Time is when the engine took the line.
	Time time.Time
}

// templated runs a template for each record.
type templated struct {
	template *template.Template
	message  message
	out      output
}

// Begin sets the container of the messages.
func (e *templated) Begin(c *record.Container) {
	e.message.Container = c
	if c.Inspect != nil {
		e.message.Container = c.Inspect
	}
}

// Append runs the template. Where it fails, what it has written is taken back.
func (e *templated) Append(dst []byte, r *record.Record) ([]byte, error) {
	e.message.Source = r.Stream.String()
	e.message.Data = string(r.Line)
	e.message.Time = time.Unix(0, r.Time)
	e.out.bytes = dst
	err := e.template.Execute(&e.out, &e.message)
	out := e.out.bytes
	e.out.bytes = nil // The buffer is only lent.
	if err != nil {
		return out[:len(dst)], adapters.Permanent("template", fmt.Errorf("running the format: %w", err))
	}
	return out, nil
}

// output collects what a template writes.
type output struct{ bytes []byte }

// Write appends p.
func (o *output) Write(p []byte) (int, error) {
	o.bytes = append(o.bytes, p...)
	return len(p), nil
}

// toJSON is the template function of that name.
func toJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
