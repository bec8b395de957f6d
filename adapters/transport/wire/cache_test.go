package wire

import (
	"testing"

	"tallyman/adapters/adaptertest"
	"tallyman/collector/record"
)

// A cache never returns another container's value as known, holds no more than
// it may, and reuses the memory of what has made room.
func TestCache(t *testing.T) {
	var c Cache[*record.Container]
	containers := adaptertest.Containers(3 * cachedContainers)
	values := map[**record.Container]bool{}
	for i := range 5000 {
		container := containers[i*7919%len(containers)]
		v, known := c.Get(container)
		if known && *v != container {
			t.Fatalf("%s is known as %s", container.Name, (*v).Name)
		}
		*v = container
		values[v] = true
		if again, known := c.Get(container); !known || again != v {
			t.Fatalf("%s is not known", container.Name)
		}
	}
	if len(c.byContainer) != cachedContainers || len(values) != cachedContainers {
		t.Errorf("%d containers are kept, %d values were made", len(c.byContainer), len(values))
	}
}
