package metrics

import "strings"

// hostNetwork is what a container that uses the host's network shares.
const hostNetwork = "host"

// sharedLocked returns whose network each container uses, for those that do not
// use their own: the traffic of a namespace is shown once. The host's belongs to
// the root, another to the container that did not ask for somebody else's, and
// among several to the one that was started first.
func (c *Containers) sharedLocked() map[string]string {
	var shared map[string]string
	share := func(id, with string) {
		if shared == nil {
			shared = make(map[string]string)
		}
		shared[id] = with
	}
	host := uint64(0)
	if c.fs != nil {
		host = c.fs.HostNetwork()
	}
	owners := c.owners
	clear(owners)
	for _, known := range c.tracked {
		if v := known.look(false); v.fresh && v.namespace != 0 {
			if owner := owners[v.namespace]; owner == nil || known.ownsBefore(owner) {
				owners[v.namespace] = known
			}
		}
	}
	for id, known := range c.tracked {
		v := known.look(false)
		if !v.fresh || v.namespace == 0 {
			continue
		}
		if v.namespace == host {
			share(id, hostNetwork)
		} else if owner := owners[v.namespace]; owner != known {
			share(id, owner.name)
		}
	}
	return shared
}

// ownsBefore reports whether a network that both use is rather t's.
func (t *tracked) ownsBefore(other *tracked) bool {
	own := !strings.HasPrefix(t.container.NetworkMode, "container:")
	if own != !strings.HasPrefix(other.container.NetworkMode, "container:") {
		return own
	}
	if !t.container.Started.Equal(other.container.Started) {
		return t.container.Started.Before(other.container.Started)
	}
	return t.container.ID < other.container.ID
}
