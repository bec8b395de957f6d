package cgroup

import (
	"bytes"
	"math"
)

// nextLine returns the first line of b without its newline, and what follows.
func nextLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// nextField returns the first field of a line, and what follows it.
func nextField(line []byte) (field, rest []byte) {
	start := 0
	for start < len(line) && isSpace(line[start]) {
		start++
	}
	end := start
	for end < len(line) && !isSpace(line[end]) {
		end++
	}
	return line[start:end], line[end:]
}

// isSpace reports whether c separates fields.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// safeDigits is how many digits any number of 64 bits has room for.
const safeDigits = 19

// parseUint reads a decimal number that fills all of b.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for i, c := range b {
		digit := uint64(c - '0')
		// No number of so few digits is too large.
		if digit > 9 || i >= safeDigits && n > (NoLimit-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// parseValue reads a file that holds one number.
func parseValue(b []byte) Value {
	field, _ := nextField(b)
	n, ok := parseUint(field)
	return Value{N: n, OK: ok}
}

// parseLimit reads a limit: a number, or NoLimit for "max" (version 2) and for
// negative numbers (version 1).
func parseLimit(b []byte) Value {
	field, _ := nextField(b)
	if string(field) == "max" || len(field) > 1 && field[0] == '-' {
		return Value{N: NoLimit, OK: true}
	}
	n, ok := parseUint(field)
	return Value{N: n, OK: ok}
}

// parseFlat calls each for every "key value" line of a flat-keyed file, such as
// memory.stat. Lines of another form are passed over.
func parseFlat(b []byte, each func(key []byte, value uint64)) {
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		// The kernel writes one space and nothing else.
		space := 0
		for space < len(line) && line[space] > ' ' {
			space++
		}
		if space > 0 && space < len(line) && line[space] == ' ' {
			if n, ok := parseUint(line[space+1:]); ok {
				each(line[:space], n)
				continue
			}
		}
		key, rest := nextField(line)
		field, rest := nextField(rest)
		if extra, _ := nextField(rest); len(extra) > 0 {
			continue
		}
		if n, ok := parseUint(field); ok {
			each(key, n)
		}
	}
}

// parseNested calls each for every "name=number" of a nested-keyed file such as
// io.stat, with the key that stands before it. Some kernels end the line of a
// device without counters with a space in place of a newline, so that a key is
// known by its form rather than its place.
func parseNested(b []byte, each func(key, name []byte, value uint64)) {
	for len(b) > 0 {
		var line, key, field []byte
		line, b = nextLine(b)
		for {
			field, line = nextField(line)
			if len(field) == 0 {
				break
			}
			equals := bytes.IndexByte(field, '=')
			if equals < 0 {
				key = field
				continue
			}
			if n, ok := parseUint(field[equals+1:]); ok && len(key) > 0 {
				each(key, field[:equals], n)
			}
		}
	}
}

// parseDevice reads "major:minor".
func parseDevice(b []byte) (Device, bool) {
	colon := bytes.IndexByte(b, ':')
	if colon < 0 {
		return Device{}, false
	}
	major, okMajor := parseUint(b[:colon])
	minor, okMinor := parseUint(b[colon+1:])
	if !okMajor || !okMinor || major > math.MaxUint32 || minor > math.MaxUint32 {
		return Device{}, false
	}
	return Device{Major: uint32(major), Minor: uint32(minor)}, true
}

// parseOperation reads the kernel's word for an operation.
func parseOperation(b []byte) (Operation, bool) {
	switch string(b) {
	case "Read":
		return Read, true
	case "Write":
		return Write, true
	case "Sync":
		return Sync, true
	case "Async":
		return Async, true
	case "Discard":
		return Discard, true
	case "Total":
		return Total, true
	}
	return 0, false
}

// parseBlkio calls each for every "major:minor operation number" line of a
// blkio file of version 1. The sum over all devices, at the end, is passed over.
func parseBlkio(b []byte, each func(device Device, op Operation, value uint64)) {
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		number, rest := nextField(line)
		word, rest := nextField(rest)
		count, _ := nextField(rest)
		device, okDevice := parseDevice(number)
		op, okWord := parseOperation(word)
		n, okCount := parseUint(count)
		if okDevice && okWord && okCount {
			each(device, op, n)
		}
	}
}

// parsePressure reads a pressure file: a line "some" and a line "full", whose
// last field is the total in microseconds.
func parsePressure(b []byte) Stall {
	var stall Stall
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		word, rest := nextField(line)
		_, total, found := bytes.Cut(rest, []byte(" total="))
		total, _ = nextField(total)
		n, ok := parseUint(total)
		switch {
		case !found || !ok:
		case string(word) == "some":
			stall.Some = Value{N: n, OK: true}
		case string(word) == "full":
			stall.Full = Value{N: n, OK: true}
		}
	}
	return stall
}

// appendUints appends the numbers of a file that holds a list of them.
func appendUints(dst []uint64, b []byte) []uint64 {
	for {
		var field []byte
		field, b = nextField(b)
		n, ok := parseUint(field)
		if !ok {
			return dst
		}
		dst = append(dst, n)
	}
}
