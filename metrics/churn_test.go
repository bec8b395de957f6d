package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tallyman/collector/record"
)

// crowd is containers that come and go.
type crowd struct {
	mu   sync.Mutex // guards list
	list []*record.Container
}

func (c *crowd) all() []*record.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

func (c *crowd) add(container *record.Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, container)
}

func (c *crowd) remove(container *record.Container) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = slices.DeleteFunc(c.list, func(other *record.Container) bool { return other == container })
}

// holdings is what a collector holds: what would grow if something leaked.
type holdings struct {
	series, tracked, killed, failures, layers, descriptors, goroutines int
}

func holdingsOf(t *testing.T, c *Containers) holdings {
	t.Helper()
	text := string(exposition(c))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.layers.mu.Lock()
	defer c.layers.mu.Unlock()
	return holdings{strings.Count(text, "\n"), len(c.tracked), len(c.killed), len(c.failures), len(c.layers.uses), descriptors(t), runtime.NumGoroutine()}
}

// comeAndGo has n containers begin and end, workers at a time, while two others
// scrape, and holds that nothing is left of them. Begin makes a container and
// end removes it. It must not run beside other tests: it counts descriptors.
func comeAndGo(t *testing.T, n, workers int, options Options, begin func(int) *record.Container, end func(*record.Container)) {
	t.Helper()
	var some crowd
	options.Containers = some.all
	c := newContainers(t, options)
	exposition(c)
	round := func(from, to int) {
		var next atomic.Int64
		next.Store(int64(from))
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for i := int(next.Add(1)) - 1; i < to; i = int(next.Add(1)) - 1 {
					container := begin(i)
					some.add(container)
					c.Track(container)
					// Half of them live until a scrape has seen them.
					if i%2 == 0 {
						exposition(c)
					}
					end(container)
					c.Forget(container.ID)
					some.remove(container)
				}
			})
		}
		stop := make(chan struct{})
		var scrapes sync.WaitGroup
		for range 2 {
			scrapes.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						exposition(c)
					}
				}
			})
		}
		group.Wait()
		close(stop)
		scrapes.Wait()
		c.running.Wait()
	}
	memory := func() int64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	// The first make the memory that is kept for the next ones.
	round(0, n/10)
	// The last samples are shown once.
	exposition(c)
	before := holdingsOf(t, c)
	held := memory()
	round(n/10, n)
	exposition(c)
	var after holdings
	waitFor(t, "nothing to be left", func() bool {
		after = holdingsOf(t, c)
		return after.descriptors <= before.descriptors && after.goroutines <= before.goroutines
	})
	if after.series > before.series || after.tracked != 0 || after.killed != 0 || after.failures != 1 || after.layers != 0 {
		t.Errorf("after %d containers there are %+v, before %+v", n, after, before)
	}
	more := memory() - held
	t.Logf("%d containers: %+v, %d bytes of memory more", n, after, more)
	if more > 1<<20 {
		t.Errorf("%d bytes of memory are left of %d containers", more, n)
	}
}

// TestContainersComeAndGo has containers of a fixture come and go.
func TestContainersComeAndGo(t *testing.T) {
	root := t.TempDir()
	copyTree(t, fixture("v2-systemd"), root)
	const n = 300
	list := multiply(t, root, n)
	comeAndGo(t, n, 4, Options{Root: root}, func(i int) *record.Container { return list[i] }, func(container *record.Container) {
		// The process ends before its cgroup is removed.
		if err := os.RemoveAll(filepath.Join(root, "proc", fmt.Sprint(container.PID))); err != nil {
			t.Error(err)
		}
	})
}
