package metrics

import "strings"

// hostNetwork is what a container that uses the host's network shares.
const hostNetwork = "host"

// maxHops is how many containers in a row may use the network of the next.
const maxHops = 8

// networkKey is what those have in common that use the same network: the inode of
// its namespace or, where the kernel does not tell, the ID of its container.
type networkKey struct {
	namespace uint64
	owner     string
}

// shown is a container in the scrape that is being made.
type shown struct {
	id    string
	known *tracked
	view
	// network is what it uses, sharedWith whose that is, empty where it is its own.
	network    networkKey
	sharedWith string
}

// shareLocked says whose network each container uses, of those that do not use
// their own: the traffic of a namespace is shown once. The host's belongs to
// the root, another to the container that did not ask for somebody else's, and
// among several to the one that was started first. One of which nothing is shown yet
// owns nothing in that scrape.
func (c *Containers) shareLocked(list []shown) {
	host := uint64(0)
	if c.fs != nil {
		host = c.fs.HostNetwork()
	}
	clear(c.owners)
	for i := range list {
		s := &list[i]
		s.network = c.networkLocked(s.known, s.namespace, host)
		if owner := c.owners[s.network]; owner == nil || s.known.ownsBefore(owner) {
			c.owners[s.network] = s.known
		}
	}
	for i := range list {
		s := &list[i]
		if s.network.owner == hostNetwork || s.network.namespace != 0 && s.network.namespace == host {
			s.sharedWith = hostNetwork
		} else if owner := c.owners[s.network]; owner != s.known {
			s.sharedWith = owner.name
		}
	}
}

// networkLocked returns which network a container uses. An agent without
// capabilities is not told the namespaces of the host's processes, and the engine
// tells none: there it is what the container was started with.
func (c *Containers) networkLocked(known *tracked, namespace, host uint64) networkKey {
	if namespace != 0 && host != 0 {
		return networkKey{namespace: namespace}
	}
	id, container := known.container.ID, known.container
	for range maxHops {
		owner, uses := strings.CutPrefix(container.NetworkMode, "container:")
		switch {
		case container.NetworkMode == hostNetwork:
			return networkKey{owner: hostNetwork}
		case !uses:
			return networkKey{owner: id}
		}
		id = owner
		next := c.tracked[owner]
		if next == nil {
			break
		}
		container = next.container
	}
	return networkKey{owner: id}
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
