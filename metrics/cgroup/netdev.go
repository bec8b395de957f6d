package cgroup

import "bytes"

// parseNetDev appends the interfaces of a net/dev file to dst, reusing the names
// that lie in its spare capacity. As in cAdvisor the loopback is left out, and
// so are the host's ends of other containers' links and the bridges of engines.
func parseNetDev(dst []Interface, b []byte) []Interface {
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		// The two lines of the heading have no colon. A name may contain none.
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name, _ := nextField(line[:colon])
		if len(name) == 0 || ignoredInterface(name) {
			continue
		}
		var columns [16]uint64
		rest, count := line[colon+1:], 0
		for count < len(columns) {
			var field []byte
			field, rest = nextField(rest)
			n, ok := parseUint(field)
			if !ok {
				break
			}
			columns[count] = n
			count++
		}
		if count < len(columns) {
			continue
		}
		dst = appendInterface(dst, name)
		entry := &dst[len(dst)-1]
		entry.Receive = Traffic{Bytes: columns[0], Packets: columns[1], Errors: columns[2], Dropped: columns[3]}
		entry.Transmit = Traffic{Bytes: columns[8], Packets: columns[9], Errors: columns[10], Dropped: columns[11]}
	}
	return dst
}

// appendInterface appends an interface with a name. The name that stood in its
// place before is most often the same and need not be made again.
func appendInterface(dst []Interface, name []byte) []Interface {
	if n := len(dst); n < cap(dst) && dst[:n+1][n].Name == string(name) {
		return dst[:n+1]
	}
	return append(dst, Interface{Name: string(name)})
}

// ignoredInterface reports whether cAdvisor leaves an interface out.
func ignoredInterface(name []byte) bool {
	for _, prefix := range [...]string{"lo", "veth", "docker", "nerdctl"} {
		if len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}
