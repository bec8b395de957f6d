package routes

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The errors of a Manager, besides those of definitions.
var (
	// ErrNoRoute says that there is no route of that ID.
	ErrNoRoute = errors.New("there is no such route")
	// ErrChanged says that a route is not the one that the caller has seen.
	ErrChanged = errors.New("the route was changed meanwhile")
)

// ManagerConfig is what a Manager is made from.
type ManagerConfig struct {
	Table   *Table
	Catalog *Catalog
	// Dir is the folder of the routes that are made while the agent runs; it is
	// created with the first of them.
	Dir    string
	Logger *slog.Logger
}

// Manager changes the routes of a table while they run. Its methods may be
// called from any goroutine; changes are made one after another.
type Manager struct {
	cfg    ManagerConfig
	folder folder
	// epoch tells the versions of this run from those of others.
	epoch string

	// changing is held while routes are changed, which may take the grace period
	// of one that ends. It is taken before mu.
	changing sync.Mutex
	// mu guards all below. Only who holds changing writes, and may read without it.
	mu sync.Mutex
	// fixed are the routes of the command line and the configuration file, made
	// those that were made since. One that was made replaces a fixed one of its
	// ID. removed has the IDs of fixed ones that are not wanted now.
	fixed, made []Definition
	removed     map[string]bool
	// versions counts the changes of each route, changes those of all.
	versions map[string]int
	changes  int
	// problems says of each stored route that could not be made why.
	problems map[string]error
}

// Entry is a route with its version, which is another after each change.
type Entry struct {
	Spec    Spec
	Version string
}

// NewManager returns a manager of a table without routes.
func NewManager(cfg ManagerConfig) *Manager {
	return &Manager{
		cfg: cfg, folder: folder(cfg.Dir), epoch: strconv.FormatInt(time.Now().UnixNano(), 36),
		removed: make(map[string]bool), versions: make(map[string]int),
	}
}

// Load makes the fixed routes and those of the folder. A stored route that
// cannot be made is left out, and Problems names it: its file stays.
func (m *Manager) Load(fixed []Definition) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	made, problems := Stored(m.cfg.Catalog, m.cfg.Dir)
	for _, id := range slices.Sorted(maps.Keys(problems)) {
		m.cfg.Logger.Error("a stored route is left out", "error", problems[id])
	}
	m.mu.Lock()
	m.problems = problems
	m.mu.Unlock()
	return m.change(fixed, made, m.removed)
}

// Problems returns which stored routes could not be made, and why.
func (m *Manager) Problems() []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []error
	for _, id := range slices.Sorted(maps.Keys(m.problems)) {
		list = append(list, m.problems[id])
	}
	return list
}

// SetFixed changes the routes of the configuration. An error leaves all as it
// was.
func (m *Manager) SetFixed(fixed []Definition) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return m.change(fixed, m.made, m.removed)
}

// List returns all routes.
func (m *Manager) List() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []Entry{}
	for _, d := range merge(m.fixed, m.made, m.removed) {
		list = append(list, m.entry(&d))
	}
	return list
}

// Get returns a route by its ID. The error is ErrNoRoute.
func (m *Manager) Get(id string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.find(id); d != nil {
		return m.entry(d), nil
	}
	return Entry{}, ErrNoRoute
}

// Put makes a route or replaces the one of its ID. One without an ID gets one.
// With a version, the route must be there and have that version, or any where it
// is "*"; else the error is ErrChanged.
func (m *Manager) Put(s Spec, version string) (entry Entry, created bool, err error) {
	if s.ID == "" {
		s.ID = newID()
	}
	d, err := m.cfg.Catalog.DefineAs(s)
	if err != nil {
		return Entry{}, false, err
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	created = m.find(s.ID) == nil
	if err := m.check(s.ID, version); err != nil {
		return Entry{}, false, err
	}
	madeBefore, removedBefore := m.made, m.removed
	made := append(without(m.made, s.ID), d)
	slices.SortFunc(made, func(a, b Definition) int { return strings.Compare(a.ID(), b.ID()) })
	if err := m.change(m.fixed, made, m.removedBut(s.ID)); err != nil {
		return Entry{}, false, err
	}
	if err := m.folder.write(d.Spec(true)); err != nil {
		return Entry{}, false, errors.Join(&StoreError{err}, m.change(m.fixed, madeBefore, removedBefore))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.problems, s.ID)
	return m.entry(&d), created, nil
}

// Delete ends a route. One of the command line or the configuration file comes
// back when the agent is started anew. For version see Put.
func (m *Manager) Delete(id, version string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if m.find(id) == nil {
		return ErrNoRoute
	}
	if err := m.check(id, version); err != nil {
		return err
	}
	madeBefore, removedBefore := m.made, m.removed
	removed := m.removedBut(id)
	if slices.ContainsFunc(m.fixed, func(d Definition) bool { return d.ID() == id }) {
		removed[id] = true
	}
	if err := m.change(m.fixed, without(m.made, id), removed); err != nil {
		return err
	}
	if err := m.folder.remove(id); err != nil {
		return errors.Join(&StoreError{err}, m.change(m.fixed, madeBefore, removedBefore))
	}
	return nil
}

// change applies routes to the table and takes them over when that worked. The
// caller holds changing.
func (m *Manager) change(fixed, made []Definition, removed map[string]bool) error {
	before, after := merge(m.fixed, m.made, m.removed), merge(fixed, made, removed)
	if err := m.cfg.Table.Apply(after); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	for i := range after {
		id := after[i].ID()
		j := slices.IndexFunc(before, func(d Definition) bool { return d.ID() == id })
		if j < 0 || !before[j].equal(&after[i]) {
			m.versions[id] = m.changes
		}
	}
	for i := range before {
		id := before[i].ID()
		if !slices.ContainsFunc(after, func(d Definition) bool { return d.ID() == id }) {
			delete(m.versions, id)
		}
	}
	m.fixed, m.made, m.removed = fixed, made, removed
	return nil
}

// find returns a route by its ID, nil when there is none. The caller holds mu or
// changing, as for what follows.
func (m *Manager) find(id string) *Definition {
	all := merge(m.fixed, m.made, m.removed)
	if i := slices.IndexFunc(all, func(d Definition) bool { return d.ID() == id }); i >= 0 {
		return &all[i]
	}
	return nil
}

func (m *Manager) entry(d *Definition) Entry {
	return Entry{Spec: d.Spec(false), Version: m.version(d.ID())}
}

func (m *Manager) version(id string) string {
	return fmt.Sprintf("%s-%d", m.epoch, m.versions[id])
}

func (m *Manager) check(id, version string) error {
	switch {
	case version == "":
		return nil
	case m.find(id) == nil:
		return ErrChanged
	case version != "*" && version != m.version(id):
		return ErrChanged
	}
	return nil
}

// removedBut returns a copy of removed without an ID.
func (m *Manager) removedBut(id string) map[string]bool {
	removed := make(map[string]bool, len(m.removed)+1)
	for other := range m.removed {
		if other != id {
			removed[other] = true
		}
	}
	return removed
}

// merge returns the routes that are to run.
func merge(fixed, made []Definition, removed map[string]bool) []Definition {
	var all []Definition
	for _, d := range fixed {
		id := d.ID()
		if !removed[id] && !slices.ContainsFunc(made, func(m Definition) bool { return m.ID() == id }) {
			all = append(all, d)
		}
	}
	return append(all, made...)
}

func without(list []Definition, id string) []Definition {
	return slices.DeleteFunc(slices.Clone(list), func(d Definition) bool { return d.ID() == id })
}

// newID returns twelve random digits, as Logspout does.
func newID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}
