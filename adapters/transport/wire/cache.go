package wire

import "tallyman/collector/record"

// cachedContainers bounds a Cache. It is a batch that looks a container up, not
// a line, and a miss costs about a microsecond, so a small one does, and keeps
// few containers that are gone from being collected.
const cachedContainers = 64

// Cache keeps what an encoder makes of a container. Containers are immutable, so
// the pointer stands for all that is in them. The zero value is empty.
type Cache[T any] struct {
	byContainer map[*record.Container]*T
}

// Get returns what is kept for c. When it is not known, it is to be filled: it is
// the zero value or that of a container which has made room, and whose memory
// may be used again.
func (c *Cache[T]) Get(container *record.Container) (v *T, known bool) {
	if v, known = c.byContainer[container]; known {
		return v, true
	}
	if c.byContainer == nil {
		c.byContainer = make(map[*record.Container]*T)
	}
	if len(c.byContainer) < cachedContainers {
		v = new(T)
	} else {
		// Any one will do: the order of a map is random enough.
		for old, victim := range c.byContainer {
			delete(c.byContainer, old)
			v = victim
			break
		}
	}
	c.byContainer[container] = v
	return v, false
}
