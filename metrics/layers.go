package metrics

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tallyman/collector/record"
)

// The budget of walking the writable layers: while it walks, at most one part in
// restFactor+1 of the time is spent walking, and after a round it rests for
// roundFactor times the time that the round took, and at least layerAge.
const (
	layerAge    = time.Minute
	restFactor  = 4
	roundFactor = 20
	// walkPiece is how many entries are looked at before a rest.
	walkPiece = 500
	// walkLimit is how many entries of one container are looked at. One with more
	// shows what was counted until then.
	walkLimit = 2_000_000
)

// layerUse is what a container's writable layer and log take up.
type layerUse struct {
	bytes, inodes uint64
	// fs is the file system that holds them.
	fs filesystem
}

// layerWalker measures writable layers in the background. A round is started by a
// scrape that finds the last one old: nothing runs while nobody scrapes.
type layerWalker struct {
	root string
	// folders returns the folders of a container.
	folders func(*record.Container) []string

	rounds sync.WaitGroup
	mu     sync.Mutex // guards what follows
	uses   map[string]*layerUse
	// walking says that a round is on, and next when another may begin.
	walking bool
	next    time.Time
}

// use returns what is known of a container, nil for nothing.
func (l *layerWalker) use(id string) *layerUse {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.uses[id]
}

// wake starts a round over the containers unless one is on or was a short while
// ago. It ends with ctx.
func (l *layerWalker) wake(ctx context.Context, list []*record.Container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.walking || time.Now().Before(l.next) || ctx.Err() != nil {
		return
	}
	l.walking = true
	l.rounds.Go(func() { l.round(ctx, list) })
}

// round measures every container once.
func (l *layerWalker) round(ctx context.Context, list []*record.Container) {
	begun := time.Now()
	mounts, _ := readMounts(l.root) // Without mounts nothing can be named, and nothing is shown.
	known := make(map[string]bool, len(list))
	for _, container := range list {
		known[container.ID] = true
		if use := l.measure(ctx, container, mounts); use != nil {
			l.mu.Lock()
			l.uses[container.ID] = use
			l.mu.Unlock()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.uses {
		if !known[id] {
			delete(l.uses, id)
		}
	}
	l.walking = false
	l.next = time.Now().Add(max(layerAge, roundFactor*time.Since(begun)/(restFactor+1)))
}

// measure walks the folders of one container. It returns nil where they cannot
// be seen, or when ctx ended.
func (l *layerWalker) measure(ctx context.Context, container *record.Container, mounts []mount) *layerUse {
	folders := l.folders(container)
	if len(folders) == 0 {
		return nil
	}
	mount := mountOf(folders[0], mounts)
	if mount == nil {
		return nil
	}
	use := &layerUse{fs: filesystem{mount: *mount, label: strings.ToValidUTF8(mount.source, "\uFFFD")}}
	use.fs.fill(filepath.Join(l.root, folders[0]))
	if !use.fs.known {
		return nil
	}
	w := walk{use: use, linked: make(map[uint64]bool)}
	for _, folder := range folders {
		w.folder(ctx, filepath.Join(l.root, folder))
	}
	if ctx.Err() != nil {
		return nil
	}
	return use
}

// walk is the state of measuring one container.
type walk struct {
	use *layerUse
	// linked are the files with several names that were counted.
	linked map[uint64]bool
	seen   int
	begun  time.Time
}

// folder adds up a folder and all below it on the same file system. What goes
// meanwhile is not counted.
func (w *walk) folder(ctx context.Context, top string) {
	w.begun = time.Now()
	var device uint64
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if w.seen++; w.seen > walkLimit || w.seen%walkPiece == 0 && !w.rest(ctx) {
			return fs.SkipAll
		}
		info, err := os.Lstat(path)
		if err != nil {
			return nil
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if path == top {
			device = stat.Dev
		} else if stat.Dev != device {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if stat.Nlink > 1 && !entry.IsDir() {
			if w.linked[stat.Ino] {
				return nil
			}
			w.linked[stat.Ino] = true
		}
		w.use.inodes++
		w.use.bytes += uint64(stat.Blocks) * 512
		return nil
	})
}

// rest pauses in proportion to the work done since the last pause. It reports
// whether to go on.
func (w *walk) rest(ctx context.Context) bool {
	pause := time.NewTimer(restFactor * time.Since(w.begun))
	defer pause.Stop()
	select {
	case <-pause.C:
		w.begun = time.Now()
		return true
	case <-ctx.Done():
		return false
	}
}

// mountOf returns the mount that holds a path: the one with the longest path
// above it.
func mountOf(path string, mounts []mount) *mount {
	var best *mount
	for i := range mounts {
		m := &mounts[i]
		above := m.point == "/" || path == m.point || strings.HasPrefix(path, m.point+"/")
		if above && (best == nil || len(m.point) > len(best.point)) {
			best = m
		}
	}
	return best
}

// layerFolders returns where a container's own files lie: the writable layer,
// which the engine names or, where it does not, the mount of the first process's
// root, and the folder of the log.
func layerFolders(root string, named func(*record.Container) string) func(*record.Container) []string {
	return func(container *record.Container) []string {
		var folders []string
		layer := ""
		if named != nil {
			layer = named(container)
		}
		if layer == "" && container.PID > 0 {
			layer = upperDir(filepath.Join(root, "proc", strconv.Itoa(container.PID), "mountinfo"))
		}
		if layer != "" {
			folders = append(folders, layer)
		}
		if container.LogPath != "" {
			folders = append(folders, filepath.Dir(container.LogPath))
		}
		return folders
	}
}

// upperDir finds the writable layer of the overlay that is mounted at "/" in a
// mountinfo file, empty where there is none.
func upperDir(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(content)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, details := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || fields[4] != "/" || len(details) < 3 || details[0] != "overlay" {
			continue
		}
		for option := range strings.SplitSeq(details[2], ",") {
			if dir, ok := strings.CutPrefix(option, "upperdir="); ok && filepath.IsAbs(dir) {
				return unescapeMount(dir)
			}
		}
	}
	return ""
}
