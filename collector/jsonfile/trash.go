package jsonfile

import (
	"context"
	"os"
	"sync"
)

// trash closes and removes files away from the locks under which they were given
// up: it may take long to free the space of a deleted file on a busy disk, and
// meanwhile dockerd would rotate unseen.
type trash struct {
	wake chan struct{}

	mu sync.Mutex
	// open says that somebody empties the trash; guarded by mu.
	open bool
	// items are those to be let go of; guarded by mu.
	items []junk
}

// junk is what is let go of together.
type junk struct {
	files []*os.File
	// copy is the path of a rescued copy to remove, empty for none.
	copy string
}

func newTrash() *trash { return &trash{wake: make(chan struct{}, 1)} }

// discard lets go of files soon, or at once when nobody empties the trash.
func (r *Root) discard(j junk) {
	t := r.trash
	t.mu.Lock()
	waits := t.open
	if waits {
		t.items = append(t.items, j)
	}
	t.mu.Unlock()
	if !waits {
		r.destroy(j)
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// runTrash empties the trash until ctx ends.
func (r *Root) runTrash(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.trash.wake:
			r.emptyTrash(true)
		}
	}
}

// emptyTrash destroys what is in the trash. open says whether there will be
// somebody to do it again.
func (r *Root) emptyTrash(open bool) {
	t := r.trash
	t.mu.Lock()
	items := t.items
	t.items, t.open = nil, open
	t.mu.Unlock()
	for _, j := range items {
		r.destroy(j)
	}
}

func (r *Root) destroy(j junk) {
	for _, f := range j.files {
		// Closing a file that was only read cannot lose anything.
		_ = f.Close()
	}
	if j.copy == "" {
		return
	}
	if err := r.vault.drop(j.copy); err != nil {
		r.stats.ReadErrors.Add(1)
		r.logger.Warn("removing a rescued log", "error", err)
	}
}
