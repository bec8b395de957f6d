package cgroup

import "bytes"

// numaKind returns the kind of pages that a word names, empty for one that is not
// told apart by node.
func numaKind(word []byte) string {
	switch string(word) {
	case "file":
		return "file"
	case "anon":
		return "anon"
	case "unevictable":
		return "unevictable"
	}
	return ""
}

// parseNumaStat reads memory.numa_stat of version 1: lines such as
// "file=12 N0=10 N1=2", and the same with "hierarchical_" before the word.
func parseNumaStat(s *Sample, b []byte) {
	for len(b) > 0 {
		var line []byte
		line, b = nextLine(b)
		head, rest := nextField(line)
		word, _, ok := bytes.Cut(head, []byte{'='})
		if !ok {
			continue
		}
		word, hierarchical := bytes.CutPrefix(word, []byte("hierarchical_"))
		kind := numaKind(word)
		for kind != "" {
			var field []byte
			field, rest = nextField(rest)
			if len(field) == 0 {
				break
			}
			number, count, ok := bytes.Cut(field, []byte{'='})
			number, isNode := bytes.CutPrefix(number, []byte{'N'})
			node, okNode := parseUint(number)
			n, okCount := parseUint(count)
			if !ok || !isNode || !okNode || !okCount {
				continue
			}
			pages := s.Memory.numa(kind, node)
			if hierarchical {
				pages.Hierarchy = n
			} else {
				pages.Own = n
			}
		}
	}
}

// numa returns the entry of a kind and node and makes one where there is none.
func (m *Memory) numa(kind string, node uint64) *NumaPages {
	for i := range m.Numa {
		if m.Numa[i].Kind == kind && m.Numa[i].Node == node {
			return &m.Numa[i]
		}
	}
	m.Numa = append(m.Numa, NumaPages{Kind: kind, Node: node})
	return &m.Numa[len(m.Numa)-1]
}
