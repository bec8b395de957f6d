package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrGone says that a container's processes or its cgroup are no more.
var ErrGone = errors.New("the cgroup is gone")

// FS is where a host keeps its cgroups. It is immutable.
type FS struct {
	// root stands before every path of the host.
	root string
	// v1 maps the controllers of version 1 to their hierarchies.
	v1 map[string]hierarchy
	// unified is the hierarchy of version 2, with an empty mount point when
	// there is none.
	unified hierarchy
	// sources are the files worth opening on this host.
	sources []source
}

// hierarchy is a mounted tree of cgroups.
type hierarchy struct {
	// mountPoint is its folder, with the root before it.
	mountPoint string
	// base is the cgroup that lies at the mount point: "/" unless only a part
	// of the tree was mounted.
	base string
}

// dir returns the folder of a cgroup.
func (h hierarchy) dir(path string) string {
	if h.base != "/" {
		path = strings.TrimPrefix(path, h.base)
	}
	return filepath.Join(h.mountPoint, path)
}

// NewFS finds the hierarchies of the host whose root folder is root: "/", or
// where the host is mounted in the agent's own container. Version 1 is used for
// the controllers that it has, version 2 for the rest.
func NewFS(root string) (*FS, error) {
	if root == "" {
		root = "/"
	}
	// The agent's own mounts are what it can see. Through a mounted host,
	// self would show paths of the agent's container, so that the host's init
	// is asked.
	mountinfo := filepath.Join(root, "proc/self/mountinfo")
	if filepath.Clean(root) != "/" {
		mountinfo = filepath.Join(root, "proc/1/mountinfo")
	}
	content, err := os.ReadFile(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("finding the cgroup mounts: %w", err)
	}
	fs := &FS{root: root}
	fs.v1, fs.unified = parseMountinfo(root, content)
	for _, src := range sourcesV1() {
		if _, ok := fs.v1[src.controller]; ok {
			fs.sources = append(fs.sources, src)
		}
	}
	for _, src := range sourcesV2() {
		if _, taken := fs.v1[src.controller]; !taken && fs.unified.mountPoint != "" {
			src.controller = noController
			fs.sources = append(fs.sources, src)
		}
	}
	if len(fs.sources) == 0 {
		return nil, fmt.Errorf("finding the cgroup mounts in %q: there are none", mountinfo)
	}
	return fs, nil
}

// Version returns 1 when version 1 accounts for memory, else 2.
func (fs *FS) Version() int {
	if _, ok := fs.v1[memoryController]; ok {
		return 1
	}
	return 2
}

// Open opens the files of the container with the given id whose first process
// is pid. The process must be in a cgroup that is named after the container:
// process ids are used again. It returns ErrGone when the process has ended.
func (fs *FS) Open(pid int, id string) (*Cgroup, error) {
	process, err := openProcess(filepath.Join(fs.root, "proc", strconv.Itoa(pid)))
	if err != nil {
		return nil, err
	}
	defer process.close()
	membership, err := process.read("cgroup")
	if err != nil {
		return nil, err
	}
	paths := parseMembership(membership)
	elsewhere := ""
	for controller, path := range paths {
		own, ok := cutAfter(path, id)
		if !ok {
			delete(paths, controller)
			if path != "/" {
				elsewhere = path
			}
			continue
		}
		if strings.HasPrefix(own, "/..") {
			return nil, fmt.Errorf("opening cgroup %q: it lies outside of the agent's cgroup namespace; "+
				"run the agent in the host's", path)
		}
		paths[controller] = own
	}
	if len(paths) == 0 && elsewhere != "" {
		return nil, fmt.Errorf("finding the cgroup of container %q: process %d is in %q", id, pid, elsewhere)
	}
	if len(paths) == 0 {
		// Version 1 moves a process that is exiting to the root.
		return nil, fmt.Errorf("finding the cgroup of container %q by process %d: %w", id, pid, ErrGone)
	}
	group, err := fs.open(paths)
	if err != nil {
		return nil, err
	}
	// A process that has ended by now has no network any more, and the sample
	// none of its interfaces. The next sample finds the cgroup gone.
	if group.network, err = process.openNetwork(); err != nil {
		group.Close()
		return nil, err
	}
	return group, nil
}

// OpenRoot opens the files of the root cgroup, which are those of the whole
// host, with the interfaces of the host's first process.
func (fs *FS) OpenRoot() (*Cgroup, error) {
	paths := map[string]string{noController: "/"}
	for controller := range fs.v1 {
		paths[controller] = "/"
	}
	group, err := fs.open(paths)
	if err != nil {
		return nil, err
	}
	process, err := openProcess(filepath.Join(fs.root, "proc/1"))
	if err != nil {
		// Where /proc hides the host's processes there are its cgroups all the same.
		return group, nil
	}
	defer process.close()
	if group.network, err = process.openNetwork(); err != nil {
		group.Close()
		return nil, err
	}
	return group, nil
}

// open opens what files there are of the cgroups that paths names by controller.
// It returns ErrGone when there are none.
func (fs *FS) open(paths map[string]string) (*Cgroup, error) {
	group := &Cgroup{network: absent}
	for _, controller := range []string{memoryController, cpuController, noController, cpuacctController, blkioController, pidsController} {
		if path, ok := paths[controller]; ok && group.path == "" {
			group.path = path
		}
	}
	for i := range fs.sources {
		src := &fs.sources[i]
		path, ok := paths[src.controller]
		if !ok {
			continue
		}
		tree := fs.unified
		if src.controller != noController {
			tree = fs.v1[src.controller]
		}
		dir := tree.dir(path)
		for _, name := range src.names {
			fd, err := openOptional(unix.AT_FDCWD, filepath.Join(dir, name))
			if err != nil {
				group.Close()
				return nil, err
			}
			if fd != absent {
				group.files = append(group.files, openSource{fd: fd, source: src})
				break
			}
		}
	}
	if len(group.files) == 0 {
		return nil, fmt.Errorf("opening cgroup %q: %w", group.path, ErrGone)
	}
	return group, nil
}

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
			known := []string{cpuController, cpuacctController, memoryController, blkioController, pidsController}
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
