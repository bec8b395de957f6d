package syslog

import (
	"strings"

	"tallyman/adapters/template"
)

// field is one part of a message as an option gives it: fixed text, a template,
// or, when it is neither, what the encoder itself puts there.
type field struct {
	option string
	// given says that the option was set to something else than the encoder's
	// own text.
	given bool
	text  string
	// template is nil for fixed text.
	template *template.Template
	// failed says that a failure was told of.
	failed bool
}

// newField makes a field of an option's text; standard is the template that
// stands for what the encoder does by itself.
func newField(option, text, standard string) (field, error) {
	f := field{option: option, text: text, given: text != "" && text != standard}
	if !f.given || !strings.Contains(text, "{{") {
		return f, nil
	}
	var err error
	if f.template, err = template.Parse(option, text); err != nil {
		return f, badOption(option, text, err)
	}
	return f, nil
}

// perLine reports whether the field depends on more than the container.
func (f *field) perLine() bool { return f.template != nil && f.template.PerLine() }

// render returns the field's text, valid until the next call. It is not ok when
// there is no text of its own: the encoder's is to be used.
func (e *encoder) render(f *field) (text []byte, ok bool) {
	if !f.given {
		return nil, false
	}
	if f.template == nil {
		e.rendered = append(e.rendered[:0], f.text...)
		return e.rendered, true
	}
	var err error
	if e.rendered, err = e.runner.Append(e.rendered[:0], f.template); err != nil {
		e.defaulted(f, err)
		return nil, false
	}
	return e.rendered, true
}

// defaulted notes that a field got its default because its template failed.
func (e *encoder) defaulted(f *field, err error) {
	e.failures++
	if f.failed {
		return
	}
	f.failed = true
	e.logger.Warn("a template failed; the field gets its default, here and wherever it fails again",
		"option", f.option, "container", e.container.Name, "error", err)
}
