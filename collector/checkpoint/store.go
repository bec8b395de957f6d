// Package checkpoint keeps on disk how far each route has delivered each
// container's log, so that a restart goes on from there.
//
// All positions of a host are one JSON file, small enough to be written whole:
// to a temporary file that is synced and renamed over the old one, so that a
// crash at any moment leaves the old positions or the new ones, never a mixture.
package checkpoint

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tallyman/collector/durable"
	"tallyman/collector/record"
)

// seenGrain is how much newer the time a route or container was last seen must
// be for that alone to make the file worth writing. It keeps a quiet host's
// disk quiet, and is small beside the days after which anything is forgotten.
const seenGrain = time.Hour

// Store holds the positions of all routes. Its methods may be called from any
// goroutine.
type Store struct {
	dir   string
	log   *slog.Logger
	files durable.Files
	// forgotten says that positions of an earlier life could not be read. Set
	// before the store is shared.
	forgotten bool

	// saving is held during Save, and so during its I/O. It guards lock, and is
	// taken before mu.
	saving sync.Mutex
	lock   *folderLock
	// buffers has the memory that the last save wrote through, a *[]byte, for the
	// next. When nothing moves it is collected.
	buffers sync.Pool

	// mu guards what is below. No I/O happens under it.
	mu         sync.Mutex
	containers map[string]*container
	routes     map[string]*route
	// containerOrder and routeOrder hold the same, ordered for the file, while
	// ordered is true. They are made anew by saves alone.
	containerOrder []*container
	routeOrder     []*route
	ordered        bool
	// changes counts the changes, saved is its value in the last file written.
	changes, saved uint64
}

// container is what people want to read of a container, when it was last known
// to exist, and the positions in its log.
type container struct {
	id, name string
	seen     time.Time
	// written is the value of seen that made or will make it into the file.
	written time.Time
	// entries has one for each route that has a position. They are few, and many
	// containers have some: a map would take more than what it has.
	entries []*entry
}

type route struct {
	identity, description string
	first, seen, written  time.Time
}

// entry is a route's position in a container's log.
type entry struct {
	route    *route
	position record.Position
	account  record.Account
	// updated is when the position was set, in seconds since the Unix epoch.
	updated int64
}

// entry returns the position of a route, nil where there is none.
func (c *container) entry(r *route) *entry {
	for _, e := range c.entries {
		if e.route == r {
			return e
		}
	}
	return nil
}

// drop forgets the position of a route and reports whether there was one.
func (c *container) drop(r *route) bool {
	before := len(c.entries)
	c.entries = slices.DeleteFunc(c.entries, func(e *entry) bool { return e.route == r })
	return len(c.entries) < before
}

func newStore(dir string, logger *slog.Logger, files durable.Files) *Store {
	return &Store{
		dir: dir, log: logger, files: files,
		containers: map[string]*container{}, routes: map[string]*route{},
	}
}

// Forgotten reports whether positions of an earlier life could not be read.
func (s *Store) Forgotten() bool { return s.forgotten }

// Meet tells the store of a route that is in use now, and returns when this
// host first had it: long ago, where that may have been forgotten. The description is for people who read the file; it must
// hold no secret.
func (s *Store) Meet(identity, description string, now time.Time) (first time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.routeLocked(identity, now)
	if r.description != description {
		r.description = description
		s.changes++
	}
	s.seeRouteLocked(r, now)
	return r.first
}

// Set notes that everything before the position has been settled, and what has
// become of it, which it copies. The name is for people who read the file.
func (s *Store) Set(route, containerID, name string, position record.Position, account *record.Account, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containerLocked(containerID, now)
	if c.name != name {
		c.name = name
		s.changes++
	}
	s.seeContainerLocked(c, now)
	r := s.routeLocked(route, now)
	s.seeRouteLocked(r, now)
	e := c.entry(r)
	known := e != nil
	if !known {
		e = &entry{route: r}
		c.entries = append(c.entries, e)
	}
	if !known || e.position != position {
		e.position, e.updated = position, now.Unix()
		dropped := append(e.account.Dropped[:0], account.Dropped...)
		e.account = *account
		e.account.Dropped = dropped
		s.changes++
	}
}

// Get returns the position that Set was last given, in this life of the agent
// or in an earlier one, and the account up to there: nothing in it is in flight.
func (s *Store) Get(route, containerID string) (record.Position, record.Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entryLocked(route, containerID)
	if e == nil {
		return record.Position{}, record.Account{}, false
	}
	account := e.account.Clone()
	account.Read = account.Settled()
	return e.position, account, true
}

// entryLocked returns a position, nil where there is none.
func (s *Store) entryLocked(route, containerID string) *entry {
	c := s.containers[containerID]
	if c == nil {
		return nil
	}
	return c.entry(s.routes[route])
}

// Delete forgets one position.
func (s *Store) Delete(route, containerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[containerID]; c != nil && c.drop(s.routes[route]) {
		s.changes++
	}
}

// Seen tells the store which routes and containers exist now, so that Forget
// keeps them. Those it has never heard of are left out.
func (s *Store) Seen(now time.Time, routes, containerIDs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, identity := range routes {
		if r, ok := s.routes[identity]; ok {
			s.seeRouteLocked(r, now)
		}
	}
	for _, id := range containerIDs {
		if c, ok := s.containers[id]; ok {
			s.seeContainerLocked(c, now)
		}
	}
}

// Forgotten is a route or a container whose positions were dropped.
type Forgotten struct {
	// Route is the identity of a route, with its description; empty when it is
	// a container that was forgotten.
	Route, Description string
	// Container is the id of a container, with its name; empty when it is a
	// route that was forgotten.
	Container, Name string
	// Seen is when it was last known to exist.
	Seen time.Time
	// Positions is how many positions went with it.
	Positions int
}

// Forget drops the positions of containers and routes that were last seen
// longer ago than is to be kept, and returns what it dropped.
func (s *Store) Forget(now time.Time, keepContainers, keepRoutes time.Duration) []Forgotten {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []Forgotten
	for identity, r := range s.routes {
		if now.Sub(r.seen) <= keepRoutes {
			continue
		}
		f := Forgotten{Route: identity, Description: r.description, Seen: r.seen}
		for _, c := range s.containers {
			if c.drop(r) {
				f.Positions++
			}
		}
		delete(s.routes, identity)
		gone = append(gone, f)
	}
	for id, c := range s.containers {
		if now.Sub(c.seen) > keepContainers {
			gone = append(gone, Forgotten{Container: id, Name: c.name, Seen: c.seen, Positions: len(c.entries)})
			delete(s.containers, id)
		}
	}
	if len(gone) > 0 {
		s.ordered = false
		s.changes++
	}
	slices.SortFunc(gone, func(a, b Forgotten) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Container, b.Container))
	})
	return gone
}

// Dirty reports whether there are changes that are not on disk.
func (s *Store) Dirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes != s.saved
}

func (s *Store) routeLocked(identity string, now time.Time) *route {
	r, ok := s.routes[identity]
	if !ok {
		first := now
		if s.forgotten {
			first = time.Time{}
		}
		r = &route{identity: identity, first: first, seen: now, written: now}
		s.routes[identity] = r
		s.ordered = false
		s.changes++
	}
	return r
}

func (s *Store) containerLocked(id string, now time.Time) *container {
	c, ok := s.containers[id]
	if !ok {
		c = &container{id: id, seen: now, written: now}
		s.containers[id] = c
		s.ordered = false
		s.changes++
	}
	return c
}

func (s *Store) seeRouteLocked(r *route, now time.Time) {
	if now.After(r.seen) {
		r.seen = now
	}
	if r.seen.Sub(r.written) >= seenGrain {
		r.written = r.seen
		s.changes++
	}
}

func (s *Store) seeContainerLocked(c *container, now time.Time) {
	if now.After(c.seen) {
		c.seen = now
	}
	if c.seen.Sub(c.written) >= seenGrain {
		c.written = c.seen
		s.changes++
	}
}

// orderLocked brings the ordered slices up to date. Containers come and go
// rarely, so a save mostly finds them as they are.
func (s *Store) orderLocked() {
	if s.ordered {
		return
	}
	s.containerOrder = slices.SortedFunc(maps.Values(s.containers), func(a, b *container) int { return cmp.Compare(a.id, b.id) })
	s.routeOrder = slices.SortedFunc(maps.Values(s.routes), func(a, b *route) int { return cmp.Compare(a.identity, b.identity) })
	s.ordered = true
}

// Positions returns the positions of all routes in a container's log.
func (s *Store) Positions(containerID string) []record.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[containerID]
	if c == nil {
		return nil
	}
	all := make([]record.Position, len(c.entries))
	for i, e := range c.entries {
		all[i] = e.position
	}
	return all
}
