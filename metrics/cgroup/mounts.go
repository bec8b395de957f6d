package cgroup

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
)

// parseMountinfo finds the cgroup mounts in a mountinfo file (see proc(5)).
// Where a hierarchy is mounted more than once, the mount of its whole tree is
// taken, and of these the first.
func parseMountinfo(root string, content []byte) (v1 map[string]hierarchy, unified hierarchy) {
	v1 = make(map[string]hierarchy)
	better := func(old hierarchy, base string) bool {
		return old.mountPoint == "" || old.base != "/" && base == "/"
	}
	for line := range strings.Lines(string(content)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, details := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(details) < 3 {
			continue
		}
		base := unescape(fields[3])
		tree := hierarchy{mountPoint: filepath.Join(root, unescape(fields[4])), base: base}
		switch details[0] {
		case "cgroup2":
			if better(unified, base) {
				unified = tree
			}
		case "cgroup":
			known := []string{cpuController, cpuacctController, memoryController, blkioController, pidsController, cpusetController, hugetlbController}
			for option := range strings.SplitSeq(details[2], ",") {
				if slices.Contains(known, option) && better(v1[option], base) {
					v1[option] = tree
				}
			}
		}
	}
	return v1, unified
}

// unescape undoes the octal escapes of mountinfo for space, tab, newline and
// backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// parseMembership reads /proc/<pid>/cgroup into paths by controller. The path of
// version 2 goes by noController.
func parseMembership(content []byte) map[string]string {
	paths := make(map[string]string)
	for line := range bytes.Lines(content) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			paths[noController] = parts[2]
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller != "" {
				paths[controller] = parts[2]
			}
		}
	}
	return paths
}

// cutAfter cuts a path after the component that contains the id. A container may
// have cgroups of its own below, such as the init.scope of a systemd in it.
func cutAfter(path, id string) (string, bool) {
	at := strings.Index(path, id)
	if id == "" || at < 0 {
		return "", false
	}
	if slash := strings.IndexByte(path[at:], '/'); slash >= 0 {
		path = path[:at+slash]
	}
	return path, true
}
