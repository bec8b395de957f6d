package syslog

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tallyman/collector/record"
)

// maxName is the longest name in structured data (RFC 5424, section 6).
const maxName = 32

// containerData writes the element of structured data that names a container.
type containerData struct {
	// id is the element's SD-ID.
	id string
	// labels are patterns of path.Match for the keys of the labels to name.
	labels []string
}

// newContainerData reads the options sd.id and sd.labels.
func newContainerData(id, labels string) (*containerData, error) {
	d := &containerData{id: id}
	name, number, _ := strings.Cut(id, "@")
	_, err := strconv.ParseUint(number, 10, 32)
	if err != nil || name == "" || len(id) > maxName || strings.ContainsFunc(id, func(r rune) bool { return !inName(r) }) {
		return nil, badOption("sd.id", id, errors.New(
			"it is a name, an at sign and a private enterprise number, of at most 32 characters"))
	}
	for pattern := range strings.SplitSeq(labels, ",") {
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			continue
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, badOption("sd.labels", labels, err)
		}
		d.labels = append(d.labels, pattern)
	}
	return d, nil
}

// append appends the element of a container. Labels come in the order of their
// keys.
func (d *containerData) append(dst []byte, c *record.Container) []byte {
	dst = append(dst, '[')
	dst = append(dst, d.id...)
	dst = appendParam(dst, "id", c.ShortID())
	dst = appendParam(dst, "name", c.Name)
	dst = appendParam(dst, "image", c.Image)
	for _, key := range slices.Sorted(maps.Keys(c.Labels)) {
		if d.chosen(key) {
			dst = appendParam(dst, key, c.Labels[key])
		}
	}
	return append(dst, ']')
}

func (d *containerData) chosen(key string) bool {
	return slices.ContainsFunc(d.labels, func(pattern string) bool {
		ok, err := path.Match(pattern, key)
		return ok && err == nil
	})
}

// inName reports whether a name in structured data may hold r.
func inName(r rune) bool { return r > ' ' && r <= '~' && r != '=' && r != ']' && r != '"' }

// appendParam appends a parameter (RFC 5424, section 6.3.3). Of a name what is
// not allowed becomes an underscore, and what is too long is cut; the value is
// escaped, made UTF-8 and, lest it tear the message, freed of control characters.
func appendParam(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	start := len(dst)
	for _, r := range name {
		if len(dst)-start == maxName {
			break
		}
		if !inName(r) {
			r = '_'
		}
		dst = append(dst, byte(r))
	}
	if len(dst) == start {
		dst = append(dst, '_')
	}
	dst = append(dst, '=', '"')
	for _, r := range value { // A byte that is not UTF-8 comes as U+FFFD.
		switch {
		case r == '"' || r == '\\' || r == ']':
			dst = append(dst, '\\', byte(r))
		case isControl(r):
			dst = append(dst, ' ')
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
