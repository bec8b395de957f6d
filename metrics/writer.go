package metrics

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// metricType is whether a family's values only ever grow.
type metricType uint8

const (
	gauge metricType = iota
	counter
)

// description is what all families have.
type description struct {
	// name is the family's name and help our words for it.
	name, help string
	typ        metricType
	// labels are those besides the block's, sorted by name.
	labels []string
}

// block is the labels that all series of a container or a machine have in
// common, rendered once: `a="1",b="2",`.
type block struct {
	text []byte
	// cuts are the places where another label may come in between.
	cuts []cut
}

// cut is where a label begins in the text of a block.
type cut struct {
	name string
	at   int
}

// appendLabel appends a label to the block. Labels come sorted by name.
func (b *block) appendLabel(name, value string) {
	b.cuts = append(b.cuts, cut{name, len(b.text)})
	b.text = appendLabel(b.text, name, value)
}

// writer renders families in Prometheus's text format, version 0.0.4, or in
// OpenMetrics 1.0. Its memory is reused from one scrape to the next.
//
// OpenMetrics wants the names of counters to end in _total. Those of cAdvisor
// that do not would have to be renamed, and a dashboard would not find them
// again: they are of unknown type there.
type writer struct {
	buf         []byte
	openMetrics bool

	family *description
	block  *block
	// headed says that the family has had a series, and its heading.
	headed bool
}

// begin starts a family. It leaves no trace when no series follows.
func (w *writer) begin(family *description) {
	w.family, w.headed = family, false
}

// with writes one series of the family with the block's labels and these values
// of the family's own.
func (w *writer) with(value float64, labels ...string) {
	if !w.headed {
		w.heading()
	}
	buf := append(w.buf, w.family.name...)
	open := len(buf)
	buf = append(buf, '{')
	from, next := 0, 0
	for i, name := range w.family.labels {
		for next < len(w.block.cuts) && w.block.cuts[next].name < name {
			next++
		}
		to := len(w.block.text)
		if next < len(w.block.cuts) {
			to = w.block.cuts[next].at
		}
		buf = append(buf, w.block.text[from:to]...)
		from = to
		buf = appendLabel(buf, name, labels[i])
	}
	buf = append(buf, w.block.text[from:]...)
	if len(buf) == open+1 {
		buf = buf[:open]
	} else {
		buf[len(buf)-1] = '}'
	}
	buf = append(buf, ' ')
	buf = w.appendValue(buf, value)
	w.buf = append(buf, '\n')
}

// count writes a whole number that has no labels of its own.
func (w *writer) count(n uint64) { w.with(float64(n)) }

// heading writes the lines that stand before a family's first series.
func (w *writer) heading() {
	w.headed = true
	name, typ := w.family.name, "gauge"
	if w.family.typ == counter {
		typ = "counter"
		if w.openMetrics {
			stem, ok := strings.CutSuffix(name, "_total")
			if name = stem; !ok {
				typ = "unknown"
			}
		}
	}
	buf := append(w.buf, "# HELP "...)
	buf = append(buf, name...)
	buf = append(buf, ' ')
	buf = appendEscaped(buf, w.family.help, w.openMetrics)
	buf = append(buf, "\n# TYPE "...)
	buf = append(buf, name...)
	buf = append(buf, ' ')
	buf = append(buf, typ...)
	w.buf = append(buf, '\n')
}

// appendValue renders a number as client_golang does.
func (w *writer) appendValue(buf []byte, value float64) []byte {
	begin := len(buf)
	switch {
	case math.IsInf(value, 1):
		return append(buf, "+Inf"...)
	case math.IsInf(value, -1):
		return append(buf, "-Inf"...)
	case math.IsNaN(value):
		return append(buf, "NaN"...)
	case value == math.Trunc(value) && math.Abs(value) < 1e6:
		// The shortest form of these is the same, and quicker to find.
		buf = strconv.AppendInt(buf, int64(value), 10)
		if value == 0 && math.Signbit(value) {
			buf = append(buf[:begin], "-0"...)
		}
	case value == math.Trunc(value) && value > 0 && value < exactIntegers:
		buf = appendExponent(buf, uint64(value))
	default:
		buf = strconv.AppendFloat(buf, value, 'g', -1, 64)
	}
	if !w.openMetrics {
		return buf
	}
	for _, c := range buf[begin:] {
		if c == '.' || c == 'e' {
			return buf
		}
	}
	return append(buf, ".0"...)
}

// exactIntegers is where floating-point numbers begin to be further apart than 1.
const exactIntegers = 1 << 53

// appendExponent renders a number of at least 1e6 and less than exactIntegers as
// strconv does in the format 'g'. No shorter number is nearer to such a one than to
// its neighbours, so that its digits are all that there is to find.
func appendExponent(buf []byte, n uint64) []byte {
	var digits [20]byte
	all := strconv.AppendUint(digits[:0], n, 10)
	exponent := len(all) - 1
	kept := bytes.TrimRight(all, "0")
	buf = append(buf, kept[0])
	if len(kept) > 1 {
		buf = append(buf, '.')
		buf = append(buf, kept[1:]...)
	}
	// There are two digits at least, and at most.
	return append(buf, 'e', '+', byte('0'+exponent/10), byte('0'+exponent%10))
}

// appendLabel renders a label with the comma after it.
func appendLabel(buf []byte, name, value string) []byte {
	buf = append(buf, name...)
	buf = append(buf, '=', '"')
	buf = appendEscaped(buf, value, true)
	return append(buf, '"', ',')
}

// appendEscaped renders a text: backslash and newline are escaped, and quotes
// where they would end it.
func appendEscaped(buf []byte, text string, quotes bool) []byte {
	from := 0
	for i := range len(text) {
		var escape string
		switch text[i] {
		case '\\':
			escape = `\\`
		case '\n':
			escape = `\n`
		case '"':
			if !quotes {
				continue
			}
			escape = `\"`
		default:
			continue
		}
		buf = append(buf, text[from:i]...)
		buf = append(buf, escape...)
		from = i + 1
	}
	return append(buf, text[from:]...)
}
