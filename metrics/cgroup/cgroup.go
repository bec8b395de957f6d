package cgroup

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Cgroup is the open files of one cgroup, about twenty descriptors. It is not
// safe for concurrent use.
type Cgroup struct {
	path  string
	parts Parts
	files []openSource
	// limits are the files that only somebody's writing changes, known the lasting
	// values of the last sample.
	limits []openSource
	known  lasting
	// notices tells of such writing by way of written, if there are watches.
	// Without them everything is read every time.
	notices *notices
	watches []int32
	written atomic.Bool
	// host tells what of the other files has not changed; killsAt is the number of
	// its reading after which kills were last read.
	host    *hostCounts
	killsAt int64
	// huge are the open files of huge pages, by size.
	huge []hugeFiles
	// network is the descriptor of net/dev, or absent. While it is open the
	// network namespace lives on, even without processes.
	network int
	// namespace is the inode of the network namespace, 0 where it is not known.
	namespace uint64
	// members is what asks the processes, nil when no part wants it.
	members *members
}

// openSource is a source with its open file.
type openSource struct {
	fd     int
	source *source
	// keep is nil for what is read in every sample.
	keep keeper
}

// Path returns the cgroup's path within its hierarchy, which cAdvisor calls id:
// "/docker/<id>", "/system.slice/docker-<id>.scope", or "/".
func (c *Cgroup) Path() string { return c.path }

// NetworkNamespace returns the inode of the network namespace, by which
// containers that share one are known, or 0 where the kernel does not tell.
func (c *Cgroup) NetworkNamespace() uint64 { return c.namespace }

// Read takes a sample through the memory of buffer. What lasts until somebody
// changes it is as of the last call of FS.Notice. Read returns ErrGone when the
// cgroup has been removed, and has closed the files then. Any other error concerns
// one file, whose values are absent: the rest of the sample is good.
func (c *Cgroup) Read(s *Sample, buffer *Buffer) error {
	s.reset()
	if len(c.files)+len(c.limits) == 0 {
		return fmt.Errorf("reading cgroup %q: %w", c.path, ErrGone)
	}
	// Only a reading tells that the cgroup has gone.
	all := len(c.watches) == 0 || len(c.files) == 0 || c.written.Swap(false)
	var failure error
	if all {
		failure = c.readFiles(c.limits, s, buffer, true)
	} else {
		c.known.putLimits(s)
	}
	if errors.Is(failure, ErrGone) {
		return failure
	}
	if err := c.readFiles(c.files, s, buffer, all); errors.Is(err, ErrGone) {
		return err
	} else if failure == nil {
		failure = err
	}
	if c.known = lastingOf(s); failure != nil {
		// What is missing may be what lasts.
		c.written.Store(true)
	}
	for i := range c.huge {
		s.Huge = append(s.Huge, c.huge[i].read(buffer))
	}
	if c.network != absent {
		content, err := buffer.read(c.network, true)
		if err == nil {
			s.Interfaces = parseNetDev(s.Interfaces, content)
		} else if failure == nil {
			failure = fmt.Errorf("reading the interfaces of cgroup %q: %w", c.path, err)
		}
	}
	if c.members != nil {
		c.members.read(s, buffer, c.parts)
	}
	s.finish()
	return failure
}

// ReadProcessor takes a sample of nothing but processor time, which costs a
// fraction of Read; else it is as that.
func (c *Cgroup) ReadProcessor(s *Sample, buffer *Buffer) error {
	s.reset()
	if len(c.files)+len(c.limits) == 0 {
		return fmt.Errorf("reading cgroup %q: %w", c.path, ErrGone)
	}
	for i := range c.files {
		if c.files[i].source.part&Processor == 0 {
			continue
		}
		if err := c.readFiles(c.files[i:i+1], s, buffer, true); err != nil {
			return err
		}
	}
	return nil
}

// readFiles reads files into the sample, with all also those that must say what
// they said before. It returns the first error, and ErrGone as Read does.
func (c *Cgroup) readFiles(files []openSource, s *Sample, buffer *Buffer, all bool) (failure error) {
	for i := range files {
		file := &files[i]
		if !all && file.keep != nil && file.keep(c, s) {
			continue
		}
		content, err := buffer.read(file.fd, false)
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
	return failure
}

// Close closes the files. It may be called more than once.
func (c *Cgroup) Close() {
	c.notices.forget(c)
	for _, files := range [][]openSource{c.files, c.limits} {
		for _, file := range files {
			unix.Close(file.fd)
		}
	}
	c.files, c.limits = nil, nil
	for i := range c.huge {
		c.huge[i].close()
	}
	c.huge = nil
	if c.network != absent {
		unix.Close(c.network)
		c.network = absent
	}
	if c.members != nil {
		c.members.close()
		c.members = nil
	}
}
