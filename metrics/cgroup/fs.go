package cgroup

import (
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

// FS is where a host keeps its cgroups. It is safe for concurrent use.
type FS struct {
	// root stands before every path of the host.
	root string
	// v1 maps the controllers of version 1 to their hierarchies.
	v1 map[string]hierarchy
	// unified is the hierarchy of version 2, with an empty mount point when
	// there is none.
	unified hierarchy
	// parts are what is read, sources the files worth opening for it.
	parts   Parts
	sources []source
	notices *notices
	host    *hostCounts
	// whole says that the host's root cgroup can be seen, alone that no process
	// of the host can but those of the agent's own container.
	whole, alone bool
}

// hierarchy is a mounted tree of cgroups.
type hierarchy struct {
	// mountPoint is its folder, with the root before it.
	mountPoint string
	// base is the cgroup that lies at the mount point: "/" unless only a part
	// of the tree was mounted.
	base string
}

// dir returns the folder of a cgroup, or false when the cgroup is not in the part
// of the tree that was mounted.
func (h hierarchy) dir(path string) (string, bool) {
	if h.base != "/" && !beyond(h.base) {
		within, ok := strings.CutPrefix(path, h.base)
		if !ok || within != "" && within[0] != '/' {
			return "", false
		}
		path = within
	}
	return filepath.Join(h.mountPoint, path), true
}

// beyond reports whether a path lies outside of the agent's cgroup namespace: the
// kernel writes it then from the namespace's root, with ".." for each step up.
func beyond(path string) bool { return strings.HasPrefix(path, "/..") }

// NewFS finds the hierarchies of the host whose root folder is root: "/", or
// where the host is mounted in the agent's own container. Version 1 is used for
// the controllers that it has, version 2 for the rest. What is not in parts is
// never read. Close it when all of its cgroups are closed.
func NewFS(root string, parts Parts) (*FS, error) {
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
	fs := &FS{root: root, parts: parts | Limits}
	fs.v1, fs.unified = parseMountinfo(root, content)
	for _, src := range sourcesV1(fs.parts) {
		if _, ok := fs.v1[src.controller]; ok && src.part&fs.parts != 0 {
			fs.sources = append(fs.sources, src)
		}
	}
	for _, src := range sourcesV2() {
		if _, taken := fs.v1[src.controller]; !taken && fs.unified.mountPoint != "" && src.part&fs.parts != 0 {
			src.controller = noController
			fs.sources = append(fs.sources, src)
		}
	}
	if len(fs.sources) == 0 {
		return nil, fmt.Errorf("finding the cgroup mounts in %q: there are none", mountinfo)
	}
	fs.whole, fs.alone = fs.isWhole(), Alone(root)
	fs.notices, fs.host = newNotices(), fs.openHostCounts()
	return fs, nil
}

// Notice takes in what has been changed since the last call of that which does
// not change by itself, such as limits. Samples have it from then on.
func (fs *FS) Notice() {
	fs.notices.take()
	fs.host.read()
}

// Close ends the watching of limits: samples read all files from then on. It may be
// called more than once.
func (fs *FS) Close() {
	fs.notices.close()
	fs.host.close()
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
		if beyond(own) {
			if fs.tree(controller).mountPoint == "" {
				// Of this hierarchy, such as that of freezer, nothing is read.
				delete(paths, controller)
				continue
			}
			if own, err = fs.search(controller, id); err != nil {
				return nil, fmt.Errorf("opening cgroup %q, which lies outside of the agent's cgroup namespace: %w", path, err)
			}
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
	if err := fs.openProcess(group, process, paths); err != nil {
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
	if err := fs.openProcess(group, process, nil); err != nil {
		group.Close()
		return nil, err
	}
	return group, nil
}

// HostNetwork returns the inode of the network namespace of the host's first
// process, or 0 where the kernel does not tell.
func (fs *FS) HostNetwork() uint64 {
	process, err := openProcess(filepath.Join(fs.root, "proc/1"))
	if err != nil {
		return 0
	}
	defer process.close()
	return process.namespace()
}

// openProcess opens what is read of the cgroup's first process and, where paths
// are given, of all of its processes. A process that has ended by now has no
// network any more, and the sample none of its interfaces; the next sample finds
// the cgroup gone.
func (fs *FS) openProcess(group *Cgroup, process process, paths map[string]string) (err error) {
	group.namespace = process.namespace()
	if fs.parts&Network != 0 {
		if group.network, err = process.openNetwork(); err != nil {
			return err
		}
	}
	if fs.parts&(perProcess|ofProcess) != 0 {
		group.members, err = fs.openMembers(process, paths)
	}
	return err
}

// open opens what files there are of the cgroups that paths names by controller.
// It returns ErrGone when there are none.
func (fs *FS) open(paths map[string]string) (*Cgroup, error) {
	group := &Cgroup{network: absent, parts: fs.parts, notices: fs.notices, host: fs.host}
	var folders []string // those of limits
	outside := ""        // a mount point that the cgroup is not below
	for _, controller := range []string{memoryController, cpuController, noController, cpuacctController, blkioController, pidsController, cpusetController, hugetlbController} {
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
		tree := fs.tree(src.controller)
		dir, ok := tree.dir(path)
		if !ok {
			outside = tree.mountPoint
			continue
		}
		for _, name := range src.names {
			fd, err := openOptional(unix.AT_FDCWD, filepath.Join(dir, name))
			if err != nil {
				group.Close()
				return nil, err
			}
			if fd == absent {
				continue
			}
			if src.part == Limits {
				group.limits = append(group.limits, openSource{fd: fd, source: src})
				if !slices.Contains(folders, dir) {
					folders = append(folders, dir)
				}
			} else {
				group.files = append(group.files, openSource{fd: fd, source: src, keep: fs.keeperOf(src)})
			}
			break
		}
	}
	if len(group.files)+len(group.limits) == 0 {
		if outside != "" {
			return nil, fmt.Errorf("opening cgroup %q, which is not in what is mounted at %q: mount the host's tree there", group.path, outside)
		}
		return nil, fmt.Errorf("opening cgroup %q: %w", group.path, ErrGone)
	}
	fs.notices.watch(group, folders)
	if fs.parts&Huge == 0 {
		return group, nil
	}
	if dir, ok := fs.dir(paths, hugetlbController); ok {
		var err error
		if group.huge, err = openHuge(dir); err != nil {
			group.Close()
			return nil, err
		}
	}
	return group, nil
}

// tree returns the hierarchy that a process's paths name by a controller, with an
// empty mount point where it was not found.
func (fs *FS) tree(controller string) hierarchy {
	if controller == noController {
		return fs.unified
	}
	return fs.v1[controller]
}

// dir returns the folder of a cgroup in the hierarchy of a controller.
func (fs *FS) dir(paths map[string]string, controller string) (string, bool) {
	tree, ok := fs.v1[controller]
	if !ok {
		tree, controller = fs.unified, noController
	}
	path, known := paths[controller]
	if !known || tree.mountPoint == "" {
		return "", false
	}
	return tree.dir(path)
}
