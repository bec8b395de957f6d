package cgroup

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// searchLimit is how many folders of a hierarchy are looked at for one container.
const searchLimit = 20000

// search finds the cgroup of a container by its name, in the hierarchy of a
// controller. It is for an agent in a cgroup namespace of its own that has the
// host's tree mounted: there the kernel does not tell the paths of others. It
// returns the path within the hierarchy, or ErrGone.
func (f *FS) search(controller, id string) (string, error) {
	tree := f.tree(controller)
	if !beyond(tree.base) {
		return "", fmt.Errorf("the host's tree is not mounted at %q; mount it there, or run the agent in the host's cgroup namespace",
			tree.mountPoint)
	}
	found, seen := "", 0
	err := filepath.WalkDir(tree.mountPoint, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			// Others come and go meanwhile.
			return fs.SkipDir
		}
		if !entry.IsDir() {
			return nil
		}
		if seen++; seen > searchLimit {
			return fs.SkipAll
		}
		if strings.Contains(entry.Name(), id) {
			found = strings.TrimPrefix(path, filepath.Clean(tree.mountPoint))
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("searching %q: %w", tree.mountPoint, err)
	}
	if found == "" {
		return "", fmt.Errorf("searching %q: %w", tree.mountPoint, ErrGone)
	}
	return found, nil
}
