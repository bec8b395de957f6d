package metrics

import (
	"fmt"
	"path/filepath"
	"testing"

	"tallyman/collector/record"
)

// TestLayerOfARealTree measures a tree as du does.
func TestLayerOfARealTree(t *testing.T) {
	top := t.TempDir()
	copyTree(t, fixture("v1-cgroupfs"), filepath.Join(top, "tree"))
	run(t, top, "ln", "tree/proc/stat", "again")
	run(t, top, "truncate", "-s", "1M", "hole")
	folder := filepath.Join(top, "log")
	run(t, top, "mkdir", folder)
	container := web(0)
	l := &layerWalker{root: "/", uses: make(map[string]*layerUse), folders: func(*record.Container) []string { return []string{top} }}
	l.wake(t.Context(), []*record.Container{container})
	l.rounds.Wait()
	use := l.use(container.ID)
	if use == nil {
		t.Fatal("nothing was measured")
	}
	var bytes uint64
	if _, err := fmt.Sscan(run(t, top, "du", "-s", "--block-size=1", top), &bytes); err != nil {
		t.Fatal(err)
	}
	if use.bytes != bytes {
		t.Errorf("%d bytes, but du says %d", use.bytes, bytes)
	}
	var inodes uint64
	if _, err := fmt.Sscan(run(t, top, "du", "-s", "--inodes", top), &inodes); err != nil {
		t.Fatal(err)
	}
	if use.inodes != inodes || use.fs.size == 0 || use.fs.inodesFree == 0 {
		t.Errorf("%d inodes, but du says %d; the file system is %+v", use.inodes, inodes, use.fs)
	}
	// Another round so soon is not begun.
	l.wake(t.Context(), nil)
	l.rounds.Wait()
	if l.use(container.ID) == nil {
		t.Error("a second round was begun at once")
	}
}
