// Package template runs Logspout's templates: what a route's author writes in
// the language of text/template about a line and its container.
package template

import (
	"fmt"
	"text/template"
	"time"

	"tallyman/adapters"
	"tallyman/collector/record"
)

// Template is a parsed template. It is immutable.
type Template struct {
	parsed *template.Template
	// perLine says that it may read the line, inspects that it may read the
	// engine's answer about the container.
	perLine, inspects bool
}

// Parse reads a template. Besides what text/template knows it may call toJSON,
// which writes any value as JSON, with <, > and & escaped. The name is shown in
// errors, which quote the text no more than text/template does.
func Parse(name, text string) (*Template, error) {
	parsed, err := template.New(name).Funcs(functions()).Parse(text)
	if err != nil {
		return nil, err
	}
	t := &Template{parsed: parsed}
	for _, part := range parsed.Templates() {
		if part.Tree != nil && part.Root != nil {
			t.perLine = t.perLine || lineWords.in(part.Root)
			t.inspects = t.inspects || answerWords.in(part.Root)
			addSteps(part.Root)
		}
	}
	return t, nil
}

// PerLine reports whether the text may differ between two lines of a container.
// What Runner.Append gives for a template that is not PerLine can be kept as
// long as the container is the same.
func (t *Template) PerLine() bool { return t.perLine }

// Runner runs templates for one record after another. The zero value is ready.
// It is used by one goroutine at a time.
type Runner struct {
	// Location is the zone of .Time and .Timestamp; nil for that of the process.
	Location *time.Location
	// Layout is that of .Timestamp, as package time has it; RFC 3339 in whole
	// seconds when empty.
	Layout string
	// Host is what .Host gives, the name of the agent's host.
	Host string
	// Severity returns a record's .Severity, and Facility is every record's
	// .Facility. While Severity is nil they are Logspout's: user, with info for
	// stdout and err for stderr.
	Severity func(*record.Record) int
	Facility int

	message message
	out     output
}

// Begin sets the container that the records to come belong to.
func (r *Runner) Begin(c *record.Container) {
	if r.message.container != c {
		r.message = message{container: c}
	}
	r.message.runner = r
}

// Record sets the record that templates see until the next call. A template that
// is not PerLine needs none.
func (r *Runner) Record(rec *record.Record) {
	r.message.Source = rec.Stream.String()
	r.message.Data = string(rec.Line)
	r.message.Time = time.Unix(0, rec.Time)
	if r.Location != nil {
		r.message.Time = r.message.Time.In(r.Location)
	}
	r.message.record = rec
}

// Append appends what t makes of the record to dst. Where the template fails, or
// does not come to an end within the bounds of its steps and its text, dst comes
// back as it was, with an error made by adapters.Permanent for the reason
// "template".
func (r *Runner) Append(dst []byte, t *Template) ([]byte, error) {
	r.out = output{bytes: dst, room: maxText, steps: maxSteps}
	err := r.run(t)
	out := r.out.bytes
	r.out.bytes = nil // The buffer is only lent.
	if err != nil {
		return out[:len(dst)], adapters.Permanent("template", fmt.Errorf("running the template: %w", err))
	}
	return out, nil
}

// run executes t. The engine's answer is of types that are not ours; should one
// of their methods break down, that costs a record and not the agent.
func (r *Runner) run(t *Template) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("it broke down: %v", reason)
		}
	}()
	if t.inspects && r.message.Container == nil {
		r.message.Container = inspected(r.message.container)
	}
	return t.parsed.Execute(&r.out, &r.message)
}
