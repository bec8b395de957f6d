package metrics

import (
	"fmt"
	"slices"
	"strings"

	"tallyman/metrics/cgroup"
)

// Kinds is a set of cAdvisor's kinds of metrics, the words of its flags
// --disable_metrics and --enable_metrics. The zero value stands for
// DefaultKinds; a set made by ParseKinds is never zero.
type Kinds uint32

// The kinds. What has the kind kindAlways is shown whatever the set.
const (
	kindAlways Kinds = 1 << iota
	kindCPU
	kindPerCPU
	kindLoad
	kindSched
	kindMemory
	kindNuma
	kindCPUSet
	kindDisk
	kindDiskIO
	kindNetwork
	kindTCP
	kindUDP
	kindAdvancedTCP
	kindProcess
	kindHuge
	kindReferenced
	kindTopology
	kindOOM
	kindPressure
	kindPerf
	kindResctrl
	kindApp
)

// kindWord is cAdvisor's word for a kind.
type kindWord struct {
	word string
	kind Kinds
	// parts are what has to be read of each cgroup for it.
	parts cgroup.Parts
	// off says that it is not shown by default.
	off bool
	// empty says that nothing is shown for it: the word is known so that
	// cAdvisor's command lines work.
	empty bool
}

// kindWords are all kinds.
func kindWords() []kindWord {
	return []kindWord{
		{word: "advtcp", kind: kindAdvancedTCP, parts: cgroup.TCPExtra, off: true},
		{word: "app", kind: kindApp, empty: true},
		{word: "cpu", kind: kindCPU, parts: cgroup.Processor},
		{word: "cpuLoad", kind: kindLoad},
		{word: "cpu_topology", kind: kindTopology, off: true},
		{word: "cpuset", kind: kindCPUSet, parts: cgroup.Placement, off: true},
		{word: "disk", kind: kindDisk},
		{word: "diskIO", kind: kindDiskIO, parts: cgroup.IO},
		{word: "hugetlb", kind: kindHuge, parts: cgroup.Huge, off: true},
		{word: "memory", kind: kindMemory, parts: cgroup.MemoryUse},
		{word: "memory_numa", kind: kindNuma, parts: cgroup.Numa, off: true},
		{word: "network", kind: kindNetwork, parts: cgroup.Network},
		{word: "oom_event", kind: kindOOM, parts: cgroup.OOM},
		{word: "percpu", kind: kindPerCPU, parts: cgroup.PerCPU},
		{word: "perf_event", kind: kindPerf, empty: true},
		{word: "pressure", kind: kindPressure, parts: cgroup.Stalls},
		{word: "process", kind: kindProcess, parts: cgroup.Members | cgroup.Tasks, off: true},
		{word: "referenced_memory", kind: kindReferenced, parts: cgroup.Referenced, off: true},
		{word: "resctrl", kind: kindResctrl, off: true, empty: true},
		{word: "sched", kind: kindSched, parts: cgroup.Schedule, off: true},
		{word: "tcp", kind: kindTCP, parts: cgroup.TCP, off: true},
		{word: "udp", kind: kindUDP, parts: cgroup.UDP, off: true},
	}
}

// DefaultKinds are what cAdvisor shows by default.
func DefaultKinds() Kinds {
	set := kindAlways
	for _, k := range kindWords() {
		if !k.off {
			set |= k.kind
		}
	}
	return set
}

// KindNames returns all words, sorted; off are those that are not shown by
// default.
func KindNames() (all, off []string) {
	for _, k := range kindWords() {
		all = append(all, k.word)
		if k.off {
			off = append(off, k.word)
		}
	}
	return all, off
}

// ParseKinds reads words separated by commas. The error names a word that is not
// known and those that are.
func ParseKinds(list string) (Kinds, error) {
	set := kindAlways
	words := kindWords()
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		at := slices.IndexFunc(words, func(k kindWord) bool { return k.word == word })
		switch {
		case at >= 0:
			set |= words[at].kind
		case word == "" || word == "accelerator":
			// cAdvisor had accelerators until v0.46 and its users' command lines
			// still name them.
		default:
			all, _ := KindNames()
			return 0, fmt.Errorf("unknown kind of metrics %q; known are %s", word, strings.Join(all, ", "))
		}
	}
	return set, nil
}

// Without returns all kinds but those of the set.
func (k Kinds) Without() Kinds {
	var all Kinds
	for _, word := range kindWords() {
		all |= word.kind
	}
	return all&^k | kindAlways
}

// orDefault returns the set that is meant.
func (k Kinds) orDefault() Kinds {
	if k == 0 {
		return DefaultKinds()
	}
	return k | kindAlways
}

// has reports whether the set shows what has all kinds of want.
func (k Kinds) has(want Kinds) bool { return k&want == want }

// parts returns what has to be read of each cgroup.
func (k Kinds) parts() cgroup.Parts {
	parts := cgroup.Limits
	for _, word := range kindWords() {
		if k.has(word.kind) {
			parts |= word.parts
		}
	}
	return parts
}

// Silent returns the words of the set for which there is nothing to show,
// without those that are on by default.
func (k Kinds) Silent() []string {
	var words []string
	for _, word := range kindWords() {
		if word.empty && word.off && k.has(word.kind) {
			words = append(words, word.word)
		}
	}
	return words
}
