package cgroup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Cgroup is the open files of one cgroup, about twenty descriptors. It is not
// safe for concurrent use.
type Cgroup struct {
	path  string
	files []openSource
	// network is the descriptor of net/dev, or absent. While it is open the
	// network namespace lives on, even without processes.
	network int
}

// openSource is a source with its open file.
type openSource struct {
	fd     int
	source *source
}

// Path returns the cgroup's path within its hierarchy, which cAdvisor calls id:
// "/docker/<id>", "/system.slice/docker-<id>.scope", or "/".
func (c *Cgroup) Path() string { return c.path }

// Read takes a sample, limits included. It returns ErrGone when the cgroup has
// been removed, and has closed the files then. Any other error concerns one
// file, whose values are absent: the rest of the sample is good.
func (c *Cgroup) Read(s *Sample) error {
	s.reset()
	if len(c.files) == 0 {
		return fmt.Errorf("reading cgroup %q: %w", c.path, ErrGone)
	}
	var failure error
	for _, file := range c.files {
		var content []byte
		var err error
		content, s.buf, err = preadAll(file.fd, s.buf, false)
		switch {
		case err == nil:
			file.source.parse(s, content)
		case errors.Is(goneOr(err), ErrGone):
			c.Close()
			s.reset()
			return fmt.Errorf("reading %q of cgroup %q: %w", file.source.names[0], c.path, ErrGone)
		case err == unix.EOPNOTSUPP:
			// Kernels that can account pressure but were told not to have the
			// files all the same.
		case failure == nil:
			failure = fmt.Errorf("reading %q of cgroup %q: %w", file.source.names[0], c.path, err)
		}
	}
	if c.network != absent {
		var content []byte
		var err error
		content, s.buf, err = preadAll(c.network, s.buf, true)
		if err == nil {
			s.Interfaces = parseNetDev(s.Interfaces, content)
		} else if failure == nil {
			failure = fmt.Errorf("reading the interfaces of cgroup %q: %w", c.path, err)
		}
	}
	s.finish()
	return failure
}

// Close closes the files. It may be called more than once.
func (c *Cgroup) Close() {
	for _, file := range c.files {
		unix.Close(file.fd)
	}
	c.files = nil
	if c.network != absent {
		unix.Close(c.network)
		c.network = absent
	}
}
