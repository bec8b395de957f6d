package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Devices returns the names of the host's block devices, such as "vda", by
// their numbers, from /proc/partitions.
func (fs *FS) Devices() (map[Device]string, error) {
	path := filepath.Join(fs.root, "proc/partitions")
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading block devices: %w", err)
	}
	names := make(map[Device]string)
	for line := range strings.Lines(string(content)) {
		// The columns are major, minor, blocks and name, under a heading.
		fields := strings.Fields(line)
		if len(fields) != 4 {
			continue
		}
		if device, ok := parseDevice([]byte(fields[0] + ":" + fields[1])); ok {
			names[device] = fields[3]
		}
	}
	return names, nil
}
